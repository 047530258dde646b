package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// The keys of a service: its record, its specs by revision, its instances in blocks.
//
//	service/<id>            JSON of service.Service
//	spec/<id>/<revision>    JSON of service.Spec
//	instance/<id>/<block>   service.DecodeBlock
//	output/<id>             JSON of the values of its outputs, if it has any
const (
	headPrefix    = "service/"
	specPrefix    = "spec/"
	blockPrefix   = "instance/"
	outputPrefix  = "output/"
	revisionsKept = service.RevisionsKept
)

func headKey(id uint64) string { return headPrefix + idText(id) }

func specKey(id uint64, revision uint32) string {
	return specPrefix + idText(id) + "/" + strconv.FormatUint(uint64(revision), 10)
}

func outputKey(id uint64) string { return outputPrefix + idText(id) }

func blockKey(id uint64, block uint32) string {
	return blockPrefix + idText(id) + "/" + strconv.FormatUint(uint64(block), 10)
}

func recordKey(id uint64, r service.Record) string {
	switch r.Kind {
	case service.SpecRecord:
		return specKey(id, r.Number)
	case service.BlockRecord:
		return blockKey(id, r.Number)
	case service.OutputRecord:
		return outputKey(id)
	}
	return headKey(id)
}

// seal encrypts specs and outputs, which may hold secrets.
func (e *Engine) seal(key string, r service.Record) []byte {
	if e.opts.Vault == nil || r.Kind != service.SpecRecord && r.Kind != service.OutputRecord {
		return r.Value
	}
	return e.opts.Vault.Seal(r.Value, key)
}

func (e *Engine) unseal(kv store.KV) ([]byte, error) {
	if e.opts.Vault == nil {
		return kv.Value, nil
	}
	return e.opts.Vault.Open(kv.Value, kv.Key)
}

func splitKey(key, prefix string) (id uint64, number uint32, ok bool) {
	a, b, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
	id, err := strconv.ParseUint(a, 10, 64)
	if err != nil {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(b, 10, 32)
	return id, uint32(n), err == nil
}

// parts are the records of one service as they are read.
type parts struct {
	svc       *service.Service
	head      int64
	specs     map[uint32][]byte
	instances []*service.Instance
	roles     []uint16
}

// load reads all services. One whose records are damaged is left alone, machines and all, and does not
// keep the others from being served.
func (e *Engine) load(ctx context.Context) error {
	all := make(map[uint64]*parts)
	alone := func(id uint64, key string, err error) {
		delete(all, id)
		e.log.Error("a service cannot be read and is left alone", "service", id, "key", key, "error", err)
	}
	revision, err := e.store.Load(ctx, headPrefix, func(kv store.KV) error {
		svc, err := service.Decode(kv.Value)
		if err != nil {
			alone(0, kv.Key, err)
			return nil
		}
		all[svc.ID] = &parts{svc: svc, head: kv.Revision, specs: make(map[uint32][]byte, 1)}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load services: %w", err)
	}
	e.hub.begin(revision)
	if _, err := e.store.Load(ctx, specPrefix, func(kv store.KV) error {
		var err error
		id, revision, ok := splitKey(kv.Key, specPrefix)
		p := all[id]
		if !ok || p == nil || !p.needs(revision) {
			return nil
		}
		if p.specs[revision], err = e.unseal(kv); err != nil {
			alone(id, kv.Key, err)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("load specs: %w", err)
	}
	if _, err := e.store.Load(ctx, blockPrefix, func(kv store.KV) error {
		id, _, ok := splitKey(kv.Key, blockPrefix)
		if p := all[id]; ok && p != nil {
			if err := p.add(kv); err != nil {
				alone(id, kv.Key, err)
			}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("load instances: %w", err)
	}
	if _, err := e.store.Load(ctx, outputPrefix, func(kv store.KV) error {
		id, err := strconv.ParseUint(strings.TrimPrefix(kv.Key, outputPrefix), 10, 64)
		if p := all[id]; err == nil && p != nil {
			if err := e.addOutputs(p, kv); err != nil {
				alone(id, kv.Key, err)
			}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("load outputs: %w", err)
	}
	now := time.Now()
	for id, p := range all {
		if err := e.complete(p, now); err != nil {
			alone(id, headKey(id), err)
			continue
		}
		a := &actor{id: id, svc: p.svc, head: p.head, shard: store.Shard(idText(id))}
		e.actors[id] = a
		e.noteCommitted(a, nil)
		e.watchAllHealth(a)
		a.place = turning // its first turn comes when its back ends were listed: see adopt
		e.loaded = append(e.loaded, a)
		delete(all, id)
	}
	return nil
}

func (e *Engine) addOutputs(p *parts, kv store.KV) error {
	text, err := e.unseal(kv)
	if err != nil {
		return err
	}
	return p.svc.LoadOutputs(text)
}

func (p *parts) needs(revision uint32) bool {
	return revision == p.svc.Revision || (p.svc.Rollout != nil && revision == p.svc.Rollout.From)
}

func (p *parts) add(kv store.KV) error {
	instances, roles, err := service.DecodeBlock(kv.Value)
	if err != nil {
		return fmt.Errorf("%s: %w", kv.Key, err)
	}
	p.instances, p.roles = append(p.instances, instances...), append(p.roles, roles...)
	return nil
}

// complete puts the parts together.
func (e *Engine) complete(p *parts, now time.Time) error {
	spec, err := e.specs.decode(p.specs[p.svc.Revision])
	if err != nil {
		return fmt.Errorf("service %d: spec of revision %d: %w", p.svc.ID, p.svc.Revision, err)
	}
	var previous *service.Spec
	if r := p.svc.Rollout; r != nil {
		if previous, err = e.specs.decode(p.specs[r.From]); err != nil {
			return fmt.Errorf("service %d: spec of revision %d: %w", p.svc.ID, r.From, err)
		}
	}
	sort.Sort(bySerial(*p))
	return p.svc.Load(spec, previous, p.instances, p.roles, now)
}

type bySerial parts

func (p bySerial) Len() int           { return len(p.instances) }
func (p bySerial) Less(i, j int) bool { return p.instances[i].Serial < p.instances[j].Serial }
func (p bySerial) Swap(i, j int) {
	p.instances[i], p.instances[j] = p.instances[j], p.instances[i]
	p.roles[i], p.roles[j] = p.roles[j], p.roles[i]
}

// reload reads one service again, linearizably; nil when it is not there.
// It waits for a store that does not answer; an error means that the record cannot be read, or that the
// engine ends. What was not answered for certain (doubtful) may still happen: it is fenced off first.
func (e *Engine) reload(a *actor, t *turnOf, doubtful bool) (*service.Service, int64, error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		svc, head, err := e.readService(e.ctx, a, t, doubtful)
		if err == nil || errors.Is(err, errUnreadable) {
			return svc, head, err
		}
		e.log.Warn("a service cannot be read again yet", "service", a.id, "error", err)
		select {
		case <-e.ctx.Done():
			return nil, 0, e.ctx.Err()
		case <-time.After(wait):
		}
	}
}

// errUnreadable: a record was read and makes no sense.
var errUnreadable = errors.New("damaged record")

func (e *Engine) readService(ctx context.Context, a *actor, t *turnOf, doubtful bool) (*service.Service, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	id := a.id
	if doubtful && a.fresh {
		// Asked again, a new service is stored now or was stored before: its guard says which.
		if _, err := e.store.Commit(ctx, t.txn); err != nil && !errors.Is(err, store.ErrConflict) {
			return nil, 0, err
		}
	}
	kv, err := e.store.Get(ctx, headKey(id))
	if err != nil || kv.Revision == 0 {
		return nil, 0, err
	}
	if doubtful && !a.fresh {
		kv.Revision, err = e.store.Commit(ctx, store.Txn{Puts: []store.Put{{Key: kv.Key, Value: kv.Value}},
			Guards: []store.Guard{e.tenure.Fence(a.shard), store.At(kv.Key, kv.Revision)}})
		if err != nil {
			return nil, 0, err
		}
	}
	svc, err := service.Decode(kv.Value)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	p := &parts{svc: svc, head: kv.Revision, specs: make(map[uint32][]byte)}
	if _, err := e.store.Load(ctx, specPrefix+idText(id)+"/", func(kv store.KV) error {
		var err error
		if _, revision, ok := splitKey(kv.Key, specPrefix); ok && p.needs(revision) {
			p.specs[revision], err = e.unseal(kv)
		}
		return err
	}); err != nil {
		return nil, 0, err
	}
	if _, err := e.store.Load(ctx, blockPrefix+idText(id)+"/", p.add); err != nil {
		return nil, 0, err
	}
	if kv, err := e.store.Get(ctx, outputKey(id)); err != nil {
		return nil, 0, err
	} else if kv.Revision != 0 {
		if err := e.addOutputs(p, kv); err != nil {
			return nil, 0, fmt.Errorf("%w: %w", errUnreadable, err)
		}
	}
	if err := e.complete(p, time.Now()); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return svc, kv.Revision, nil
}

// Spec reads the spec of a revision; service.Spec values are never changed.
func (e *Engine) Spec(ctx context.Context, id uint64, revision uint32) (*service.Spec, error) {
	kv, err := e.store.Get(ctx, specKey(id, revision))
	if err != nil {
		return nil, fmt.Errorf("service %d: read revision %d: %w", id, revision, err)
	}
	if kv.Revision == 0 {
		return nil, fmt.Errorf("service %d: %w: %d is none of those that are kept", id, ErrNoRevision, revision)
	}
	text, err := e.unseal(kv)
	if err != nil {
		return nil, err
	}
	return e.specs.decode(text)
}

// Revisions returns the revisions of a service's spec that are kept, oldest first.
func (e *Engine) Revisions(ctx context.Context, id uint64) ([]uint32, error) {
	var out []uint32
	_, err := e.store.Load(ctx, specPrefix+idText(id)+"/", func(kv store.KV) error {
		if _, revision, ok := splitKey(kv.Key, specPrefix); ok {
			out = append(out, revision)
		}
		return nil
	})
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out, err
}

// A specCache keeps equal specs once: services made from one template share theirs.
type specCache struct {
	mu    sync.Mutex
	seen  map[string]*service.Spec
	bytes int // of the texts in seen
}

// What the cache keeps at most, and how long a text is worth sharing: services keep their own specs, so
// forgetting costs memory for doubles and no more.
const (
	specsShared = 4096
	specsBytes  = 32 << 20
	specWorth   = 64 << 10
)

func (c *specCache) decode(text []byte) (*service.Spec, error) {
	if text == nil {
		return nil, errors.New("it is missing")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.seen[string(text)]; s != nil {
		return s, nil
	}
	s := new(service.Spec)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	c.keep(string(text), s)
	return s, nil
}

func (c *specCache) keep(text string, s *service.Spec) {
	if len(text) > specWorth {
		return
	}
	if c.seen == nil || len(c.seen) >= specsShared || c.bytes+len(text) > specsBytes {
		c.seen, c.bytes = make(map[string]*service.Spec), 0
	}
	c.seen[text] = s
	c.bytes += len(text)
}

// share returns the spec that is kept for an equal one.
func (c *specCache) share(s *service.Spec) *service.Spec {
	text, err := json.Marshal(s)
	if err != nil {
		return s
	}
	shared, err := c.decode(text)
	if err != nil {
		return s
	}
	return shared
}
