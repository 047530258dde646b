package engine

import (
	"context"
	"sync"
)

// A queue is first come, first served, without bound: what waits in it is bounded by the state.
type queue[T any] struct {
	mu    sync.Mutex
	ready chan struct{}
	list  []T
	head  int
}

type (
	runQueue = queue[*actor] // actors that want a turn
	jobQueue = queue[job]    // calls that wait for a back end
)

func (q *queue[T]) init() { q.ready = make(chan struct{}, 1) }

func (q *queue[T]) push(j T) {
	q.mu.Lock()
	q.list = append(q.list, j)
	q.mu.Unlock()
	q.signal()
}

func (q *queue[T]) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// pop waits for an element; false when ctx has ended.
func (q *queue[T]) pop(ctx context.Context) (T, bool) {
	var none T
	for {
		if ctx.Err() != nil {
			return none, false
		}
		q.mu.Lock()
		if q.head < len(q.list) {
			j := q.list[q.head]
			q.list[q.head] = none
			q.head++
			if q.head == len(q.list) {
				q.list, q.head = q.list[:0], 0
				if cap(q.list) > 4096 {
					q.list = nil
				}
			} else {
				q.signal()
			}
			q.mu.Unlock()
			return j, true
		}
		q.mu.Unlock()
		select {
		case <-q.ready:
		case <-ctx.Done():
			return none, false
		}
	}
}

// Len returns how many wait.
func (q *queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list) - q.head
}
