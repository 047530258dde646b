package store

import (
	"context"
	"iter"
	"sync"
)

// page is how many keys a load asks for at a time.
const page = 4000

// Get reads one key, linearizably. A missing key is no error: its Revision is 0.
func (s *Store) Get(ctx context.Context, key string) (KV, error) {
	return s.get(ctx, key, false)
}

// GetStale reads one key from the nearest member, which may lag behind.
func (s *Store) GetStale(ctx context.Context, key string) (KV, error) {
	return s.get(ctx, key, true)
}

func (s *Store) get(ctx context.Context, key string, stale bool) (KV, error) {
	kv, _, err := s.db.get(ctx, s.opts.Prefix+key, stale)
	kv.Key = key
	return kv, err
}

// Revision returns the present revision, linearizably.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	_, rev, err := s.db.get(ctx, s.opts.Prefix+"schema", false)
	return rev, err
}

// Load calls each for every key with the prefix, in order, all as of one revision, which it
// returns: a watch from the next one misses nothing. It stops at the first error of each. The
// values are each's to keep.
func (s *Store) Load(ctx context.Context, prefix string, each func(KV) error) (int64, error) {
	w := newWindow(s.opts.Prefix + prefix)
	revision := int64(0)
	for !w.done() {
		kvs, more, rev, err := s.db.scan(ctx, w.from, w.to, page, revision)
		if err != nil {
			return 0, err
		}
		if revision == 0 {
			revision = rev
			defer s.pins.add(rev)()
		}
		w.advance(kvs, more)
		for _, kv := range kvs {
			kv.Key = kv.Key[len(s.opts.Prefix):]
			if err := each(kv); err != nil {
				return 0, err
			}
		}
	}
	return revision, nil
}

// A window moves over the keys of a prefix. etcd walks the index of the whole range that a page is
// taken from, so a page asks for a range that holds about as many keys as its limit: up to the
// successor of the first depth bytes of its start.
type window struct {
	from, to, end string
	prefix, depth int // lengths
}

func newWindow(prefix string) *window {
	end := after(prefix)
	return &window{from: prefix, to: end, end: end, prefix: len(prefix), depth: len(prefix)}
}

func (w *window) done() bool { return w.from >= w.end }

// advance moves past what one page found.
func (w *window) advance(kvs []KV, more bool) {
	if more {
		last := kvs[len(kvs)-1].Key
		w.from, w.depth = last+"\x00", common(kvs[0].Key, last)+1
	} else {
		w.from = w.to
		if len(kvs) < page/2 && w.depth > w.prefix {
			w.depth--
		}
	}
	w.to = w.end
	if w.depth > w.prefix && !w.done() {
		w.to = min(w.end, after(w.from[:min(w.depth, len(w.from))]))
	}
}

// common returns how many bytes a and b begin with alike.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// Watch yields every change under the prefix from the revision on, in order, those of one
// revision together. It ends with ctx's error, with ErrCompacted (load again), or with ErrClosed.
func (s *Store) Watch(ctx context.Context, prefix string, from int64) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()
		for batch, err := range s.db.watch(ctx, s.opts.Prefix+prefix, from) {
			if err == nil {
				batch.Own, err = s.commits.made(ctx, batch.Revision)
			}
			if s.ctx.Err() != nil {
				err = ErrClosed
			}
			if err != nil {
				yield(Batch{}, err)
				return
			}
			for i := range batch.Events {
				batch.Events[i].Key = batch.Events[i].Key[len(s.opts.Prefix):]
			}
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// pins are the revisions that loads read at, which compaction must leave.
type pins struct {
	mu  sync.Mutex
	set map[int64]int
}

func (p *pins) add(revision int64) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil {
		p.set = map[int64]int{}
	}
	p.set[revision]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.set[revision]--; p.set[revision] == 0 {
			delete(p.set, revision)
		}
	}
}

// oldest returns the lowest pinned revision, or revision when none is lower.
func (p *pins) oldest(revision int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range p.set {
		revision = min(revision, r)
	}
	return revision
}
