package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Shards is the number of shards.
const Shards = 256

// Shard returns the shard of an actor.
func Shard(id string) uint8 { return uint8(xxhash.Sum64String(id) >> 56) }

func shardKey(shard uint8) string { return fmt.Sprintf("shard/%03d", shard) }

// A claim is the record of a shard's owner, and of the leading server.
type claim struct {
	Server string `json:"server"`
	Name   string `json:"name,omitempty"`
	Epoch  uint64 `json:"epoch"`
}

// shards is the store's part in owning them.
type shards struct {
	mu      sync.Mutex
	tenure  *Tenure    // nil: standby
	leader  claim      // who holds the shards instead, as far as known
	closed  bool       // no tenure may begin
	acquire sync.Mutex // one Acquire at a time
}

// A Tenure is a time during which this server owns shards: all of them, at present. Its fences
// fail for ever once it has ended.
type Tenure struct {
	epoch  uint64
	fences [Shards]int64
	ctx    context.Context // ends with the tenure
	end    context.CancelFunc
	lease  int64 // 0: no lease, and no time limit
	mu     sync.Mutex
	until  time.Time
}

// Epoch grows with each tenure of any server.
func (t *Tenure) Epoch() uint64 { return t.epoch }

// Fence guards a commit: it holds as long as this tenure owns the shard.
func (t *Tenure) Fence(shard uint8) Guard { return At(shardKey(shard), t.fences[shard]) }

// Lost is closed when the tenure has ended.
func (t *Tenure) Lost() <-chan struct{} { return t.ctx.Done() }

// Owned reports whether the shard is this tenure's, and until when that is certain without further
// renewal: an effect may start if its call ends before. A zero time means without limit.
func (t *Tenure) Owned(shard uint8) (until time.Time, ok bool) {
	if t.ctx.Err() != nil {
		return time.Time{}, false
	}
	if t.lease == 0 {
		return time.Time{}, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// The monotonic clock stands still while the machine is suspended, the other may be set.
	now := time.Now()
	return t.until, now.Before(t.until) && now.Round(0).Before(t.until.Round(0))
}

func (t *Tenure) extend(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = until
}

// Standby reports whether another server owns the shards, or nobody yet. With it come the name and
// id of the server that was last seen to own them.
func (s *Store) Standby() (leader string, standby bool) {
	s.shards.mu.Lock()
	defer s.shards.mu.Unlock()
	if s.shards.tenure != nil {
		return "", false
	}
	if s.shards.leader.Name != "" {
		return s.shards.leader.Name + " (" + s.shards.leader.Server + ")", true
	}
	return s.shards.leader.Server, true
}

// Acquire waits until this server owns the shards, as a standby while another does, and returns
// the tenure. If there is one already, it returns that.
func (s *Store) Acquire(ctx context.Context) (*Tenure, error) {
	s.shards.acquire.Lock()
	defer s.shards.acquire.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	for {
		s.shards.mu.Lock()
		t := s.shards.tenure
		s.shards.mu.Unlock()
		if t != nil {
			return t, nil
		}
		t, err := s.campaign(ctx)
		switch {
		case err == nil && t != nil:
			if !s.appoint(t) {
				return nil, ErrClosed
			}
			return t, nil
		case s.ctx.Err() != nil:
			return nil, ErrClosed
		case ctx.Err() != nil:
			return nil, fmt.Errorf("store: wait for the shards: %w", ctx.Err())
		case !s.opts.Shared && err != nil:
			return nil, fmt.Errorf("store: take the shards: %w", err)
		case err != nil:
			s.log.Warn("cannot take the shards yet", "error", err)
			pause(ctx, s.opts.LeaseTTL/6)
		default:
			s.awaitVacancy(ctx)
		}
	}
}

// campaign tries once to become the owner. It returns nil when another server is.
func (s *Store) campaign(ctx context.Context) (*Tenure, error) {
	var leader claim
	lead, err := s.read(ctx, "lead", &leader)
	if err != nil {
		return nil, err
	}
	if s.opts.Shared && lead.Revision != 0 {
		s.shards.mu.Lock()
		s.shards.leader = leader
		s.shards.mu.Unlock()
		return nil, nil
	}
	t := &Tenure{}
	if s.opts.Shared {
		asked := time.Now()
		if t.lease, err = s.db.grant(ctx, s.opts.LeaseTTL); err != nil {
			return nil, err
		}
		t.until = asked.Add(s.opts.LeaseTTL)
	}
	if err := s.claim(ctx, t, lead.Revision); err != nil {
		if t.lease != 0 {
			_ = s.db.revoke(ctx, t.lease) // it ends by itself
		}
		if errors.Is(err, ErrConflict) {
			return nil, nil
		}
		return nil, err
	}
	return t, nil
}

// claim writes the leader's key, then those of the shards, which are bound to the same lease.
func (s *Store) claim(ctx context.Context, t *Tenure, lead int64) error {
	kv, err := s.read(ctx, "epoch", &t.epoch)
	if err != nil {
		return err
	}
	t.epoch++
	mine := claim{s.server, s.opts.Name, t.epoch}
	// A full database can be emptied only by an owner.
	bump, take := Txn{Vital: true}, Txn{Vital: true}
	bump.put("epoch", kv.Revision, t.epoch)
	if _, err := s.Commit(ctx, bump); err != nil {
		return err
	}
	take.put("lead", lead, mine)
	take.lease = t.lease
	leads, err := s.Commit(ctx, take)
	if err != nil {
		return err
	}
	value, err := json.Marshal(mine)
	if err != nil {
		return err
	}
	const step = MaxOps
	for first := 0; first < Shards; first += step {
		all := Txn{Guards: []Guard{At("lead", leads)}, Vital: true, lease: t.lease}
		for n := first; n < first+step; n++ {
			all.Puts = append(all.Puts, Put{shardKey(uint8(n)), value})
		}
		revision, err := s.Commit(ctx, all)
		if err != nil {
			return err
		}
		for n := first; n < first+step; n++ {
			t.fences[n] = revision
		}
	}
	return nil
}

// appoint makes t the store's tenure, unless the store is closing, and keeps its lease alive.
func (s *Store) appoint(t *Tenure) bool {
	s.shards.mu.Lock()
	defer s.shards.mu.Unlock()
	if s.shards.closed {
		return false // the lease ends by itself
	}
	t.ctx, t.end = context.WithCancel(s.ctx)
	s.shards.tenure = t
	s.log.Info("took the shards", "epoch", t.epoch)
	if t.lease != 0 {
		s.wg.Go(func() {
			s.keep(t)
			s.dismissed(t)
			s.giveBack(t.lease) // the lease may outlive what we know of it
		})
	}
	return true
}

// dismissed ends the tenure.
func (s *Store) dismissed(t *Tenure) {
	s.shards.mu.Lock()
	if s.shards.tenure == t {
		s.shards.tenure = nil
	}
	s.shards.mu.Unlock()
	t.end()
}

// keep renews the lease until it is lost.
func (s *Store) keep(t *Tenure) {
	every := time.NewTicker(s.opts.LeaseTTL / 3)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-t.ctx.Done():
			return
		}
		asked := time.Now()
		ctx, cancel := context.WithTimeout(t.ctx, s.opts.LeaseTTL/3)
		err := s.db.renew(ctx, t.lease)
		cancel()
		if err == nil {
			t.extend(asked.Add(s.opts.LeaseTTL))
			continue
		}
		if _, ok := t.Owned(0); !ok || errors.Is(err, ErrConflict) {
			if t.ctx.Err() == nil {
				s.log.Warn("lost the shards", "epoch", t.epoch, "error", err)
			}
			return
		}
	}
}

// awaitVacancy returns when the leader's key has gone, or after a while.
func (s *Store) awaitVacancy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.LeaseTTL)
	defer cancel()
	kv, revision, err := s.db.get(ctx, s.opts.Prefix+"lead", false)
	if err != nil {
		<-ctx.Done() // etcd is away
		return
	}
	if kv.Revision == 0 {
		return
	}
	for batch, err := range s.Watch(ctx, "lead", revision+1) {
		if err != nil {
			return
		}
		for _, e := range batch.Events {
			if e.Deleted {
				return
			}
		}
	}
}

// resign gives the shards back, so that a standby need not wait for the lease to end.
func (s *Store) resign() {
	s.shards.mu.Lock()
	t := s.shards.tenure
	s.shards.closed = true
	s.shards.mu.Unlock()
	if t != nil {
		s.dismissed(t)
		if t.lease != 0 {
			s.giveBack(t.lease)
		}
	}
}

func (s *Store) giveBack(lease int64) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.db.revoke(ctx, lease); err != nil {
		s.log.Debug("could not give the shards back; they are free when the lease ends", "error", err)
	}
}

// pause waits, but no longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
