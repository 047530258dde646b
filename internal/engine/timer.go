package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// noTime is no alarm.
var noTime time.Time

// A timerHeap wakes actors: one heap, one timer, one goroutine for all of them.
type timerHeap struct {
	mu      sync.Mutex
	list    alarms
	changed chan struct{}
}

type alarm struct {
	at    time.Time
	actor *actor
}

type alarms []alarm

func (l alarms) Len() int           { return len(l) }
func (l alarms) Less(i, j int) bool { return l[i].at.Before(l[j].at) }
func (l alarms) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].actor.heapPos, l[j].actor.heapPos = i+1, j+1
}
func (l *alarms) Push(x any) {
	a := x.(alarm)
	a.actor.heapPos = len(*l) + 1
	*l = append(*l, a)
}
func (l *alarms) Pop() any {
	old := *l
	a := old[len(old)-1]
	old[len(old)-1] = alarm{}
	*l = old[:len(old)-1]
	a.actor.heapPos = 0
	return a
}

func (t *timerHeap) init() { t.changed = make(chan struct{}, 1) }

// set replaces the actor's timer; the zero time removes it.
func (t *timerHeap) set(a *actor, at time.Time) {
	t.mu.Lock()
	switch {
	case at.IsZero() && a.heapPos > 0:
		heap.Remove(&t.list, a.heapPos-1)
	case at.IsZero():
	case a.heapPos > 0:
		t.list[a.heapPos-1].at = at
		heap.Fix(&t.list, a.heapPos-1)
	default:
		heap.Push(&t.list, alarm{at, a})
	}
	first := a.heapPos == 1
	t.mu.Unlock()
	if first {
		select {
		case t.changed <- struct{}{}:
		default:
		}
	}
}

// run calls wake for each actor whose time has come, until ctx ends.
func (t *timerHeap) run(ctx context.Context, wake func(*actor)) {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		t.mu.Lock()
		now := time.Now()
		var due []*actor
		for len(t.list) > 0 && !t.list[0].at.After(now) {
			due = append(due, heap.Pop(&t.list).(alarm).actor)
		}
		next := time.Hour
		if len(t.list) > 0 {
			next = t.list[0].at.Sub(now)
		}
		t.mu.Unlock()
		for _, a := range due {
			a.mu.Lock()
			a.timer = time.Time{}
			a.mu.Unlock()
			wake(a)
		}
		clock.Reset(next)
		select {
		case <-clock.C:
		case <-t.changed:
		case <-ctx.Done():
			return
		}
	}
}
