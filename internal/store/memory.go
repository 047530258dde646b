package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/google/btree"
)

// A Memory is a cluster in memory, for simulations and tests. It outlives the stores on it: to
// simulate a crash, leave one store and open another. All of it runs inside a synctest bubble.
type Memory struct {
	mu        sync.Mutex
	revision  int64
	compacted int64
	keys      *btree.BTreeG[*history]
	log       []Batch // since compacted, ascending
	leases    map[int64]*memoryLease
	lastLease int64
	news      chan struct{} // closed and replaced at each revision
	faults    func(Call) Fault
}

// A Call is something asked of a Memory.
type Call string

// The calls.
const (
	CallRead   Call = "read"
	CallCommit Call = "commit"
	CallWatch  Call = "watch" // asked before each batch; an error breaks the watch
	CallRenew  Call = "renew" // of a lease
)

// A Fault is what goes wrong with a call. The zero value is none.
type Fault struct {
	Delay time.Duration // before the call does anything
	// Err answers the call. A commit with ErrAmbiguous has happened if Applied, otherwise not;
	// with another error it has not.
	Err     error
	Applied bool
	After   time.Duration // between doing and answering
}

type history struct {
	key      string
	versions []version // ascending
}

type version struct {
	revision int64
	value    []byte // nil: deleted
	lease    int64
}

type memoryLease struct {
	ttl   time.Duration
	timer *time.Timer
	keys  map[string]bool
}

// NewMemory returns an empty cluster.
func NewMemory() *Memory {
	return &Memory{
		revision: 1,
		keys:     btree.NewG(32, func(a, b *history) bool { return a.key < b.key }),
		leases:   map[int64]*memoryLease{},
		news:     make(chan struct{}),
	}
}

// Inject lets f decide what goes wrong from now on; nil ends it. f is called from many goroutines.
func (m *Memory) Inject(f func(Call) Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = f
}

func (m *Memory) open() backend { return &memoryClient{m} }

// memoryClient is one store's connection.
type memoryClient struct{ m *Memory }

func (c *memoryClient) limits() (ops, bytes int) { return 2048, MaxBytes }
func (c *memoryClient) failed() <-chan struct{}  { return nil }
func (c *memoryClient) failure() error           { return nil }
func (c *memoryClient) close()                   {}

// fault waits as long as it is told to, and returns what to do after that.
func (m *Memory) fault(ctx context.Context, call Call) (Fault, error) {
	m.mu.Lock()
	f := m.faults
	m.mu.Unlock()
	if f == nil {
		return Fault{}, ctx.Err()
	}
	fault := f(call)
	if fault.Delay > 0 {
		pause(ctx, fault.Delay)
	}
	return fault, ctx.Err()
}

func (h *history) at(revision int64) (version, bool) {
	i := sort.Search(len(h.versions), func(i int) bool { return h.versions[i].revision > revision })
	if i == 0 || h.versions[i-1].value == nil {
		return version{}, false
	}
	return h.versions[i-1], true
}

func (m *Memory) find(key string) (version, bool) {
	h, ok := m.keys.Get(&history{key: key})
	if !ok {
		return version{}, false
	}
	return h.at(m.revision)
}

func (c *memoryClient) get(ctx context.Context, key string, _ bool) (KV, int64, error) {
	fault, err := c.m.fault(ctx, CallRead)
	if err == nil {
		err = fault.Err
	}
	if err != nil {
		return KV{}, 0, fmt.Errorf("store: read %s: %w", key, err)
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	v, ok := c.m.find(key)
	if !ok {
		return KV{Key: key}, c.m.revision, nil
	}
	return KV{key, bytes.Clone(v.value), v.revision}, c.m.revision, nil
}

func (c *memoryClient) scan(ctx context.Context, from, to string, limit int, at int64) (kvs []KV, more bool, _ int64, _ error) {
	fault, err := c.m.fault(ctx, CallRead)
	if err == nil {
		err = fault.Err
	}
	if err != nil {
		return nil, false, 0, fmt.Errorf("store: load from %s: %w", from, err)
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if at == 0 {
		at = c.m.revision
	}
	if at < c.m.compacted {
		return nil, false, 0, ErrCompacted
	}
	c.m.keys.AscendRange(&history{key: from}, &history{key: to}, func(h *history) bool {
		v, ok := h.at(at)
		if ok && len(kvs) == limit {
			more = true
			return false
		}
		if ok {
			kvs = append(kvs, KV{h.key, bytes.Clone(v.value), v.revision})
		}
		return true
	})
	return kvs, more, at, nil
}

func (c *memoryClient) txn(ctx context.Context, t *Txn) (outcome, error) {
	fault, err := c.m.fault(ctx, CallCommit)
	if err != nil {
		return outcome{}, fmt.Errorf("%w: %w", ErrAmbiguous, err)
	}
	if fault.Err != nil && !fault.Applied {
		return outcome{}, fault.Err
	}
	o, err := c.m.apply(t)
	if fault.After > 0 {
		pause(ctx, fault.After)
	}
	if fault.Err != nil {
		return outcome{}, fault.Err
	}
	return o, err
}

func (m *Memory) apply(t *Txn) (outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var o outcome
	for _, g := range t.Guards {
		if v, _ := m.find(g.Key); !g.holds(v.revision) {
			o.failed = append(o.failed, ConflictError{g, v.revision})
		}
	}
	if o.revision = m.revision; len(o.failed) > 0 {
		return o, nil
	}
	if _, live := m.leases[t.lease]; t.lease != 0 && !live {
		return outcome{}, fmt.Errorf("%w: the lease has ended", ErrConflict)
	}
	m.write(t)
	o.changed, o.revision = m.revision > o.revision, m.revision
	return o, nil
}

// write makes a new revision, if there is anything to write.
func (m *Memory) write(t *Txn) {
	b := Batch{Revision: m.revision + 1}
	for _, p := range t.Puts {
		value := append([]byte{}, p.Value...)
		m.set(p.Key, version{b.Revision, value, t.lease})
		b.Events = append(b.Events, Event{KV: KV{p.Key, value, b.Revision}})
	}
	for _, k := range t.Deletes {
		if _, ok := m.find(k); ok {
			m.set(k, version{revision: b.Revision})
			b.Events = append(b.Events, Event{KV{Key: k, Revision: b.Revision}, true})
		}
	}
	if len(b.Events) == 0 && len(t.Puts) == 0 {
		return
	}
	m.revision = b.Revision
	m.log = append(m.log, b)
	close(m.news)
	m.news = make(chan struct{})
}

func (m *Memory) set(key string, v version) {
	h, ok := m.keys.Get(&history{key: key})
	if !ok {
		h = &history{key: key}
		m.keys.ReplaceOrInsert(h)
	} else if old := h.versions[len(h.versions)-1]; old.lease != 0 && m.leases[old.lease] != nil {
		delete(m.leases[old.lease].keys, key)
	}
	h.versions = append(h.versions, v)
	if v.lease != 0 {
		m.leases[v.lease].keys[key] = true
	}
}

func (c *memoryClient) watch(ctx context.Context, prefix string, from int64) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for {
			batches, news, err := c.m.since(from)
			if err != nil {
				yield(Batch{}, err)
				return
			}
			for _, b := range batches {
				from = b.Revision + 1
				if b = b.under(prefix); len(b.Events) == 0 {
					continue
				}
				fault, err := c.m.fault(ctx, CallWatch)
				if err == nil {
					err = fault.Err
				}
				if !yield(b, err) || err != nil {
					return
				}
			}
			if len(batches) > 0 {
				continue
			}
			select {
			case <-news:
			case <-ctx.Done():
				yield(Batch{}, ctx.Err())
				return
			}
		}
	}
}

// since returns the batches from the revision on, and a channel that tells of the next.
func (m *Memory) since(from int64) ([]Batch, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if from <= m.compacted && from <= m.revision && m.compacted > 0 && from != 0 {
		return nil, nil, ErrCompacted
	}
	if from == 0 { // as etcd has it: from now on
		from = m.revision + 1
	}
	i := sort.Search(len(m.log), func(i int) bool { return m.log[i].Revision >= from })
	return slices.Clone(m.log[i:]), m.news, nil
}

// under returns the events whose keys have the prefix, with values of their own.
func (b Batch) under(prefix string) Batch {
	out := Batch{Revision: b.Revision}
	for _, e := range b.Events {
		if strings.HasPrefix(e.Key, prefix) {
			e.Value = bytes.Clone(e.Value)
			out.Events = append(out.Events, e)
		}
	}
	return out
}

func (c *memoryClient) grant(_ context.Context, ttl time.Duration) (int64, error) {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastLease++
	id := m.lastLease
	m.leases[id] = &memoryLease{ttl, time.AfterFunc(ttl, func() { m.expire(id) }), map[string]bool{}}
	return id, nil
}

func (m *Memory) expire(id int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.leases[id]
	if l == nil {
		return
	}
	l.timer.Stop()
	t := &Txn{}
	for k := range l.keys {
		t.Deletes = append(t.Deletes, k)
	}
	slices.Sort(t.Deletes)
	delete(m.leases, id)
	m.write(t)
}

func (c *memoryClient) renew(ctx context.Context, lease int64) error {
	fault, err := c.m.fault(ctx, CallRenew)
	if err == nil {
		err = fault.Err
	}
	if err != nil {
		return err
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	l := c.m.leases[lease]
	if l == nil {
		return ErrConflict
	}
	l.timer.Reset(l.ttl)
	return nil
}

func (c *memoryClient) revoke(_ context.Context, lease int64) error {
	c.m.expire(lease)
	return nil
}

func (c *memoryClient) compact(_ context.Context, revision int64) error {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if revision <= m.compacted {
		return nil
	}
	m.compacted = min(revision, m.revision)
	i := sort.Search(len(m.log), func(i int) bool { return m.log[i].Revision > m.compacted })
	m.log = slices.Clone(m.log[i:])
	var gone []*history
	m.keys.Ascend(func(h *history) bool {
		keep := sort.Search(len(h.versions), func(i int) bool { return h.versions[i].revision > m.compacted })
		if keep = max(0, keep-1); keep > 0 {
			h.versions = slices.Clone(h.versions[keep:])
		}
		if len(h.versions) == 1 && h.versions[0].value == nil && h.versions[0].revision <= m.compacted {
			gone = append(gone, h)
		}
		return true
	})
	for _, h := range gone {
		m.keys.Delete(h)
	}
	return nil
}

func (c *memoryClient) defragment(context.Context) error { return nil }
func (c *memoryClient) room() error                      { return nil }

func (c *memoryClient) status(context.Context) (dbStatus, error) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	return dbStatus{revision: c.m.revision}, nil
}

// snapshot writes the present keys as JSON lines; nothing restores them, they are for reading.
func (c *memoryClient) snapshot(_ context.Context, w io.Writer) error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	var err error
	enc := json.NewEncoder(w)
	c.m.keys.Ascend(func(h *history) bool {
		if v, ok := h.at(c.m.revision); ok {
			err = enc.Encode(KV{h.key, v.value, v.revision})
		}
		return err == nil
	})
	return err
}
