package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// block is how many ids are drawn at a time; what is left of it when the server ends is a gap.
const block = 100

type counters struct {
	mu  sync.Mutex
	set map[string]*counter
}

type counter struct {
	sem         chan struct{} // held while drawing
	next, until uint64
}

// NextID returns a number that the counter never gave to anyone before, on any server: the first
// is the lowest, and later ones grow, with gaps.
func (s *Store) NextID(ctx context.Context, name string, first uint64) (uint64, error) {
	return s.nextID(ctx, name, first, block)
}

// NextNumber is NextID for counters that people see and that are seldom drawn from: each number is one more than
// the one before, across restarts too.
func (s *Store) NextNumber(ctx context.Context, name string, first uint64) (uint64, error) {
	return s.nextID(ctx, name, first, 1)
}

func (s *Store) nextID(ctx context.Context, name string, first, size uint64) (uint64, error) {
	s.ids.mu.Lock()
	c := s.ids.set[name]
	if c == nil {
		if s.ids.set == nil {
			s.ids.set = map[string]*counter{}
		}
		c = &counter{sem: make(chan struct{}, 1)}
		s.ids.set[name] = c
	}
	s.ids.mu.Unlock()
	select {
	case c.sem <- struct{}{}:
		defer func() { <-c.sem }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for c.next == c.until {
		if err := s.draw(ctx, name, first, size, c); err != nil {
			return 0, fmt.Errorf("store: draw ids of %s: %w", name, err)
		}
	}
	c.next++
	return c.next - 1, nil
}

// draw takes a block of that size; an unanswered or lost attempt leaves c as it is.
func (s *Store) draw(ctx context.Context, name string, first, size uint64, c *counter) error {
	next := first
	kv, err := s.read(ctx, "id/"+name, &next)
	if err != nil {
		return err
	}
	var t Txn
	t.put("id/"+name, kv.Revision, next+size)
	if _, err := s.Commit(ctx, t); err != nil && !errors.Is(err, ErrConflict) {
		return err
	} else if err == nil {
		c.next, c.until = next, next+size
	}
	return nil
}
