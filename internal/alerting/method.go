package alerting

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/store"
)

// A method is a notification method as it is stored. It is never changed once in the map.
type method struct {
	methodRecord
	revision int64
}

// A Method is a notification method with what is known of it.
type Method struct {
	notify.Method
	Created, Updated time.Time
}

func (a *Alerting) method(tenant int, ref string) *method {
	a.methodsMu.RLock()
	defer a.methodsMu.RUnlock()
	if m := a.methods[ref]; m != nil && m.Tenant == tenant {
		return m
	}
	for _, m := range a.methods {
		if m.Tenant == tenant && m.Name == ref {
			return m
		}
	}
	return nil
}

// methodID is the id of a method that an action names by id or name.
func (a *Alerting) methodID(tenant int, ref string) string {
	if m := a.method(tenant, ref); m != nil {
		return m.ID
	}
	return ref // its delivery dies and says why
}

// Methods returns the methods of a project by name.
func (a *Alerting) Methods(tenant int) []Method {
	a.methodsMu.RLock()
	defer a.methodsMu.RUnlock()
	var out []Method
	for _, m := range a.methods {
		if m.Tenant == tenant {
			out = append(out, Method{m.Method, m.Created, m.Updated})
		}
	}
	slices.SortFunc(out, func(x, y Method) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) })
	return out
}

// Method returns one method of a project, by id or name.
func (a *Alerting) Method(tenant int, ref string) (Method, error) {
	m := a.method(tenant, ref)
	if m == nil {
		return Method{}, fmt.Errorf("notification method %.60q: %w", ref, ErrNoMethod)
	}
	return Method{m.Method, m.Created, m.Updated}, nil
}

// PutMethod makes a method when ref is "", and changes one otherwise; edit gets a copy. It must be valid already.
func (a *Alerting) PutMethod(ctx context.Context, tenant int, ref string, edit func(*notify.Method) error) (Method, error) {
	a.defining.Lock()
	defer a.defining.Unlock()
	now := time.Now().UTC()
	next := &method{methodRecord: methodRecord{Version: recordVersion, Created: now, Method: notify.Method{ID: newID(), Tenant: tenant}}}
	guard := store.Absent(methodPrefix + next.ID)
	if ref != "" {
		old := a.method(tenant, ref)
		if old == nil {
			return Method{}, fmt.Errorf("notification method %.60q: %w", ref, ErrNoMethod)
		}
		*next = *old
		guard = store.At(methodPrefix+old.ID, old.revision)
	}
	id := next.ID
	if err := edit(&next.Method); err != nil {
		return Method{}, err
	}
	next.ID, next.Tenant, next.Updated = id, tenant, now
	for _, m := range a.Methods(tenant) {
		if m.Name == next.Name && m.ID != id {
			return Method{}, fmt.Errorf("notification method %q: %w", next.Name, ErrNameTaken)
		}
	}
	put, err := a.seal(methodPrefix+id, next.methodRecord)
	if err != nil {
		return Method{}, err
	}
	next.revision, err = a.store.Commit(ctx, store.Txn{Guards: []store.Guard{a.tenure.Fence(store.Shard(id)), guard}, Puts: []store.Put{put}})
	if err != nil {
		return Method{}, fmt.Errorf("store notification method %s: %w", id, err)
	}
	a.methodsMu.Lock()
	a.methods[id] = next
	a.appoint(next)
	a.methodsMu.Unlock()
	return Method{next.Method, next.Created, next.Updated}, nil
}

// RemoveMethod removes a method, also from the actions of all definitions.
func (a *Alerting) RemoveMethod(ctx context.Context, tenant int, ref string) error {
	m := a.method(tenant, ref)
	if m == nil {
		return fmt.Errorf("notification method %.60q: %w", ref, ErrNoMethod)
	}
	for _, d := range a.Definitions(tenant) {
		if d.Service != 0 || !names(&d.Actions, m) {
			continue
		}
		if _, err := a.Redefine(ctx, tenant, d.ID, d.Owner, func(next *alarm.Definition) error {
			for _, list := range [...]*[]alarm.Action{&next.Actions.Alarm, &next.Actions.OK, &next.Actions.Undetermined} {
				*list = slices.DeleteFunc(*list, func(x alarm.Action) bool { return x.Notify == m.ID || x.Notify == m.Name })
			}
			return nil
		}); err != nil {
			return err
		}
	}
	a.defining.Lock()
	defer a.defining.Unlock()
	if _, err := a.store.Commit(ctx, store.Txn{Guards: []store.Guard{a.tenure.Fence(store.Shard(m.ID))}, Deletes: []string{methodPrefix + m.ID}}); err != nil {
		return fmt.Errorf("remove notification method %s: %w", m.ID, err)
	}
	a.methodsMu.Lock()
	delete(a.methods, m.ID)
	if a.heralds[m.Service] == m {
		delete(a.heralds, m.Service)
	}
	a.methodsMu.Unlock()
	return nil
}

func names(actions *alarm.Actions, m *method) bool {
	for _, list := range [...][]alarm.Action{actions.Alarm, actions.OK, actions.Undetermined} {
		if slices.ContainsFunc(list, func(x alarm.Action) bool { return x.Notify != "" && (x.Notify == m.ID || x.Notify == m.Name) }) {
			return true
		}
	}
	return false
}

// Deliveries returns the notifications of a project that wait, repeat or were given up, the oldest first; of one
// method unless that is "".
func (a *Alerting) Deliveries(tenant int, method string) []notify.Delivery {
	s := a.sending()
	if s == nil {
		return nil
	}
	return s.Deliveries(tenant, method)
}

// Resend gives a delivery that was given up a new life; notify.ErrNoDelivery when there is none.
func (a *Alerting) Resend(tenant int, id string) error {
	s := a.sending()
	if s == nil {
		return store.ErrClosed
	}
	return s.Resend(tenant, id)
}

// Discard drops a delivery; notify.ErrNoDelivery when there is none.
func (a *Alerting) Discard(tenant int, id string) error {
	s := a.sending()
	if s == nil {
		return store.ErrClosed
	}
	return s.Discard(tenant, id)
}

// A directory tells the sender about methods and alarms.
type directory struct{ a *Alerting }

// Method implements notify.Directory.
func (d directory) Method(tenant int, id string) *notify.Method {
	if m := d.a.method(tenant, id); m != nil {
		return &m.Method
	}
	return nil
}

// Sequence implements notify.Directory.
func (d directory) Sequence(_ int, alarm string) uint64 { return d.a.sequence(alarm) }

// sequence counts the changes of an alarm; 0 when it is gone.
func (a *Alerting) sequence(id string) uint64 {
	w := a.watchOfAlarm(id)
	if w == nil {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	x, _ := w.monitor.Alarm(id)
	return uint64(x.Sequence)
}
