package alerting

import (
	"context"
	"sync"
)

// A queue is first come, first served, without bound: what waits in it is bounded by the definitions.
type queue[T any] struct {
	mu    sync.Mutex
	ready chan struct{}
	list  []T
}

func newQueue[T any]() *queue[T] { return &queue[T]{ready: make(chan struct{}, 1)} }

func (q *queue[T]) push(x T) {
	q.mu.Lock()
	q.list = append(q.list, x)
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
func (q *queue[T]) pop(ctx context.Context) (first T, ok bool) {
	for ctx.Err() == nil {
		q.mu.Lock()
		if len(q.list) > 0 {
			var none T
			first, q.list[0] = q.list[0], none
			if q.list = q.list[1:]; len(q.list) > 0 {
				q.signal()
			} else {
				q.list = nil
			}
			q.mu.Unlock()
			return first, true
		}
		q.mu.Unlock()
		select {
		case <-q.ready:
		case <-ctx.Done():
		}
	}
	return first, false
}
