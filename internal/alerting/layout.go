package alerting

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/store"
)

// The keys of alerting.
//
//	alarm/<definition>            JSON of a definition that a user made
//	alarm-state/<definition>/…    records of its monitor: alarm.Record
//	method/<id>                   JSON of a notify.Method, encrypted
//	errand/<id>                   JSON of an errand
//	silence/<id>                  JSON of an alarm.Silence
//	delivery/<id>                 see package notify
const (
	definitionPrefix = "alarm/"
	statePrefix      = "alarm-state/"
	methodPrefix     = "method/"
	silencePrefix    = "silence/"
)

// A definitionRecord is what is stored of a definition.
type definitionRecord struct {
	Version int       `json:"v"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	Owner   int       `json:"uid"`
	alarm.Definition
}

// A methodRecord is what is stored of a method.
type methodRecord struct {
	Version int       `json:"v"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	notify.Method
}

const recordVersion = 1

func checkVersion(key string, version int) error {
	if version > recordVersion {
		return fmt.Errorf("%s: %w", key, store.ErrNewer)
	}
	return nil
}

// load reads everything. A record that cannot be read is left alone, and said; the others are served.
func (a *Alerting) load(ctx context.Context) error {
	alone := func(key string, err error) {
		a.log.Error("a record of alarms cannot be read and is left alone; remove it or restore a backup", "key", key, "error", err)
	}
	if _, err := a.store.Load(ctx, methodPrefix, func(kv store.KV) error {
		var r methodRecord
		err := a.unseal(kv, &r)
		if err != nil {
			alone(kv.Key, err)
			return nil
		}
		m := &method{methodRecord: r, revision: kv.Revision}
		a.methods[r.ID] = m
		a.appoint(m)
		return checkVersion(kv.Key, r.Version)
	}); err != nil {
		return fmt.Errorf("read notification methods: %w", err)
	}
	if err := a.loadSilences(ctx, alone); err != nil {
		return err
	}
	states := make(map[string][]alarm.Record)
	if _, err := a.store.Load(ctx, statePrefix, func(kv store.KV) error {
		definition, key, _ := strings.Cut(strings.TrimPrefix(kv.Key, statePrefix), "/")
		states[definition] = append(states[definition], alarm.Record{Key: key, Value: kv.Value})
		return nil
	}); err != nil {
		return fmt.Errorf("read the states of alarms: %w", err)
	}
	now := time.Now()
	if _, err := a.store.Load(ctx, definitionPrefix, func(kv store.KV) error {
		var r definitionRecord
		if err := json.Unmarshal(kv.Value, &r); err != nil {
			alone(kv.Key, err)
			return nil
		}
		if err := checkVersion(kv.Key, r.Version); err != nil {
			return err
		}
		monitor, err := alarm.Load(r.Definition, states[r.ID], now.UnixMilli())
		if err != nil {
			alone(kv.Key, err)
			return nil
		}
		a.watchIt(&watch{id: r.ID, tenant: r.Tenant, shard: store.Shard(r.ID), monitor: monitor, owner: r.Owner, created: r.Created, updated: r.Updated, head: kv.Revision, loading: true})
		delete(states, r.ID)
		return nil
	}); err != nil {
		return fmt.Errorf("read alarm definitions: %w", err)
	}
	a.orphaned = states // of services' definitions, which come with the services; see follow
	if _, err := a.store.Load(ctx, errandPrefix, func(kv store.KV) error {
		e := new(errand)
		if err := json.Unmarshal(kv.Value, e); err != nil {
			alone(kv.Key, err)
			return nil
		}
		a.errands.Push(e)
		return checkVersion(kv.Key, e.Version)
	}); err != nil {
		return fmt.Errorf("read the orders of alarms: %w", err)
	}
	return nil
}

func (a *Alerting) unseal(kv store.KV, into any) error {
	text := kv.Value
	if a.opts.Vault != nil {
		var err error
		if text, err = a.opts.Vault.Open(kv.Value, kv.Key); err != nil {
			return err
		}
	}
	return json.Unmarshal(text, into)
}

func (a *Alerting) seal(key string, v any) (store.Put, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return store.Put{}, fmt.Errorf("encode %s: %w", key, err)
	}
	if a.opts.Vault != nil {
		text = a.opts.Vault.Seal(text, key)
	}
	return store.Put{Key: key, Value: text}, nil
}

// watchIt puts a watch where samples, clients and the clock find it.
func (a *Alerting) watchIt(w *watch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watches[w.id] = w
	silences := a.silences[w.tenant]
	w.mu.Lock() // nobody has it yet but those who look for silences
	w.monitor.Silence(silences, time.Now().UnixMilli())
	w.mu.Unlock()
	a.prefixes[w.monitor.IDPrefix()] = w
	if w.service == 0 {
		a.names[metricKey{w.tenant, w.monitor.Definition().Name}] = w.id
	}
	for _, p := range w.monitor.Expression().Parts {
		key := metricKey{w.tenant, p.Metric}
		if list := a.byMetric[key]; len(list) == 0 || list[len(list)-1] != w {
			a.byMetric[key] = append(list, w)
		}
	}
}
