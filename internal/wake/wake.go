// Package wake wakes many things at their times, with one heap, one timer and one goroutine for all of them.
package wake

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// A Clock wakes things of type T. It is safe for concurrent use.
type Clock[T any] struct {
	mu      sync.Mutex
	list    slots[T]
	changed chan struct{}
}

// A Slot is a thing's place in a Clock. It belongs into the thing, and holds one time at most.
type Slot[T any] struct {
	of       T
	at       time.Time
	position int // in the heap, from 1; 0: not there
}

// New returns a Clock that runs once Run is called.
func New[T any]() *Clock[T] { return &Clock[T]{changed: make(chan struct{}, 1)} }

// Set replaces the time at which a thing is woken; the zero time means never.
func (c *Clock[T]) Set(s *Slot[T], of T, at time.Time) {
	c.mu.Lock()
	switch {
	case at.IsZero() && s.position > 0:
		heap.Remove(&c.list, s.position-1)
	case at.IsZero():
	case s.position > 0:
		s.at = at
		heap.Fix(&c.list, s.position-1)
	default:
		s.of, s.at = of, at
		heap.Push(&c.list, s)
	}
	first := s.position == 1
	c.mu.Unlock()
	if first {
		select {
		case c.changed <- struct{}{}:
		default:
		}
	}
}

// Run calls wake for each thing whose time has come, until ctx ends. What is woken has no time any more.
func (c *Clock[T]) Run(ctx context.Context, wake func(T)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, next := c.due(time.Now())
		for _, of := range due {
			wake(of)
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-c.changed:
		case <-ctx.Done():
			return
		}
	}
}

// due takes out what is due, and tells how long it is until the next.
func (c *Clock[T]) due(now time.Time) (due []T, next time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.list) > 0 && !c.list[0].at.After(now) {
		due = append(due, heap.Pop(&c.list).(*Slot[T]).of)
	}
	if len(c.list) == 0 {
		return due, time.Hour
	}
	return due, c.list[0].at.Sub(now)
}

type slots[T any] []*Slot[T]

func (l slots[T]) Len() int           { return len(l) }
func (l slots[T]) Less(i, j int) bool { return l[i].at.Before(l[j].at) }
func (l slots[T]) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].position, l[j].position = i+1, j+1
}
func (l *slots[T]) Push(x any) {
	s := x.(*Slot[T])
	s.position = len(*l) + 1
	*l = append(*l, s)
}
func (l *slots[T]) Pop() any {
	old := *l
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*l = old[:len(old)-1]
	s.position = 0
	return s
}
