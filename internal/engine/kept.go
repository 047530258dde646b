package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// keptPrefix begins the keys of what services left behind: kept/<id>, JSON of Kept.
const keptPrefix = "kept/"

// A Kept is the data that a service, which is gone, has left on back ends.
type Kept struct {
	Service uint64             `json:"service"`
	Meta    service.Meta       `json:"meta"`
	Removed time.Time          `json:"removed"`
	Data    []service.KeptData `json:"data"`
}

func keptKey(id uint64) string { return keptPrefix + idText(id) }

func (e *Engine) loadKept(ctx context.Context) error {
	_, err := e.store.Load(ctx, keptPrefix, func(kv store.KV) error {
		var k Kept
		if err := json.Unmarshal(kv.Value, &k); err != nil {
			e.log.Error("what a service left behind cannot be read and is left alone", "key", kv.Key, "error", err)
			return nil
		}
		e.kept[k.Service] = k
		return nil
	})
	if err != nil {
		return fmt.Errorf("load kept data: %w", err)
	}
	return nil
}

// leaves is what stays of a service that goes for good: nil when that is nothing.
func (e *Engine) leaves(svc *service.Service) *Kept {
	if svc.Data {
		return nil // it was removed
	}
	k := &Kept{Service: svc.ID, Meta: svc.Meta, Removed: time.Now().UTC()}
	for _, d := range svc.KeptData() {
		// A back end that is not here now may keep data as well as not.
		d.Backends = slices.DeleteFunc(slices.Clone(d.Backends), func(a service.Account) bool {
			b := e.Backend(a.Driver, a.Account)
			if b == nil {
				return false
			}
			_, keeps := driver.As[driver.DataKeeper](b.Driver)
			return !keeps
		})
		if len(d.Backends) > 0 {
			k.Data = append(k.Data, d)
		}
	}
	if len(k.Data) == 0 {
		return nil
	}
	return k
}

// Kept returns what services that are gone have left, in the order of their ids.
func (e *Engine) Kept() []Kept {
	e.mu.RLock()
	defer e.mu.RUnlock()
	all := make([]Kept, 0, len(e.kept))
	for _, k := range e.kept {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b Kept) int { return cmp.Compare(a.Service, b.Service) })
	return all
}

// RemoveKept removes the data that a service has left, then the record of it. What was removed before it
// failed stays removed; it may be asked for again.
func (e *Engine) RemoveKept(ctx context.Context, id uint64) error {
	if e.paused.Load() {
		return ErrPaused
	}
	e.mu.RLock()
	k, ok := e.kept[id]
	e.mu.RUnlock()
	if !ok {
		return fmt.Errorf("data of service %d: %w", id, ErrNoService)
	}
	if err := e.removeAll(ctx, id, k.Data); err != nil {
		return fmt.Errorf("data of service %d: %w", id, err)
	}
	_, err := e.store.Commit(ctx, store.Txn{Guards: []store.Guard{e.tenure.Fence(store.Shard(idText(id)))}, Deletes: []string{keptKey(id)}})
	if err != nil {
		return fmt.Errorf("data of service %d: forget it: %w", id, err)
	}
	e.mu.Lock()
	delete(e.kept, id)
	e.mu.Unlock()
	return nil
}

// removeAll removes data from the back ends. Those that keep none have nothing to remove.
func (e *Engine) removeAll(ctx context.Context, id uint64, data []service.KeptData) error {
	for _, d := range data {
		for _, a := range d.Backends {
			b := e.Backend(a.Driver, a.Account)
			if b == nil {
				return fmt.Errorf("%w: this server has no back end %s, which may keep data of role %s", driver.ErrUnavailable, backendKey(a.Driver, a.Account), d.Role)
			}
			keeper, ok := driver.As[driver.DataKeeper](b.Driver)
			if !ok {
				continue
			}
			for n := range d.Numbers {
				name := service.DataName(id, d.Role, n)
				if err := keeper.RemoveData(ctx, name); err != nil {
					return fmt.Errorf("remove data %s: %w", name, err)
				}
			}
		}
	}
	return nil
}
