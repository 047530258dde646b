package probe

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/service"
)

// Bounds of a scheduler.
const (
	maxPrompt = 128  // rounds that have just begun
	maxSlow   = 2048 // rounds that have not answered within promptly
	promptly  = 100 * time.Millisecond
)

// A Result says that an instance became healthy, ailing or unhealthy.
type Result[K comparable] struct {
	Key    K
	Health service.Health
	Reason string // why it is not healthy, in words
	At     time.Time
}

// A Scheduler runs the rounds of many checks. A check that waits costs memory only: there is one timer
// for all, and a goroutine for each round that is under way. Rounds that do not answer promptly are
// counted apart from the others, so that instances that hang do not hold up those that do not.
type Scheduler[K comparable] struct {
	report func(Result[K])
	run    func(ctx context.Context, check *service.Check, target Target) error

	mu      sync.Mutex
	entries map[K]*entry[K]
	due     queue[K]
	wake    chan struct{}
	prompt  chan struct{}
	slow    chan struct{}
}

// An entry is one check of one instance.
type entry[K comparable] struct {
	key    K
	check  *service.Check
	target Target
	next   time.Time
	index  int                // in the queue; -1 while a round is under way
	cancel context.CancelFunc // of the round under way
	tally
}

// NewScheduler returns a scheduler that does nothing until Run. report is called when an instance becomes
// healthy, ailing or unhealthy, never twice at a time for one key; it must not block for long.
func NewScheduler[K comparable](report func(Result[K])) *Scheduler[K] {
	return &Scheduler[K]{
		report: report, run: Run, entries: map[K]*entry[K]{}, wake: make(chan struct{}, 1),
		prompt: make(chan struct{}, maxPrompt), slow: make(chan struct{}, maxSlow),
	}
}

// Add starts a check anew, in place of the one that the key had. The check must not change afterwards;
// instances may share it. The first round comes at once, but for a little jitter.
func (s *Scheduler[K]) Add(key K, check *service.Check, target Target) {
	now := time.Now()
	if target.Started.IsZero() {
		target.Started = now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(key)
	e := &entry[K]{key: key, check: check, target: target}
	e.next = now.Add(rand.N(min(interval(check), fastest)))
	s.entries[key] = e
	s.push(e)
}

// Remove ends a check. A result that was on its way may still be reported.
func (s *Scheduler[K]) Remove(key K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(key)
}

// Len returns how many checks there are.
func (s *Scheduler[K]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

func (s *Scheduler[K]) drop(key K) {
	e, ok := s.entries[key]
	if !ok {
		return
	}
	delete(s.entries, key)
	if e.index >= 0 {
		heap.Remove(&s.due, e.index)
	} else if e.cancel != nil {
		e.cancel()
	}
}

// push queues an entry and wakes the dispatcher when it is the first.
func (s *Scheduler[K]) push(e *entry[K]) {
	heap.Push(&s.due, e)
	if e.index == 0 {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// Run does the rounds until ctx ends, then waits for those under way.
func (s *Scheduler[K]) Run(ctx context.Context) {
	var rounds sync.WaitGroup
	defer rounds.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		e, round, wait := s.pop(ctx)
		if e == nil {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-s.wake:
			case <-timer.C:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case s.prompt <- struct{}{}:
		}
		rounds.Go(func() { s.round(round, e) })
	}
}

// pop takes the entry that is due, with the context of its round; otherwise it says how long to wait.
func (s *Scheduler[K]) pop(ctx context.Context) (*entry[K], context.Context, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.due) == 0 {
		return nil, nil, time.Hour
	}
	if wait := time.Until(s.due[0].next); wait > 0 {
		return nil, nil, wait
	}
	e := heap.Pop(&s.due).(*entry[K])
	ctx, e.cancel = context.WithCancel(ctx)
	return e, ctx, 0
}

// round does one round and queues the next.
func (s *Scheduler[K]) round(ctx context.Context, e *entry[K]) {
	start := time.Now()
	release := s.slot()
	err := s.run(ctx, e.check, e.target)
	release()
	if result, changed := s.settle(ctx, e, start, err); changed {
		s.report(result)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[e.key] == e {
		s.push(e)
	}
}

// settle counts a round.
func (s *Scheduler[K]) settle(ctx context.Context, e *entry[K], start time.Time, err error) (r Result[K], changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ended := ctx.Err() != nil
	e.cancel()
	e.cancel = nil
	if ended || s.entries[e.key] != e {
		return r, false
	}
	now := time.Now()
	changed = e.observe(e.check, err == nil, now.Sub(e.target.Started))
	pause := e.pause(e.check)
	// A little less each time, by chance: so checks that began together drift apart.
	e.next = start.Add(pause - rand.N(max(pause/8, 1)))
	r = Result[K]{Key: e.key, Health: e.health, At: now}
	if err != nil {
		r.Reason = err.Error()
	}
	return r, changed
}

// slot makes a round that does not answer promptly pass its place on, as long as there is room among the
// slow ones. The function that it returns gives up the place that the round then has.
func (s *Scheduler[K]) slot() (release func()) {
	var mu sync.Mutex
	held, over := s.prompt, false
	timer := time.AfterFunc(promptly, func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		select {
		case s.slow <- struct{}{}:
			<-s.prompt
			held = s.slow
		default:
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		over = true
		<-held
	}
}

// A queue is a heap of entries, the one that is due first on top.
type queue[K comparable] []*entry[K]

func (q queue[K]) Len() int           { return len(q) }
func (q queue[K]) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q queue[K]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue[K]) Push(x any) {
	e := x.(*entry[K])
	e.index = len(*q)
	*q = append(*q, e)
}

// Pop implements heap.Interface.
func (q *queue[K]) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.index = -1
	return e
}
