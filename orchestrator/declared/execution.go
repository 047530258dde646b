package declared

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/jinja"
	"github.com/troupe-dev/troupe/orchestrator"
)

// What is kept of a service beside what its templates and its dependencies keep.
const (
	serviceKey = "id"     // the unique name of the service
	userKey    = "user"   // of its agents
	alarmsKey  = "alarms" // that were made for rules
)

func parameterKey(name string) string { return "parameter " + name }

// An alarm is one that was made for a rule.
type alarm struct {
	Rule string               `json:"rule"`
	To   string               `json:"to,omitempty"` // another orchestrator; "" for this one
	Name string               `json:"name"`
	ID   orchestrator.AlarmID `json:"id"`
}

// An execution carries out a declaration for one service.
type execution struct {
	*orchestrator.Templates
	declaration *Declaration
	instance    *orchestrator.Instance
	resolver    *orchestrator.Resolver
	cloud       func(region string) *orchestrator.Cloud
}

// home is the region in which the service's user and its alarms are.
func (x *execution) home() *orchestrator.Cloud {
	return x.cloud(slices.Sorted(maps.Keys(x.declaration.Regions))[0])
}

// Design implements [orchestrator.Execution].
func (x *execution) Design(ctx context.Context) error {
	if err := x.resolver.Design(ctx); err != nil {
		return err
	}
	return x.instance.Keep(serviceKey, uuid.NewString())
}

// Deploy implements [orchestrator.Execution]: what the service depends on, the user of its agents, its stacks, its alarms. What
// was made before a failure is not made again.
func (x *execution) Deploy(ctx context.Context, a orchestrator.Attributes) error {
	if err := x.resolver.Deploy(ctx); err != nil {
		return err
	}
	if x.declaration.shows("user") && x.instance.Value(userKey) == "" {
		u, err := x.home().CreateUser(ctx)
		if err == nil {
			err = x.keep(userKey, u)
		}
		if err != nil {
			return err
		}
	}
	if err := x.Templates.Deploy(ctx, a); err != nil {
		return err
	}
	for _, r := range x.declaration.rules {
		if err := x.watch(ctx, r); err != nil {
			return fmt.Errorf("rule %s: %w", r.name, err)
		}
	}
	return nil
}

// keep keeps a value in JSON.
func (x *execution) keep(key string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return x.instance.Keep(key, string(text))
}

func (x *execution) user() (u orchestrator.User, err error) {
	if text := x.instance.Value(userKey); text != "" {
		err = json.Unmarshal([]byte(text), &u)
	}
	return u, err
}

func (x *execution) alarms() (list []alarm, err error) {
	if text := x.instance.Value(alarmsKey); text != "" {
		err = json.Unmarshal([]byte(text), &list)
	}
	return list, err
}

// watch makes the alarms of a rule: one that tells this orchestrator, if it has something to do, and one for each other that is to be
// told.
func (x *execution) watch(ctx context.Context, r rule) error {
	values, err := x.values(ctx, x.instance.Attributes())
	if err != nil {
		return err
	}
	expression, err := r.alarm.Render(ctx, values, true)
	if err != nil {
		return err
	}
	to := make(map[string]string) // URLs by the other orchestrator, "" for this one
	for _, do := range r.do {
		if do.notify == nil {
			to[""] = x.instance.URL()
			continue
		}
		url, err := do.notify.Render(ctx, values, true)
		if err != nil {
			return err
		}
		to[url] = url
	}
	for _, other := range slices.Sorted(maps.Keys(to)) {
		made, err := x.alarms()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(made, func(m alarm) bool { return m.Rule == r.name && m.To == other }) {
			continue
		}
		name, id, err := x.home().Notify(ctx, expression, to[other], r.state)
		if id != "" {
			err = errors.Join(err, x.keep(alarmsKey, append(made, alarm{r.name, other, name, id})))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Provision implements [orchestrator.Execution].
func (x *execution) Provision(ctx context.Context, a orchestrator.Attributes) error {
	if err := x.resolver.Provision(ctx); err != nil {
		return err
	}
	return x.Templates.Provision(ctx, a)
}

// State implements [orchestrator.Execution]: the worst of the service's own stacks and of what it depends on.
func (x *execution) State(ctx context.Context) (orchestrator.State, error) {
	own, err := x.Templates.State(ctx)
	if err != nil || len(x.declaration.Needs) == 0 {
		return own, err
	}
	needs, err := x.resolver.State(ctx)
	if err != nil {
		return orchestrator.State{}, err
	}
	own.Stack = orchestrator.Worst(own.Stack, needs.Stack)
	maps.Copy(own.Outputs, needs.Outputs)
	return own, nil
}

// Dispose implements [orchestrator.Execution]. The alarms go first, for what follows would set them off. It goes on where
// something fails, and tells of all that did.
func (x *execution) Dispose(ctx context.Context) error {
	made, err := x.alarms()
	errs := []error{err}
	for n := len(made) - 1; n >= 0; n-- {
		if err := x.home().DisposeAlarm(ctx, made[n].ID); err != nil {
			errs = append(errs, err)
			continue
		}
		made = slices.Delete(made, n, n+1)
		errs = append(errs, x.keep(alarmsKey, made))
	}
	errs = append(errs, x.resolver.Dispose(ctx), x.Templates.Dispose(ctx))
	u, err := x.user()
	if err == nil && u.ID != "" {
		err = x.home().DeleteUser(ctx, u.ID)
	}
	if err == nil {
		err = x.instance.Keep(userKey, "")
	}
	return errors.Join(append(errs, err)...)
}

// Notify implements [orchestrator.Notified]: it does what the rule of an alarm says. An alarm that it does not know is none of its
// business.
func (x *execution) Notify(ctx context.Context, a orchestrator.Attributes) error {
	made, err := x.alarms()
	if err != nil {
		return err
	}
	n := slices.IndexFunc(made, func(m alarm) bool { return m.Name == a[orchestrator.AttrAlarm] && m.To == "" })
	if n < 0 {
		return nil
	}
	var errs []error
	for _, r := range x.declaration.rules {
		if r.name != made[n].Rule {
			continue
		}
		for _, do := range r.do {
			switch {
			case do.replace != "":
				errs = append(errs, x.Replace(ctx, do.replace))
			case do.scale != nil:
				errs = append(errs, x.scale(ctx, do.scale))
			}
		}
	}
	return errors.Join(errs...)
}

// scale changes a parameter and with it the stacks, unless they are being changed already.
func (x *execution) scale(ctx context.Context, s *scale) error {
	st, err := x.Templates.State(ctx)
	if err != nil || strings.HasSuffix(st.Stack, "_IN_PROGRESS") {
		return err
	}
	now, err := x.number(ctx, s.parameter)
	if err != nil {
		return fmt.Errorf("scale by %s: %w", s.parameter, err)
	}
	next := now + s.by
	if s.hasMin {
		next = max(next, s.min)
	}
	if s.hasMax {
		next = min(next, s.max)
	}
	if next == now {
		return nil
	}
	key := parameterKey(s.parameter)
	before := x.instance.Value(key)
	if err := x.instance.Keep(key, strconv.Itoa(next)); err != nil {
		return err
	}
	if err := x.Templates.Update(ctx, nil, nil); err != nil {
		return errors.Join(err, x.instance.Keep(key, before))
	}
	return nil
}

// number is the value that a parameter has now.
func (x *execution) number(ctx context.Context, name string) (int, error) {
	for _, region := range slices.Sorted(maps.Keys(x.declaration.Regions)) {
		template := x.declaration.Regions[region].Provision
		root, err := new(tree.Reader).Read("template", []byte(template))
		if err != nil {
			return 0, err
		}
		given, err := x.parameters(ctx, template, x.instance.Attributes())
		if err != nil {
			return 0, err
		}
		if v, ok := given[name]; ok {
			return strconv.Atoi(fmt.Sprint(v))
		}
		if parameters := root.Get("parameters"); parameters != nil {
			if p := parameters.Get(name); p != nil && p.Get("default") != nil {
				return strconv.Atoi(p.Get("default").Text)
			}
		}
	}
	return 0, errors.New("it has no value")
}

// values are what templates in the declaration see.
func (x *execution) values(_ context.Context, a orchestrator.Attributes) (*jinja.Values, error) {
	u, err := x.user()
	if err != nil {
		return nil, err
	}
	attributes := make(map[string]any, len(a))
	for name, v := range a {
		attributes[name] = v
	}
	return jinja.NewValues(map[string]any{
		"attributes": attributes, "tenant": x.instance.Tenant(), "service": x.instance.Value(serviceKey), "url": x.instance.URL(),
		"user":   map[string]any{"name": u.Name, "password": u.Password},
		"design": jinja.Lazy(func(context.Context) (any, error) { return x.home().Design() }),
		"needs":  jinja.Lazy(x.dependents),
	}), nil
}

// dependents are the attributes of what the service depends on, by its term.
func (x *execution) dependents(ctx context.Context) (any, error) {
	all, err := x.resolver.Show(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]any, len(all))
	for _, d := range all {
		attributes := make(map[string]any, len(d.Attributes))
		for name, v := range d.Attributes {
			attributes[name] = v
		}
		out[d.Type.Term()] = attributes
	}
	return out, nil
}

// parameters are those that a template has, of the declaration's.
func (x *execution) parameters(ctx context.Context, template string, a orchestrator.Attributes) (map[string]any, error) {
	root, err := new(tree.Reader).Read("template", []byte(template))
	if err != nil {
		return nil, err
	}
	values, err := x.values(ctx, a)
	if err != nil {
		return nil, err
	}
	out := make(map[string]any)
	for _, name := range keysOf(root, "parameters") {
		if scaled := x.instance.Value(parameterKey(name)); scaled != "" {
			out[name] = scaled
			continue
		}
		v, ok := x.declaration.parameters[name]
		if !ok {
			continue
		}
		if out[name], err = v.rendered(ctx, values); err != nil {
			return nil, fmt.Errorf("%w: parameter %s: %w", orchestrator.ErrInvalid, name, err)
		}
	}
	return out, nil
}
