package alerting

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/store"
)

// MaxSilences is how many silences a project may have.
const MaxSilences = 1000

// Errors of silences.
var (
	// ErrNoSilence: there is no such silence in the project, or it is over.
	ErrNoSilence = errors.New("no such silence")
	// ErrManySilences: the project has as many as it may.
	ErrManySilences = errors.New("the project has as many silences as it may; end some")
)

// A silenceRecord is what is stored of a silence.
type silenceRecord struct {
	Version int `json:"v"`
	alarm.Silence
}

func (a *Alerting) loadSilences(ctx context.Context, alone func(key string, err error)) error {
	if _, err := a.store.Load(ctx, silencePrefix, func(kv store.KV) error {
		var r silenceRecord
		if err := json.Unmarshal(kv.Value, &r); err != nil {
			alone(kv.Key, err)
			return nil
		}
		a.silences[r.Tenant] = append(a.silences[r.Tenant], r.Silence)
		return checkVersion(kv.Key, r.Version)
	}); err != nil {
		return fmt.Errorf("read silences of alarms: %w", err)
	}
	return nil
}

// Silences returns the silences of a project that are not over, by when they begin.
func (a *Alerting) Silences(tenant int) []alarm.Silence {
	a.mu.RLock()
	list := slices.Clone(a.silences[tenant])
	a.mu.RUnlock()
	now := time.Now()
	list = slices.DeleteFunc(list, func(s alarm.Silence) bool { return !s.To.After(now) })
	slices.SortFunc(list, func(x, y alarm.Silence) int { return cmp.Or(x.From.Compare(y.From), cmp.Compare(x.ID, y.ID)) })
	return list
}

// Silence begins a silence; its ID is given here. Errors are alarm.Problems and ErrManySilences.
func (a *Alerting) Silence(ctx context.Context, s alarm.Silence) (alarm.Silence, error) {
	if err := s.Validate(); err != nil {
		return s, err
	}
	a.defining.Lock()
	defer a.defining.Unlock()
	list := a.Silences(s.Tenant)
	if len(list) >= MaxSilences {
		return s, ErrManySilences
	}
	s.ID = newID()
	value, err := json.Marshal(silenceRecord{recordVersion, s})
	if err != nil {
		return s, fmt.Errorf("encode silence %s: %w", s.ID, err)
	}
	return s, a.setSilences(ctx, s.Tenant, append(list, s), store.Put{Key: silencePrefix + s.ID, Value: value})
}

// EndSilence ends a silence now: what it held back is made up for.
func (a *Alerting) EndSilence(ctx context.Context, tenant int, id string) error {
	a.defining.Lock()
	defer a.defining.Unlock()
	list := a.Silences(tenant)
	kept := slices.DeleteFunc(slices.Clone(list), func(s alarm.Silence) bool { return s.ID == id })
	if len(kept) == len(list) {
		return fmt.Errorf("silence %.60q: %w", id, ErrNoSilence)
	}
	return a.setSilences(ctx, tenant, kept)
}

// setSilences stores what is new, deletes what is no longer in the list, and tells all monitors. Alerting.defining is held.
func (a *Alerting) setSilences(ctx context.Context, tenant int, list []alarm.Silence, puts ...store.Put) error {
	a.mu.RLock()
	before := a.silences[tenant]
	a.mu.RUnlock()
	txn := store.Txn{Guards: []store.Guard{a.tenure.Fence(store.Shard(idText(uint64(tenant))))}, Puts: puts}
	for _, s := range before {
		gone := !slices.ContainsFunc(list, func(x alarm.Silence) bool { return x.ID == s.ID })
		if gone && len(txn.Deletes) < writesATime { // the rest goes with the next change
			txn.Deletes = append(txn.Deletes, silencePrefix+s.ID)
		}
	}
	if _, err := a.store.Commit(ctx, txn); err != nil {
		return fmt.Errorf("store silences of alarms: %w", err)
	}
	a.mu.Lock()
	a.silences[tenant] = list
	a.mu.Unlock()
	for _, w := range a.watchesOf(tenant) {
		w.mu.Lock()
		if !w.gone {
			w.monitor.Silence(list, time.Now().UnixMilli())
			a.arm(w)
		}
		w.mu.Unlock()
	}
	return nil
}
