package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	lanes         = 4                // merged transactions in flight
	commitTimeout = 10 * time.Second // of one merged transaction
	remembered    = 1 << 16          // own revisions kept for watchers that lag
)

// Commit applies t and returns the revision at which it happened. When ctx ends first, the answer
// is ErrAmbiguous.
func (s *Store) Commit(ctx context.Context, t Txn) (int64, error) {
	type answer struct {
		revision int64
		err      error
	}
	c := make(chan answer, 1)
	s.Submit(t, func(revision int64, err error) { c <- answer{revision, err} })
	select {
	case a := <-c:
		return a.revision, a.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", ErrAmbiguous, ctx.Err())
	}
}

// Submit applies t and then calls done, once, with the revision or the error. Transactions that
// wait at the same time travel to etcd together. done must not block: others' answers wait for it.
// It may be called before Submit returns. t must not be changed any more.
func (s *Store) Submit(t Txn, done func(revision int64, err error)) {
	if err := t.check(); err != nil {
		done(0, err)
		return
	}
	if !s.commits.add(&pending{Txn: t, done: done}) {
		done(0, ErrClosed)
	}
}

// A pending transaction waits for its answer.
type pending struct {
	Txn
	done func(int64, error)
}

// A committer merges waiting transactions into few large ones.
type committer struct {
	db               backend
	prefix           string
	maxOps, maxBytes int
	mu               sync.Mutex
	wake             sync.Cond             // ready, inFlight or closed changed
	ready            []*pending            // first come, first served; one of each Order
	orders           map[string][]*pending // behind one in ready or in flight
	waiting          int                   // in ready and orders
	inFlight         int
	closed           bool
	figures          CommitStats
	own              map[int64]bool // revisions made here
	ring             [remembered]int64
	next             int
	sent             uint64        // merged transactions
	settling         chan struct{} // closed when one settles
	open             map[uint64]bool
}

func newCommitter(db backend, prefix string) *committer {
	c := &committer{db: db, prefix: prefix, orders: map[string][]*pending{}, own: map[int64]bool{}, open: map[uint64]bool{}, settling: make(chan struct{})}
	c.maxOps, c.maxBytes = db.limits()
	c.wake.L = &c.mu
	return c
}

func (c *committer) add(p *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.waiting++
	if p.Order != "" {
		if behind, busy := c.orders[p.Order]; busy {
			c.orders[p.Order] = append(behind, p)
			return true
		}
		c.orders[p.Order] = nil
	}
	c.ready = append(c.ready, p)
	c.wake.Broadcast()
	return true
}

// run sends groups until stop.
func (c *committer) run() {
	var lane sync.WaitGroup
	defer lane.Wait()
	for {
		c.mu.Lock()
		for !c.closed && (len(c.ready) == 0 || c.inFlight == lanes) {
			c.wake.Wait()
		}
		if c.closed {
			c.mu.Unlock()
			return
		}
		g := c.take()
		c.inFlight++
		c.waiting -= len(g.members)
		c.mu.Unlock()
		lane.Go(func() { c.send(g) })
	}
}

// stop refuses what is not on its way yet and waits for the rest.
func (c *committer) stop() {
	c.mu.Lock()
	c.closed = true
	refused := c.ready
	for _, behind := range c.orders {
		refused = append(refused, behind...)
	}
	c.ready, c.waiting = nil, 0
	clear(c.orders)
	c.wake.Broadcast()
	for c.inFlight > 0 {
		c.wake.Wait()
	}
	c.mu.Unlock()
	for _, p := range refused {
		p.done(0, ErrClosed)
	}
}

// A group is transactions that commit together: their guards and writes do not touch each other's.
type group struct {
	members    []*pending
	merged     Txn
	guards     map[string]int64
	written    map[string]bool
	ops, bytes int
}

func newGroup() *group {
	return &group{guards: map[string]int64{}, written: map[string]bool{}}
}

// take removes a group from the head of ready.
func (c *committer) take() *group {
	g := newGroup()
	var rest []*pending
	taken := 0
	for _, p := range c.ready {
		if len(rest) > lanes*4 {
			break // the rest will not fit either, most likely
		}
		taken++
		if !g.add(p, c.maxOps, c.maxBytes) {
			rest = append(rest, p)
		}
	}
	if len(rest) > 0 {
		c.ready = append(rest, c.ready[taken:]...)
	} else if c.ready = c.ready[taken:]; len(c.ready) == 0 {
		c.ready = nil
	}
	return g
}

// add puts p into the group if it fits. The first always does.
func (g *group) add(p *pending, maxOps, maxBytes int) bool {
	ops, bytes := p.weigh()
	if len(g.members) > 0 {
		if g.ops+ops > maxOps || len(g.guards)+len(p.Guards) > maxOps || g.bytes+bytes > maxBytes || p.lease != g.merged.lease || !g.independent(p) {
			return false
		}
	}
	g.merged.lease = p.lease
	for _, guard := range p.Guards {
		if _, have := g.guards[guard.Key]; !have {
			g.guards[guard.Key] = guard.Revision
			g.merged.Guards = append(g.merged.Guards, guard)
		}
	}
	for _, k := range p.keys() {
		g.written[k] = true
	}
	g.merged.Puts = append(g.merged.Puts, p.Puts...)
	g.merged.Deletes = append(g.merged.Deletes, p.Deletes...)
	g.ops, g.bytes, g.members = g.ops+ops, g.bytes+bytes, append(g.members, p)
	return true
}

// independent reports whether p may share a transaction with the group's members, with the same
// outcome as one after the other.
func (g *group) independent(p *pending) bool {
	for _, guard := range p.Guards {
		if r, have := g.guards[guard.Key]; g.written[guard.Key] || have && r != guard.Revision {
			return false
		}
	}
	for _, k := range p.keys() {
		if _, guarded := g.guards[k]; guarded || g.written[k] {
			return false
		}
	}
	return true
}

// send commits a group. Members whose guards fail are answered; the others go again without them.
func (c *committer) send(g *group) {
	g = c.admit(g)
	for len(g.members) > 0 {
		o, err := c.try(g)
		if err != nil || len(o.failed) == 0 {
			for _, p := range g.members {
				p.done(o.revision, err)
				c.release(p)
			}
			break
		}
		g = c.dismiss(g, o.failed)
	}
	c.mu.Lock()
	c.inFlight--
	c.wake.Broadcast()
	c.mu.Unlock()
}

// admit refuses members that need room while there is none, and returns a group of the others.
func (c *committer) admit(g *group) *group {
	full := c.db.room()
	if full == nil {
		return g
	}
	rest := newGroup()
	for _, p := range g.members {
		if !p.needsRoom() {
			rest.add(p, c.maxOps, c.maxBytes)
			continue
		}
		p.done(0, fmt.Errorf("store: commit: %w", full))
		c.release(p)
	}
	return rest
}

// try sends the group once, and remembers the revision as this store's own.
func (c *committer) try(g *group) (outcome, error) {
	t := g.merged.under(c.prefix)
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	c.mu.Lock()
	c.sent++
	number := c.sent
	c.open[number] = true
	c.mu.Unlock()

	began := time.Now()
	o, err := c.db.txn(ctx, t)

	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, number)
	close(c.settling)
	c.settling = make(chan struct{})
	c.figures.count(g, len(o.failed) > 0, err, time.Since(began))
	if err == nil && o.changed {
		delete(c.own, c.ring[c.next])
		c.own[o.revision], c.ring[c.next] = true, o.revision
		c.next = (c.next + 1) % remembered
	}
	if err != nil {
		err = fmt.Errorf("store: commit: %w", err)
	}
	return o, err
}

// dismiss answers the members that failed and returns a group of the others.
func (c *committer) dismiss(g *group, failed []ConflictError) *group {
	found := make(map[string]int64, len(failed))
	for _, f := range failed {
		found[f.Guard.Key[len(c.prefix):]] = f.Found
	}
	rest := newGroup()
	for _, p := range g.members {
		var conflict *ConflictError
		for _, guard := range p.Guards {
			if r, bad := found[guard.Key]; bad && !guard.holds(r) {
				conflict = &ConflictError{guard, r}
				break
			}
		}
		if conflict == nil {
			rest.add(p, c.maxOps, c.maxBytes)
			continue
		}
		c.mu.Lock()
		c.figures.Conflicts++
		c.mu.Unlock()
		p.done(0, conflict)
		c.release(p)
	}
	return rest
}

// release lets the next transaction of p's Order go.
func (c *committer) release(p *pending) {
	if p.Order == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	behind := c.orders[p.Order]
	if len(behind) == 0 {
		delete(c.orders, p.Order)
		return
	}
	c.orders[p.Order] = behind[1:]
	c.ready = append(c.ready, behind[0])
	c.wake.Broadcast()
}

// made reports whether one of this store's commits made the revision. A watcher may hear of a
// commit before its answer is here: then made waits for the answers that are out.
func (c *committer) made(ctx context.Context, revision int64) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.sent
	for !c.own[revision] && c.anyOpen(last) {
		settling := c.settling
		c.mu.Unlock()
		select {
		case <-settling:
			c.mu.Lock()
		case <-ctx.Done():
			c.mu.Lock()
			return false, ctx.Err()
		}
	}
	return c.own[revision], nil
}

// anyOpen reports whether a transaction up to the numbered one is unanswered.
func (c *committer) anyOpen(last uint64) bool {
	for n := range c.open {
		if n <= last {
			return true
		}
	}
	return false
}

// under returns t with absolute keys.
func (t *Txn) under(prefix string) *Txn {
	abs := &Txn{lease: t.lease, Guards: make([]Guard, len(t.Guards)), Puts: make([]Put, len(t.Puts)), Deletes: make([]string, len(t.Deletes))}
	for i, g := range t.Guards {
		abs.Guards[i] = Guard{prefix + g.Key, g.Revision}
	}
	for i, p := range t.Puts {
		abs.Puts[i] = Put{prefix + p.Key, p.Value}
	}
	for i, k := range t.Deletes {
		abs.Deletes[i] = prefix + k
	}
	return abs
}

// count adds one merged transaction to the figures.
func (f *CommitStats) count(g *group, refused bool, err error, took time.Duration) {
	switch {
	case errors.Is(err, ErrAmbiguous):
		f.Ambiguous++
	case err != nil:
		f.Errors++
	case !refused:
		f.Groups++
		f.Commits += uint64(len(g.members))
		f.Writes += uint64(g.ops)
		f.Seconds += took.Seconds()
		f.Largest = max(f.Largest, len(g.members))
	}
}
