package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// leave removes a service for good, in the background: the data of its stable instances if that was
// asked for, then its records. What fails is tried again by housekeep.
func (e *Engine) leave(a *actor) {
	a.mu.Lock()
	busy := a.leaving
	a.leaving = true
	a.mu.Unlock()
	if busy {
		return
	}
	e.calls.Add(1)
	go func() {
		defer e.calls.Done()
		err := e.removeData(a)
		if err == nil {
			err = e.remove(a)
		}
		if err != nil && e.ctx.Err() == nil {
			e.log.Error("cannot remove a service yet; tried again later", "service", a.id, "error", err)
		}
		a.mu.Lock()
		a.leaving = false
		a.mu.Unlock()
	}()
}

// remove deletes a service's records and forgets it.
func (e *Engine) remove(a *actor) error {
	a.lock.Lock()
	if a.gone || a.svc == nil {
		a.lock.Unlock()
		return nil
	}
	ctx, cancel := context.WithTimeout(e.ctx, 20*time.Second)
	defer cancel()
	left := e.leaves(a.svc)
	revision, err := e.deleteRecords(ctx, a, left)
	if err != nil {
		a.lock.Unlock()
		return fmt.Errorf("remove its records: %w", err)
	}
	a.gone = true
	if left != nil {
		e.mu.Lock()
		e.kept[a.id] = *left
		e.mu.Unlock()
	}
	e.forget(a, nil)
	for serial := range a.checks {
		e.endChecks(a, serial)
	}
	e.tellGone(a.svc)
	e.hub.publish(Change{Service: a.id, Revision: revision, Spec: a.svc.Spec, State: service.Done, Removed: true, Meta: a.svc.Meta, Events: a.svc.Events()})
	a.lock.Unlock()
	e.refuseAll(a, ErrNoService)
	return nil
}

// deleteRecords deletes the blocks first and the service record last, in as many transactions as that
// takes: whatever remains after a crash still says what it was. With the last of them it notes what the service
// has left (nil for nothing).
func (e *Engine) deleteRecords(ctx context.Context, a *actor, left *Kept) (int64, error) {
	var keys []string
	for _, prefix := range [...]string{blockPrefix, specPrefix} {
		if _, err := e.store.Load(ctx, prefix+idText(a.id)+"/", func(kv store.KV) error {
			keys = append(keys, kv.Key)
			return nil
		}); err != nil {
			return 0, err
		}
	}
	const most = store.MaxOps - revisionsKept - 10 // the specs go together with the service record
	for len(keys) > most {
		t := store.Txn{Guards: []store.Guard{e.tenure.Fence(a.shard), store.At(headKey(a.id), a.head)}, Deletes: keys[:most]}
		if _, err := e.store.Commit(ctx, t); err != nil {
			return 0, err
		}
		keys = keys[most:]
	}
	t := store.Txn{Guards: []store.Guard{e.tenure.Fence(a.shard), store.At(headKey(a.id), a.head)}, Deletes: append(keys, headKey(a.id), outputKey(a.id))}
	if left != nil {
		text, err := json.Marshal(left)
		if err != nil {
			return 0, err
		}
		t.Puts = []store.Put{{Key: keptKey(a.id), Value: text}}
	}
	revision, err := e.store.Commit(ctx, t)
	if err == nil || errors.Is(err, store.ErrClosed) {
		return revision, err
	}
	// It may have happened.
	if kv, again := e.store.Get(ctx, headKey(a.id)); again == nil && kv.Revision == 0 {
		return e.Revision(), nil
	}
	return 0, err
}

// removeData removes what stable instances keep, when a service leaves for good and that was asked for.
func (e *Engine) removeData(a *actor) error {
	var data []service.KeptData
	e.read(a, func(svc *service.Service) {
		if svc.Data {
			data = svc.KeptData()
		}
	})
	ctx, cancel := context.WithTimeout(e.ctx, 10*time.Minute)
	defer cancel()
	return e.removeAll(ctx, a.id, data)
}
