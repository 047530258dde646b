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

// nudge calls a worker if something waits.
func (q *queue[T]) nudge() {
	if q.Len() > 0 {
		q.signal()
	}
}

// take returns the first element; false when there is none.
func (q *queue[T]) take() (first T, ok bool) {
	var none T
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.list) {
		return none, false
	}
	first = q.list[q.head]
	q.list[q.head] = none
	q.head++
	if q.head < len(q.list) {
		q.signal()
		return first, true
	}
	q.list, q.head = q.list[:0], 0
	if cap(q.list) > 4096 {
		q.list = nil
	}
	return first, true
}

// pop waits for an element; false when ctx has ended.
func (q *queue[T]) pop(ctx context.Context) (first T, ok bool) {
	for ctx.Err() == nil {
		if first, ok = q.take(); ok {
			return first, true
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
		}
	}
	return first, false
}

// Len returns how many wait.
func (q *queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list) - q.head
}
