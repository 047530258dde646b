package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// A Deployment asks for a new service.
type Deployment struct {
	Spec *service.Spec
	Name string // "" for the spec's
	// Alias is an id that the client gives the service; "" for none.
	Alias string
	// Permissions of the new service; 0 for 0600.
	Permissions identity.Bits
	Template    uint64 // the template it is made from; 0 for none
	// Key makes a repeated request return the service that the first one made, for 24 hours; "" for none.
	// The same key with another Body, which is what the request says, is refused (ErrKeyReused).
	Key  string
	Body []byte
	// Warnings are told in the service's log.
	Warnings []string
}

func object(m *service.Meta) identity.Object {
	return identity.Object{Owner: m.Owner, Group: m.Group, Bits: identity.Bits(m.Permissions)}
}

// Deploy checks a spec, stores a new service of the caller's and sets it going. It returns its id once
// it is durable.
func (c *Control) Deploy(ctx context.Context, who *identity.Caller, d Deployment) (uint64, error) {
	id, err := c.deploy(ctx, who, d)
	return id, c.note(ctx, who, "service.deploy", "service "+idText(id)+" "+d.Spec.Name, err)
}

func (c *Control) deploy(ctx context.Context, who *identity.Caller, d Deployment) (uint64, error) {
	if err := writes(who); err != nil {
		return 0, err
	}
	if d.Alias != "" {
		if err := service.ValidateAlias(d.Alias); err != nil {
			return 0, fmt.Errorf("%w: %w", identity.ErrInvalid, err)
		}
	}
	key, first, err := c.keyed(ctx, who, &d)
	if err != nil || first != 0 {
		return first, err
	}
	if err := c.Check(who, d.Spec); err != nil {
		return 0, err
	}
	warnings, err := c.checkNames(who, d.Spec, nil)
	if err != nil {
		return 0, err
	}
	d.Warnings = append(slices.Clone(d.Warnings), warnings...)
	if len(d.Spec.Services) > 0 { // what is made for it claims later
		if err := c.afford(who.Group, service.WholeWishOf(d.Spec)); err != nil {
			return 0, err
		}
	}
	id, err := c.newID(ctx)
	if err != nil {
		return 0, err
	}
	meta := service.Meta{Name: d.Name, Owner: who.User, Group: who.Group, Permissions: uint16(d.Permissions), Project: c.directory.GroupName(who.Group), Template: d.Template, Alias: d.Alias}
	if meta.Permissions == 0 {
		meta.Permissions = 0o600
	}
	now := time.Now()
	svc := service.NewService(id, d.Spec, meta, now)
	for _, w := range d.Warnings[:min(len(d.Warnings), 20)] {
		svc.Log = append(svc.Log, service.Event{Time: service.TimeOf(now), Message: "Warning: " + w})
	}
	_, err = c.engine.Create(ctx, svc, c.with(key, id, now))
	if errors.Is(err, store.ErrConflict) && key != nil { // another request with the key was faster
		if first, again := c.lookUpKey(ctx, key); first != 0 || errors.Is(again, ErrKeyReused) {
			return first, again
		}
	}
	if err != nil {
		return 0, err
	}
	if key != nil {
		c.keys.swap(key.name, now, key.gone)
	}
	return id, nil
}

// quota holds what is wished on top of what is used against the quota of a group. The engine asks it about
// every wish, whoever wishes it.
func (c *Control) quota(group int, used, more service.Usage) error {
	g, err := c.directory.Group(group)
	if err != nil {
		return nil // a group that is gone limits nothing
	}
	return g.Quota.Check(identity.Usage(used), identity.Usage(more))
}

// afford tells for a plan whether the quota would let it happen.
func (c *Control) afford(group int, more service.Usage) error {
	return c.quota(group, c.engine.Used(group), more)
}

// Check refuses specs that are wrong in themselves, that name drivers or options which are not there,
// or that the caller may not use.
func (c *Control) Check(who *identity.Caller, spec *service.Spec) error {
	return c.check(who, spec, place{group: who.Group})
}

// maxSpec is how many bytes a spec may take as JSON: with its service record it must fit a transaction.
const maxSpec = 640 << 10

// check is Check at a place; machines that a running service has already are not asked for again.
func (c *Control) check(who *identity.Caller, spec *service.Spec, at place) error {
	if err := service.Validate(spec); err != nil {
		return err
	}
	if err := render.CheckSpec(spec); err != nil {
		return err
	}
	if text, err := json.Marshal(spec); err != nil || len(text) > maxSpec {
		return fmt.Errorf("%w: the description takes %d bytes with all its files; %d are the most", identity.ErrInvalid, len(text), maxSpec)
	}
	for n := range spec.Roles {
		r := &spec.Roles[n]
		for k, impl := range r.Machine.Implementations {
			place := fmt.Sprintf("roles[%d].machine.implementations[%d]", n, k)
			kind, err := c.kinds.Find(impl.Driver)
			if err != nil {
				return misplaced(place+".driver", identity.ErrInvalid, err)
			}
			if c.engine.Backend(impl.Driver, impl.Account) == nil {
				return misplaced(place, identity.ErrInvalid, noAccount(impl.Driver, impl.Account))
			}
			if err := checkOptions(kind, spec, r, &r.Machine.Implementations[k]); err != nil {
				return misplaced(place+".options", identity.ErrInvalid, err)
			}
			if reach := kind.ReachesHost(impl.Options); reach != "" && !who.MayUseHost() && !runsAlready(at.present, r) {
				if err := c.sameAsDefinition(who, r, reach); err != nil {
					return &Misplaced{Path: fmt.Sprintf("roles[%d].machine", n), Err: err}
				}
			}
		}
	}
	if err := c.checkResources(who, spec); err != nil {
		return err
	}
	return c.checkServices(who, spec, at)
}

// checkOptions checks the options of an implementation by its driver's description, templates as far as they can be
// told.
func checkOptions(kind *driver.Kind, spec *service.Spec, r *service.RoleSpec, x *service.Implementation) error {
	_, err := kind.Check(render.Foresee(spec, r, x, kind.TakesText))
	return err
}

// runsAlready reports whether the present spec has the same role with the same machine.
func runsAlready(present *service.Spec, r *service.RoleSpec) bool {
	if present == nil {
		return false
	}
	n := present.Role(r.Name)
	return n >= 0 && reflect.DeepEqual(present.Roles[n].Machine, r.Machine)
}

// find returns the service's owner data if the caller has the right.
func (c *Control) find(who *identity.Caller, id uint64, right identity.Right) (service.Meta, error) {
	var meta service.Meta
	if !c.engine.View(id, func(s *service.Service) { meta = s.Meta }) {
		return meta, fmt.Errorf("service %d: %w", id, identity.ErrNotFound)
	}
	if err := identity.Authorize(who, object(&meta), right); err != nil {
		return meta, fmt.Errorf("service %d: %w", id, err)
	}
	return meta, nil
}

// Read lets f see a service that the caller may use. f must be quick and keep nothing.
func (c *Control) Read(who *identity.Caller, id uint64, f func(*service.Service)) error {
	var denied error
	ok := c.engine.View(id, func(s *service.Service) {
		if denied = identity.Authorize(who, object(&s.Meta), identity.Use); denied == nil {
			f(s)
		}
	})
	if !ok {
		return fmt.Errorf("service %d: %w", id, identity.ErrNotFound)
	}
	if denied != nil {
		return fmt.Errorf("service %d: %w", id, denied)
	}
	return nil
}

// Services returns the ids of the services that the caller may use, in order.
func (c *Control) Services(who *identity.Caller) []uint64 {
	var out []uint64
	c.engine.Each(func(id uint64, s *service.Service) bool {
		if identity.Allowed(who, object(&s.Meta), identity.Use) {
			out = append(out, id)
		}
		return true
	})
	slices.Sort(out)
	return out
}

// Resolve finds a service by its id, or by its alias or its name in a project ("" for the caller's own).
func (c *Control) Resolve(who *identity.Caller, project, ref string) (uint64, error) {
	if id, err := strconv.ParseUint(ref, 10, 64); err == nil {
		return id, nil
	}
	group := who.Group
	if p, name, ok := strings.Cut(ref, "/"); ok && project == "" {
		project, ref = p, name
	}
	if project != "" {
		g, err := c.directory.GroupNamed(project)
		if err != nil {
			return 0, fmt.Errorf("project %q: %w", project, identity.ErrNotFound)
		}
		group = g.ID
	}
	hidden := func(id uint64) bool {
		_, err := c.find(who, id, identity.Use)
		return err != nil
	}
	if id := c.engine.Aliased(group, ref); id != 0 && !hidden(id) {
		return id, nil
	}
	ids := slices.DeleteFunc(c.engine.Named(group, ref), hidden)
	switch len(ids) {
	case 0:
		return 0, fmt.Errorf("service %q: %w", ref, identity.ErrNotFound)
	case 1:
		return ids[0], nil
	}
	return 0, fmt.Errorf("service %q (%s): %w", ref, joinIDs(ids), ErrAmbiguousName)
}

func joinIDs(ids []uint64) string {
	texts := make([]string, len(ids))
	for n, id := range ids {
		texts[n] = idText(id)
	}
	return strings.Join(texts, ", ")
}

// Order brings a command to a service that the caller may manage, and returns the revision that holds
// the verdict. The engine holds those that claim more against the group's quota.
func (c *Control) Order(ctx context.Context, who *identity.Caller, id uint64, cmd service.Command) (int64, error) {
	revision, err := c.order(ctx, who, id, &cmd)
	return revision, c.note(ctx, who, "service."+cmd.Name(), "service "+idText(id), err)
}

func (c *Control) order(ctx context.Context, who *identity.Caller, id uint64, cmd *service.Command) (int64, error) {
	if err := writes(who); err != nil {
		return 0, err
	}
	if _, err := c.find(who, id, identity.Manage); err != nil {
		return 0, err
	}
	if cmd.By == "" {
		cmd.By = who.Name
	}
	if cmd.Update != nil && cmd.Update.Spec != nil {
		var present *service.Spec
		var group int
		c.engine.View(id, func(s *service.Service) { present, group = s.Spec, s.Meta.Group })
		if err := c.check(who, cmd.Update.Spec, place{group, id, present}); err != nil {
			return 0, err
		}
		if _, err := c.checkNames(who, cmd.Update.Spec, present); err != nil {
			return 0, err
		}
	}
	if cmd.AddRole != nil {
		var whole service.Spec
		c.engine.View(id, func(s *service.Service) { whole = *s.Spec })
		present := whole
		whole.Roles = append(slices.Clone(whole.Roles), *cmd.AddRole)
		if _, err := c.checkNames(who, &whole, &present); err != nil {
			return 0, err
		}
		probe := &service.Spec{Name: "x", Strategy: service.NoOrder, Roles: []service.RoleSpec{*cmd.AddRole}}
		probe.Roles[0].Parents, probe.Roles[0].Needs = nil, nil
		if err := c.Check(who, probe); err != nil {
			return 0, err
		}
	}
	if err := c.supports(id, cmd.Act); err != nil {
		return 0, err
	}
	revision, err := c.engine.Order(ctx, id, cmd)
	if errors.Is(err, engine.ErrNoService) {
		err = fmt.Errorf("service %d: %w", id, identity.ErrNotFound)
	}
	return revision, err
}

// supports refuses actions that a driver of the role lacks, naming it.
func (c *Control) supports(id uint64, act *service.Act) error {
	if act == nil {
		return nil
	}
	action, own, ok := service.ActionNamed(act.Action)
	if !ok || own {
		return nil // the core answers
	}
	var lacking string
	c.engine.View(id, func(s *service.Service) {
		for _, r := range s.Roles {
			if act.Role != "" && r.Name != act.Role {
				continue
			}
			for _, impl := range r.Spec.Machine.Implementations {
				if kind, err := c.kinds.Find(impl.Driver); err == nil && !kind.Supports(action) {
					lacking = kind.Name
				}
			}
		}
	})
	if lacking != "" {
		return &service.Refusal{Kind: service.BadValue, Message: fmt.Sprintf("driver %s does not support %s", lacking, act.Action)}
	}
	return nil
}

// Revisions returns the revisions of a service that can be rolled back to.
func (c *Control) Revisions(ctx context.Context, who *identity.Caller, id uint64) ([]uint32, error) {
	if _, err := c.find(who, id, identity.Use); err != nil {
		return nil, err
	}
	return c.engine.Revisions(ctx, id)
}

// Spec returns the spec of a revision of a service.
func (c *Control) Spec(ctx context.Context, who *identity.Caller, id uint64, revision uint32) (*service.Spec, error) {
	if _, err := c.find(who, id, identity.Use); err != nil {
		return nil, err
	}
	spec, err := c.engine.Spec(ctx, id, revision)
	if errors.Is(err, engine.ErrNoService) {
		err = fmt.Errorf("%w: %w", identity.ErrNotFound, err)
	}
	return spec, err
}

// PlanDeploy tells what deploying a spec would do, quotas and permissions included.
func (c *Control) PlanDeploy(who *identity.Caller, spec *service.Spec) (service.Plan, error) {
	if err := c.Check(who, spec); err != nil {
		return service.Plan{}, err
	}
	warnings, err := c.checkNames(who, spec, nil)
	if err != nil {
		return service.Plan{}, err
	}
	if err := c.afford(who.Group, service.WholeWishOf(spec)); err != nil {
		return service.Plan{}, err
	}
	p := service.PlanNew(spec, time.Now())
	p.Warnings = append(warnings, p.Warnings...)
	return p, nil
}

// Plan tells what a command would do.
func (c *Control) Plan(who *identity.Caller, id uint64, cmd service.Command) (service.Plan, error) {
	_, err := c.find(who, id, identity.Use)
	if err != nil {
		return service.Plan{}, err
	}
	var warnings []string
	if cmd.Update != nil && cmd.Update.Spec != nil {
		var present *service.Spec
		var group int
		c.engine.View(id, func(s *service.Service) { present, group = s.Spec, s.Meta.Group })
		if err := c.check(who, cmd.Update.Spec, place{group, id, present}); err != nil {
			return service.Plan{}, err
		}
		if warnings, err = c.checkNames(who, cmd.Update.Spec, present); err != nil {
			return service.Plan{}, err
		}
	}
	var plan service.Plan
	var group int
	var more service.Usage
	c.engine.View(id, func(s *service.Service) { group, more = s.Claim(&cmd) })
	if err := c.afford(group, more); err != nil {
		return plan, err
	}
	c.engine.View(id, func(s *service.Service) { plan, err = s.Plan(&cmd, time.Now()) })
	plan.Warnings = append(plan.Warnings, warnings...)
	return plan, err
}

// Explain says why a service is in its state, what it waits for and what comes next.
func (c *Control) Explain(who *identity.Caller, id uint64) (e service.Explanation, err error) {
	err = c.Read(who, id, func(s *service.Service) {
		e = s.Explain(time.Now())
		for _, name := range backendsOf(s) {
			if b := c.engine.Backend(name.driver, name.account); b != nil {
				blame(&e, b.Status())
				blameStrangers(&e, b.Key(), b.Barred(s))
			}
		}
	})
	return e, err
}

// Report writes down attributes of an instance, such as READY=YES, for a caller who may manage the service; an
// empty value removes one. It takes all of them or none.
func (c *Control) Report(ctx context.Context, who *identity.Caller, id uint64, serial uint32, attributes map[string]string) (int64, error) {
	return c.report(ctx, who, id, service.Fact{Serial: serial}, attributes)
}

// report takes the instance, and the incarnation that speaks for itself, from f.
func (c *Control) report(ctx context.Context, who *identity.Caller, id uint64, f service.Fact, attributes map[string]string) (revision int64, err error) {
	if err := writes(who); err != nil {
		return 0, err
	}
	if _, err := c.find(who, id, identity.Manage); err != nil {
		return 0, err
	}
	known, total := false, 0
	c.engine.View(id, func(s *service.Service) {
		i := s.Instance(f.Serial)
		known = i != nil
		for k, v := range attributesOf(i) {
			if _, changes := attributes[k]; !changes {
				total += len(k) + len(v)
			}
		}
	})
	for k, v := range attributes {
		if total += len(k) + len(v); len(k) == 0 || len(k) > 255 || total > maxAttributes {
			return 0, fmt.Errorf("%w: an attribute has a name of 1 to 255 bytes, and all attributes of an instance take %d bytes at most", identity.ErrInvalid, maxAttributes)
		}
	}
	if !known {
		return 0, fmt.Errorf("service %d: instance %d: %w", id, f.Serial, identity.ErrNotFound)
	}
	f.Kind = service.Reported
	keys := slices.Sorted(maps.Keys(attributes))
	for n, key := range keys {
		f.Key, f.Value = key, attributes[key]
		if n < len(keys)-1 { // one mailbox: when the last is stored, all are
			c.engine.Tell(id, f)
			continue
		}
		revision, err = c.engine.TellAndWait(ctx, id, f)
	}
	return revision, err
}

// maxAttributes is how many bytes the attributes of an instance may take: sixteen instances share a record.
const maxAttributes = 16 << 10

func attributesOf(i *service.Instance) map[string]string {
	if i == nil {
		return nil
	}
	return i.Attributes
}

// A Change of a service's owner data; nil fields stay.
type MetaChange struct {
	Name        *string
	Owner       *int
	Group       *int
	Permissions *identity.Bits
}

// ChangeMeta renames a service, gives it away or sets its permissions (spec: OneFlow section 5).
func (c *Control) ChangeMeta(ctx context.Context, who *identity.Caller, id uint64, m MetaChange) (int64, error) {
	meta, err := c.find(who, id, identity.Manage)
	if err == nil {
		err = c.mayChange(who, object(&meta), meta.Alias, m)
	}
	if err != nil {
		return 0, c.note(ctx, who, "service.change", "service "+idText(id), err)
	}
	change := service.MetaChange{Name: m.Name, Owner: m.Owner, Group: m.Group}
	if m.Group != nil {
		project := c.directory.GroupName(*m.Group)
		change.Project = &project
	}
	if m.Permissions != nil {
		bits := uint16(*m.Permissions)
		change.Permissions = &bits
	}
	return c.Order(ctx, who, id, service.Command{Meta: &change})
}

// mayChange checks a change of owner, group or permissions against the rules of OneFlow section 5.
func (c *Control) mayChange(who *identity.Caller, o identity.Object, alias string, m MetaChange) error {
	if m.Name != nil {
		if err := service.ValidateName(*m.Name); err != nil {
			return fmt.Errorf("%w: %w", identity.ErrInvalid, err)
		}
	}
	if m.Owner != nil && *m.Owner != o.Owner {
		if _, err := c.directory.User(*m.Owner); err != nil {
			return err
		}
		if !who.Administers() {
			return fmt.Errorf("%w: only administrators give objects to other users", identity.ErrDenied)
		}
	}
	if m.Group != nil && *m.Group != o.Group && alias != "" && c.engine.Aliased(*m.Group, alias) != 0 {
		return fmt.Errorf("%w: group %d has a service with the alias %q", engine.ErrAliasTaken, *m.Group, alias)
	}
	if m.Group != nil && *m.Group != o.Group {
		if _, err := c.directory.Group(*m.Group); err != nil {
			return err
		}
		if !who.Administers() && !who.In(*m.Group) {
			return fmt.Errorf("%w: you are not in group %d", identity.ErrDenied, *m.Group)
		}
	}
	if m.Permissions != nil && o.Bits.AdminChanged(*m.Permissions) {
		return identity.Authorize(who, o, identity.Admin)
	}
	return nil
}
