package alerting

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/store"
)

// Errors of commands. Find them with errors.Is.
var (
	// ErrNoDefinition: there is no such definition in the project.
	ErrNoDefinition = errors.New("no such alarm definition")
	// ErrAmbiguous: several definitions of services have the name.
	ErrAmbiguous = errors.New("several services have an alarm of that name; write one of")
	// ErrNoAlarm: there is no such alarm in the project.
	ErrNoAlarm = alarm.ErrNoAlarm
	// ErrNoMethod: there is no such notification method in the project.
	ErrNoMethod = errors.New("no such notification method")
	// ErrNameTaken: another one of the project has the name.
	ErrNameTaken = errors.New("the name is taken")
	// ErrOfService: the definition comes from a service's description and changes with it.
	ErrOfService = errors.New("the definition comes from a service's description; change it there")
)

// A Definition is a definition with what is known of it.
type Definition struct {
	alarm.Definition
	Created, Updated time.Time
	Deterministic    bool
	Owner            int    // as whom it acts
	Service          uint64 // whose description it comes from; 0 for none
	ServiceName      string
	Alarms           int
}

// newID returns a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Define makes a definition that acts on services as its owner may; its ID is given here. The methods that it names must exist.
func (a *Alerting) Define(ctx context.Context, owner int, d alarm.Definition) (Definition, error) {
	d.ID = newID()
	monitor, err := alarm.New(d)
	if err != nil {
		return Definition{}, err
	}
	if err := a.checkMethods(&d); err != nil {
		return Definition{}, err
	}
	a.defining.Lock() // names are taken one at a time
	defer a.defining.Unlock()
	if a.nameTaken(d.Tenant, d.Name, "") {
		return Definition{}, fmt.Errorf("alarm definition %q: %w", d.Name, ErrNameTaken)
	}
	now := time.Now().UTC()
	w := &watch{id: d.ID, tenant: d.Tenant, shard: store.Shard(d.ID), monitor: monitor, owner: owner, created: now, updated: now}
	if w.head, err = a.putDefinition(ctx, w, d, store.Absent(definitionPrefix+d.ID)); err != nil {
		return Definition{}, err
	}
	a.begin(w)
	a.hub.publish(Change{Tenant: d.Tenant, Definition: d.ID})
	return a.describe(w), nil
}

// begin sets a new watch going, with the series that there are.
func (a *Alerting) begin(w *watch) {
	a.watchIt(w)
	a.suppressions(w)
	for _, s := range a.liveSeries(w) {
		a.join(w, s)
	}
}

func (a *Alerting) liveSeries(w *watch) (out []*metric.Series) {
	seen := make(map[string]bool)
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, p := range w.monitor.Expression().Parts {
		if seen[p.Metric] {
			continue
		}
		seen[p.Metric] = true
		for _, s := range a.live[metricKey{w.tenant, p.Metric}] {
			out = append(out, s)
		}
	}
	return out
}

func (a *Alerting) putDefinition(ctx context.Context, w *watch, d alarm.Definition, guard store.Guard) (int64, error) {
	value, err := json.Marshal(definitionRecord{recordVersion, w.created, w.updated, w.owner, d})
	if err != nil {
		return 0, fmt.Errorf("encode alarm definition %s: %w", d.ID, err)
	}
	revision, err := a.store.Commit(ctx, store.Txn{
		Order: definitionPrefix + d.ID, Guards: []store.Guard{a.tenure.Fence(w.shard), guard}, Puts: []store.Put{{Key: definitionPrefix + d.ID, Value: value}},
	})
	if err != nil {
		return 0, fmt.Errorf("store alarm definition %s: %w", d.ID, err)
	}
	return revision, nil
}

// Redefine changes a definition, which is then its changer's; edit gets a copy. What may change, alarm.Definition.CheckUpdate says.
func (a *Alerting) Redefine(ctx context.Context, tenant int, id string, owner int, edit func(*alarm.Definition) error) (Definition, error) {
	w, err := a.watchOf(tenant, id)
	if err != nil {
		return Definition{}, err
	}
	if w.service != 0 {
		return Definition{}, ErrOfService
	}
	a.defining.Lock()
	defer a.defining.Unlock()
	var next alarm.Definition
	var before string
	err = a.change(ctx, w, func(m *alarm.Monitor, now int64) error {
		old := m.Definition()
		before, next = old.Name, cloneDefinition(old)
		if err := edit(&next); err != nil {
			return err
		}
		next.ID, next.Tenant = old.ID, old.Tenant
		if _, err := old.CheckUpdate(&next); err != nil {
			return err
		}
		if err := a.checkMethods(&next); err != nil {
			return err
		}
		if a.nameTaken(tenant, next.Name, id) {
			return fmt.Errorf("alarm definition %q: %w", next.Name, ErrNameTaken)
		}
		was, wasOwner := w.updated, w.owner
		w.updated, w.owner = time.Now().UTC(), owner
		head, err := a.putDefinition(ctx, w, next, store.At(definitionPrefix+id, w.head))
		if err != nil {
			w.updated, w.owner = was, wasOwner
			return err
		}
		w.head = head
		return m.Update(next, now)
	})
	if err != nil {
		return Definition{}, err
	}
	a.mu.Lock()
	delete(a.names, metricKey{tenant, before})
	a.names[metricKey{tenant, next.Name}] = id
	a.mu.Unlock()
	for _, s := range a.liveSeries(w) {
		a.join(w, s)
	}
	a.hub.publish(Change{Tenant: tenant, Definition: id})
	return a.describe(w), nil
}

func cloneDefinition(d alarm.Definition) alarm.Definition {
	d.MatchBy = slices.Clone(d.MatchBy)
	d.Actions.Alarm, d.Actions.OK, d.Actions.Undetermined = slices.Clone(d.Actions.Alarm), slices.Clone(d.Actions.OK), slices.Clone(d.Actions.Undetermined)
	d.Maintenance = slices.Clone(d.Maintenance)
	return d
}

// Remove removes a definition with all its alarms. Their history stays.
func (a *Alerting) Remove(ctx context.Context, tenant int, id string) error {
	w, err := a.watchOf(tenant, id)
	if err != nil {
		return err
	}
	if w.service != 0 {
		return ErrOfService
	}
	if err := a.dismiss(ctx, w); err != nil {
		return err
	}
	a.hub.publish(Change{Tenant: tenant, Definition: id, Removed: true})
	return nil
}

// dismiss removes a watch and all that is stored of it: the definition first, so that nothing can be written about
// it any more.
func (a *Alerting) dismiss(ctx context.Context, w *watch) error {
	fence := []store.Guard{a.tenure.Fence(w.shard)}
	if w.head > 0 {
		if _, err := a.store.Commit(ctx, store.Txn{Guards: fence, Deletes: []string{definitionPrefix + w.id}}); err != nil {
			return fmt.Errorf("remove alarm definition %s: %w", w.id, err)
		}
	}
	a.mu.Lock()
	delete(a.watches, w.id)
	a.inattentive(w)
	delete(a.prefixes, w.monitor.IDPrefix())
	if w.service == 0 {
		delete(a.names, metricKey{w.tenant, w.monitor.Definition().Name})
	}
	for _, p := range w.monitor.Expression().Parts {
		key := metricKey{w.tenant, p.Metric}
		a.byMetric[key] = slices.DeleteFunc(slices.Clone(a.byMetric[key]), func(x *watch) bool { return x == w })
		if len(a.byMetric[key]) == 0 {
			delete(a.byMetric, key)
		}
	}
	a.mu.Unlock()
	w.mu.Lock()
	w.gone = true
	wait := w.changes
	w.mu.Unlock()
	for _, s := range a.liveSeries(w) {
		a.table.change(s, func(all *subscribers) {
			all.feeds = slices.DeleteFunc(all.feeds, func(x subscription) bool { return x.watch == w })
		})
	}
	a.clock.Set(&w.slot, w, time.Time{})
	if wait != nil { // what was under way when the definition went
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return a.removeStates(ctx, w)
}

func (a *Alerting) removeStates(ctx context.Context, w *watch) error {
	var keys []string
	if _, err := a.store.Load(ctx, statePrefix+w.id+"/", func(kv store.KV) error {
		keys = append(keys, kv.Key)
		return nil
	}); err != nil {
		return fmt.Errorf("remove the alarms of %s: %w", w.id, err)
	}
	for some := range slices.Chunk(keys, writesATime) {
		if _, err := a.store.Commit(ctx, store.Txn{Guards: []store.Guard{a.tenure.Fence(w.shard)}, Deletes: some}); err != nil {
			return fmt.Errorf("remove the alarms of %s: %w", w.id, err)
		}
	}
	return nil
}

// checkMethods refuses a definition that names methods which its project does not have.
func (a *Alerting) checkMethods(d *alarm.Definition) error {
	for state, list := range map[string][]alarm.Action{"alarm": d.Actions.Alarm, "ok": d.Actions.OK, "undetermined": d.Actions.Undetermined} {
		for i, x := range list {
			if x.Notify != "" && a.method(d.Tenant, x.Notify) == nil {
				return &alarm.Problem{Place: fmt.Sprintf("actions.%s[%d].notify", state, i), Message: fmt.Sprintf("there is no notification method %.60q", x.Notify)}
			}
		}
	}
	return nil
}

// nameTaken reports whether another definition of the project has the name.
func (a *Alerting) nameTaken(tenant int, name, except string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	id, taken := a.names[metricKey{tenant, name}]
	return taken && id != except
}

// watchOf finds a definition of a project.
func (a *Alerting) watchOf(tenant int, id string) (*watch, error) {
	a.mu.RLock()
	w := a.watches[id]
	a.mu.RUnlock()
	if w == nil || w.tenant != tenant {
		return nil, fmt.Errorf("alarm definition %.60q: %w", id, ErrNoDefinition)
	}
	return w, nil
}

func (a *Alerting) describe(w *watch) Definition {
	name := a.placeOf(metric.Origin{Service: w.service})
	w.mu.Lock()
	defer w.mu.Unlock()
	return Definition{Definition: cloneDefinition(w.monitor.Definition()), Created: w.created, Updated: w.updated, Deterministic: w.monitor.Expression().Deterministic(), Owner: w.owner, Service: w.service, ServiceName: name, Alarms: w.monitor.Len()}
}
