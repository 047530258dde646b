// Package fifo is a queue between goroutines: first come, first served, without bound.
package fifo

import (
	"context"
	"sync"
)

// A Queue holds elements of type T. What may wait in it, its user bounds.
type Queue[T any] struct {
	mu    sync.Mutex
	ready chan struct{}
	list  []T
	head  int
}

// New returns an empty queue.
func New[T any]() *Queue[T] { return &Queue[T]{ready: make(chan struct{}, 1)} }

// Ready has an element when something may wait; one of those that receive from it should Take until nothing is left.
func (q *Queue[T]) Ready() <-chan struct{} { return q.ready }

// Push appends an element.
func (q *Queue[T]) Push(j T) {
	q.mu.Lock()
	q.list = append(q.list, j)
	q.mu.Unlock()
	q.signal()
}

func (q *Queue[T]) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// Nudge calls a worker if something waits.
func (q *Queue[T]) Nudge() {
	if q.Len() > 0 {
		q.signal()
	}
}

// Take returns the first element; false when there is none.
func (q *Queue[T]) Take() (first T, ok bool) {
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

// Pop waits for an element; false when ctx has ended.
func (q *Queue[T]) Pop(ctx context.Context) (first T, ok bool) {
	for ctx.Err() == nil {
		if first, ok = q.Take(); ok {
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
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list) - q.head
}
