package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	upkeepEvery = 30 * time.Second
	historyAge  = 5 * time.Minute  // older revisions go, even when fewer than Options.Keep
	defragEvery = 10 * time.Minute // at most
	defragFrom  = 64 << 20         // bytes; a smaller database is not worth the pause
)

// upkeep is what keeps the database from growing.
type upkeep struct {
	mu         sync.Mutex
	marks      []mark // of the last historyAge
	compacted  int64
	shrunk     int64 // what was compacted when the database was last defragmented for being full
	defragged  time.Time
	compacts   uint64
	defrags    uint64
	lastStatus dbStatus
}

// A mark says which revision was reached when.
type mark struct {
	at       time.Time
	revision int64
}

// init also takes the first figures; they come with the first upkeep where that fails.
func (u *upkeep) init(ctx context.Context, db backend) {
	u.defragged = time.Now()
	u.lastStatus, _ = db.status(ctx)
}

// target returns up to which revision history may go: all but the last keep revisions, and what
// is older than historyAge.
func (u *upkeep) target(now time.Time, revision, keep int64) int64 {
	target := revision - keep
	i := 0
	for i < len(u.marks) && now.Sub(u.marks[i].at) >= historyAge {
		target = max(target, u.marks[i].revision)
		i++
	}
	u.marks = append(u.marks[i:], mark{now, revision})
	return target
}

func (s *Store) maintainForever() {
	every := time.NewTicker(upkeepEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-s.ctx.Done():
			return
		}
		if _, standby := s.Standby(); standby && s.opts.Shared {
			continue // the owner does it
		}
		ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
		if err := s.Maintain(ctx); err != nil && s.ctx.Err() == nil {
			s.log.Warn("upkeep of the database failed; it is tried again", "error", err)
		}
		cancel()
	}
}

// Maintain drops old history and gives free space back, as far as that is due. When the database
// has reached its quota it does all it can at once and, if that made room, allows writes again.
// The store calls it by itself every half minute.
func (s *Store) Maintain(ctx context.Context) error {
	u := &s.upkeep
	u.mu.Lock()
	defer u.mu.Unlock()
	st, err := s.db.status(ctx)
	if err != nil {
		return fmt.Errorf("store: upkeep: %w", err)
	}
	// The member asked may lag behind.
	if st.revision, err = s.Revision(ctx); err != nil {
		return fmt.Errorf("store: upkeep: %w", err)
	}
	u.lastStatus = st
	target := u.target(time.Now(), st.revision, s.opts.Keep)
	tight := st.full || st.inUse > s.opts.Quota/2
	if tight {
		target = st.revision
	}
	target = s.pins.oldest(target)
	// An idle system writes nothing: small steps wait until they are worth it.
	if target > 0 && target-u.compacted >= max(1, s.opts.Keep/10) || tight && target > u.compacted {
		if err := s.db.compact(ctx, target); err != nil {
			return fmt.Errorf("store: compact: %w", err)
		}
		u.compacted = target
		u.compacts++
	}
	wasteful := st.size >= defragFrom && st.inUse < st.size/2 && time.Since(u.defragged) >= defragEvery
	// A database that is full of live keys does not shrink: it is left alone until some have gone.
	shrinkable := st.alarm || st.full && u.compacted > u.shrunk
	if !shrinkable && !wasteful {
		return nil
	}
	u.defragged = time.Now()
	u.defrags++
	if err := s.db.defragment(ctx); err != nil {
		return err
	}
	u.shrunk = u.compacted
	if u.lastStatus, err = s.db.status(ctx); err != nil {
		return fmt.Errorf("store: upkeep: %w", err)
	}
	return nil
}

// Stats are figures for metrics.
type Stats struct {
	Size, InUse int64 // bytes of the database file, and of what it holds; as of Open or the last upkeep
	Revision    int64 // likewise
	Full        bool  // the quota is reached: only removals are accepted
	Compactions uint64
	Defrags     uint64
	Waiting     int // transactions that were not sent yet
	InFlight    int // merged transactions that are out
	CommitStats
}

// CommitStats count what the committer did since Open.
type CommitStats struct {
	Commits   uint64  // transactions that happened
	Writes    uint64  // keys they wrote or deleted
	Groups    uint64  // merged transactions that carried them
	Conflicts uint64  // transactions refused by a guard
	Ambiguous uint64  // merged transactions without an answer
	Errors    uint64  // merged transactions refused by etcd
	Seconds   float64 // spent by merged transactions, all lanes together
	Largest   int     // transactions in the largest group
}

// Stats returns the figures of now.
func (s *Store) Stats() Stats {
	s.upkeep.mu.Lock()
	u := &s.upkeep
	st := Stats{Size: u.lastStatus.size, InUse: u.lastStatus.inUse, Revision: u.lastStatus.revision, Full: u.lastStatus.full || s.db.room() != nil, Compactions: u.compacts, Defrags: u.defrags}
	s.upkeep.mu.Unlock()
	s.commits.mu.Lock()
	defer s.commits.mu.Unlock()
	st.Waiting, st.InFlight, st.CommitStats = s.commits.waiting, s.commits.inFlight, s.commits.figures
	return st
}
