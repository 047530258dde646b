package alerting

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// An Alarm is an alarm with the definition that it belongs to.
type Alarm struct {
	alarm.Alarm
	Definition string
	Name       string
	Severity   string
	Metrics    []*metric.Series
	// Place is what the alarm is about, as far as it is one thing, in names: SERVICE/ROLE/NUMBER, SERVICE/ROLE or SERVICE.
	Place string
}

const idPrefix = 24 // characters of an alarm's id that tell its definition

// watchOfAlarm finds the watch of an alarm by the alarm's id; nil when there is none.
func (a *Alerting) watchOfAlarm(id string) *watch {
	if len(id) < idPrefix {
		return nil
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.prefixes[id[:idPrefix]]
}

// Definitions returns the definitions of a project, by name.
func (a *Alerting) Definitions(tenant int) []Definition {
	var out []Definition
	for _, w := range a.watchesOf(tenant) {
		out = append(out, a.describe(w))
	}
	slices.SortFunc(out, func(x, y Definition) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) })
	return out
}

func (a *Alerting) watchesOf(tenant int) (out []*watch) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, w := range a.watches {
		if w.tenant == tenant {
			out = append(out, w)
		}
	}
	return out
}

// Definition returns one definition of a project, by id or, where no id is meant, by name: that of a service's as SERVICE/NAME, the service by name or
// number, or by NAME alone where no other has it. The error is ErrNoDefinition, with the nearest name, or ErrAmbiguous, with the choices.
func (a *Alerting) Definition(tenant int, ref string) (Definition, error) {
	w, err := a.watchOf(tenant, ref)
	if err != nil {
		a.mu.RLock()
		id := a.names[metricKey{tenant, ref}]
		a.mu.RUnlock()
		if w, _ = a.watchOf(tenant, id); w == nil {
			return a.definitionOfService(tenant, ref)
		}
	}
	return a.describe(w), nil
}

// definitionOfService finds the one definition of a service that a reference names.
func (a *Alerting) definitionOfService(tenant int, ref string) (Definition, error) {
	var found []Definition
	var known, choices []string
	for _, d := range a.Definitions(tenant) {
		known = append(known, d.Name)
		if d.Service == 0 {
			continue
		}
		full, numbered := d.ServiceName+"/"+d.Name, idText(d.Service)+"/"+d.Name
		known = append(known, full)
		if ref == d.Name || ref == full || ref == numbered {
			found = append(found, d)
			if ref == full { // services that share their names
				full = numbered
			}
			choices = append(choices, full)
		}
	}
	switch len(found) {
	case 0:
		return Definition{}, fmt.Errorf("alarm definition %.60q: %w%s", ref, ErrNoDefinition, nearest.Hint(ref, known))
	case 1:
		return found[0], nil
	}
	const shown = 10
	if slices.Sort(choices); len(choices) > shown {
		choices = append(choices[:shown:shown], "…")
	}
	return Definition{}, fmt.Errorf("alarm definition %.60q: %w: %s", ref, ErrAmbiguous, strings.Join(choices, ", "))
}

// Alarms returns the alarms of a project, or of one of its definitions unless that is "", in no order. keep chooses;
// nil keeps all.
func (a *Alerting) Alarms(tenant int, definition string, keep func(*Alarm) bool) []Alarm {
	watches := a.watchesOf(tenant)
	if definition != "" {
		watches = slices.DeleteFunc(watches, func(w *watch) bool { return w.id != definition })
	}
	var out []Alarm
	for _, w := range watches {
		w.mu.Lock()
		d := w.monitor.Definition()
		for x := range w.monitor.Alarms() {
			full := Alarm{Alarm: x, Definition: w.id, Name: d.Name, Severity: d.Severity, Metrics: metricsOf(w, x.ID), Place: a.placeOf(x.Origin)}
			if keep == nil || keep(&full) {
				out = append(out, full)
			}
		}
		w.mu.Unlock()
	}
	return out
}

func metricsOf(w *watch, id string) (out []*metric.Series) {
	for s := range w.monitor.Metrics(id) {
		out = append(out, s)
		if len(out) == alarm.MaxMetrics {
			break
		}
	}
	return out
}

// Alarm returns one alarm of a project.
func (a *Alerting) Alarm(tenant int, id string) (Alarm, error) {
	w := a.watchOfAlarm(id)
	if w == nil || w.tenant != tenant {
		return Alarm{}, fmt.Errorf("alarm %.60q: %w", id, ErrNoAlarm)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	x, ok := w.monitor.Alarm(id)
	if !ok {
		return Alarm{}, fmt.Errorf("alarm %.60q: %w", id, ErrNoAlarm)
	}
	d := w.monitor.Definition()
	return Alarm{Alarm: x, Definition: w.id, Name: d.Name, Severity: d.Severity, Metrics: metricsOf(w, id), Place: a.placeOf(x.Origin)}, nil
}

// placeOf names what an origin is, as people do; "" for nothing that is there.
func (a *Alerting) placeOf(o metric.Origin) (place string) {
	if o.Service == 0 || a.engine == nil {
		return ""
	}
	a.engine.View(o.Service, func(s *service.Service) {
		if place = s.Meta.Name; o.Role == "" {
			return
		}
		place += "/" + o.Role
		if i := s.Instance(o.Serial); i != nil {
			place += "/" + strconv.FormatUint(uint64(i.Number), 10)
		}
	})
	return place
}

// An Edit changes an alarm by hand; nil fields stay.
type Edit struct {
	State          *alarm.State
	LifecycleState *string
	Link           *string
}

// Edit changes an alarm of a project: its state, which is a real transition, and what people write on it.
func (a *Alerting) Edit(ctx context.Context, tenant int, id string, e Edit) (Alarm, error) {
	err := a.changeAlarm(ctx, tenant, id, func(m *alarm.Monitor, now int64) error {
		if e.LifecycleState != nil || e.Link != nil {
			if err := m.Annotate(id, e.LifecycleState, e.Link, now); err != nil {
				return err
			}
		}
		if e.State != nil {
			return m.SetState(id, *e.State, now)
		}
		return nil
	})
	if err != nil {
		return Alarm{}, err
	}
	return a.Alarm(tenant, id)
}

// Forget removes an alarm of a project; the next samples that fit make a new one.
func (a *Alerting) Forget(ctx context.Context, tenant int, id string) error {
	return a.changeAlarm(ctx, tenant, id, func(m *alarm.Monitor, _ int64) error { return m.Delete(id) })
}

func (a *Alerting) changeAlarm(ctx context.Context, tenant int, id string, f func(*alarm.Monitor, int64) error) error {
	w := a.watchOfAlarm(id)
	if w == nil || w.tenant != tenant {
		return fmt.Errorf("alarm %.60q: %w", id, ErrNoAlarm)
	}
	return a.change(ctx, w, f)
}

// Test sends the notifications of a state of a definition, marked as a test, through the whole chain, as if
// the alarm, or one without series when it is "", had entered the state. It returns what was sent.
func (a *Alerting) Test(ctx context.Context, tenant int, definition, id string, to alarm.State) (alarm.Transition, error) {
	w, err := a.watchOf(tenant, definition)
	if err != nil {
		return alarm.Transition{}, err
	}
	w.mu.Lock()
	t, err := w.monitor.Test(id, to, time.Now().UnixMilli())
	w.mu.Unlock()
	if err != nil {
		return t, err
	}
	c := a.consequencesOf(w, []alarm.Transition{t})
	for _, txn := range a.transactions(w, nil, c) {
		if _, err := a.store.Commit(ctx, txn); err != nil {
			return t, fmt.Errorf("store the test of %s: %w", definition, err)
		}
	}
	a.carryOut(w, c)
	return t, nil
}

// Replay returns what a definition would have done over history, whether it exists or not.
func (a *Alerting) Replay(ctx context.Context, d alarm.Definition, from, to time.Time) ([]alarm.Transition, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if a.opts.Past == nil {
		return nil, fmt.Errorf("this server keeps no history of metrics: %w", telemetry.ErrQuery)
	}
	e, err := alarm.Parse(d.Expression, alarm.Troupe)
	if err != nil {
		return nil, err
	}
	return a.replay(ctx, d, e, from, to)
}

// replay merges the points of all parts by time.
func (a *Alerting) replay(ctx context.Context, d alarm.Definition, e *alarm.Expression, from, to time.Time) ([]alarm.Transition, error) {
	filter := filterOf(&e.Parts[0])
	if len(e.Parts) > 1 {
		filter = telemetry.Filter{Dimensions: []telemetry.DimensionFilter{{Name: "__name__"}}}
		for _, p := range e.Parts {
			filter.Dimensions[0].Values = append(filter.Dimensions[0].Values, p.Metric)
		}
	}
	var failed error
	points := func(yield func(metric.Point) bool) {
		for p, err := range a.opts.Past.Replay(ctx, d.Tenant, filter, from.Add(-spanOf(e)), to) {
			if err != nil {
				failed = err
				return
			}
			if !yield(p) {
				return
			}
		}
	}
	transitions, err := alarm.Replay(d, points, from.UnixMilli(), to.UnixMilli())
	return transitions, cmp.Or(err, failed)
}
