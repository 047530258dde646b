package fifo

import (
	"context"
	"sync"
	"testing"
)

// Everything that is pushed is popped once, in the order of its pusher.
func TestQueue(t *testing.T) {
	q := New[[2]int]()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const pushers, each = 8, 1000
	var mu sync.Mutex
	var workers, senders sync.WaitGroup
	got := make(map[[2]int]int)
	for range 3 {
		workers.Go(func() {
			for {
				x, ok := q.Pop(ctx)
				if !ok {
					return
				}
				mu.Lock()
				got[x]++
				if len(got) == pushers*each {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	for p := range pushers {
		senders.Go(func() {
			for i := range each {
				q.Push([2]int{p, i})
			}
		})
	}
	senders.Wait()
	workers.Wait()
	for x, n := range got {
		if n != 1 {
			t.Errorf("%v came %d times", x, n)
		}
	}
	if q.Len() != 0 {
		t.Errorf("%d are left", q.Len())
	}
	q.Push([2]int{1, 1})
	q.Push([2]int{1, 2})
	if a, _ := q.Take(); a != [2]int{1, 1} {
		t.Errorf("took %v first", a)
	}
	q.Take()
	if _, ok := q.Take(); ok {
		t.Error("took from an empty queue")
	}
}
