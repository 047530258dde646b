package control

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// A Revision asks for another spec of a running service, made from the document that its face keeps.
type Revision struct {
	// From is what the document gave before the change and To what it gives now, both read with the
	// machine definitions of today. A role whose machine is the same in both keeps the machine that
	// it runs: later changes of a named definition do not reach it. Cardinalities stay as they are.
	From, To *service.Spec
	// In are the states in which the service may be; none means any that the core accepts.
	In []service.State
}

// Revise brings a service that the caller may manage to another spec: in place where no machine
// changes, else by a rolling update. A change of the service in between is refused as stale.
func (c *Control) Revise(ctx context.Context, who *identity.Caller, id uint64, r Revision) (int64, error) {
	var present *service.Spec
	var revision uint32
	var state service.State
	if err := c.Read(who, id, func(s *service.Service) { present, revision, state = s.Spec, s.Revision, s.State }); err != nil {
		return 0, c.note(ctx, who, "service.update", "service "+idText(id), err)
	}
	if len(r.In) > 0 && !slices.Contains(r.In, state) {
		refusal := &service.Refusal{Kind: service.WrongState, Message: fmt.Sprintf("Service cannot be modified in state: %s", state)}
		return 0, c.note(ctx, who, "service.update", "service "+idText(id), refusal)
	}
	next := *r.To
	next.Strict, next.NamePattern, next.Retain = present.Strict, present.NamePattern, present.Retain
	next.Roles = slices.Clone(r.To.Roles)
	live := len(next.Roles) == len(present.Roles)
	for n := range next.Roles {
		role := &next.Roles[n]
		was, now := r.From.Role(role.Name), present.Role(role.Name)
		if now < 0 {
			live = false
			continue
		}
		if was >= 0 && reflect.DeepEqual(r.From.Roles[was].Machine, role.Machine) {
			role.Machine = present.Roles[now].Machine
		}
		role.Cardinality = within(role, present.Roles[now].Cardinality)
		live = live && sameRun(&present.Roles[now], role)
	}
	live = live && sameTexts(present.Inputs, next.Inputs)
	return c.Order(ctx, who, id, service.Command{Update: &service.Update{Spec: &next, Revision: revision, Live: live}})
}

// within brings a cardinality into the role's bounds, which may be new; what runs changes by scaling.
func within(r *service.RoleSpec, n int) int {
	if top := r.MaxOf(); top >= 0 {
		n = min(n, top)
	}
	return max(n, r.MinOf())
}

// sameRun reports whether instances of the one role serve the other as they are.
func sameRun(a, b *service.RoleSpec) bool {
	x, y := a.Machine, b.Machine
	x.Checks, y.Checks = nil, nil
	return reflect.DeepEqual(x, y) && a.Identity == b.Identity && sameTexts(a.Inputs, b.Inputs)
}

func sameTexts(a, b map[string]string) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// PurgeDone removes the services in state DONE that the caller may manage, and returns how many.
func (c *Control) PurgeDone(ctx context.Context, who *identity.Caller) (int, error) {
	if err := writes(who); err != nil {
		return 0, err
	}
	var done []uint64
	c.engine.Each(func(id uint64, s *service.Service) bool {
		if s.State == service.Done && identity.Allowed(who, object(&s.Meta), identity.Manage) {
			done = append(done, id)
		}
		return true
	})
	removed := 0
	var errs []error
	for _, id := range done {
		_, err := c.Order(ctx, who, id, service.Command{Recover: &service.Recover{Delete: true}})
		switch {
		case err == nil:
			removed++
		case !errors.Is(err, identity.ErrNotFound):
			errs = append(errs, fmt.Errorf("service %d: %w", id, err))
		}
	}
	return removed, errors.Join(errs...)
}

// CopyMachine stores a copy of a definition that the caller may use under a name made of its own and
// a suffix, cut and counted on until it is free. The copy belongs to the caller.
func (c *Control) CopyMachine(ctx context.Context, who *identity.Caller, ref, suffix string) (Definition, error) {
	d, err := c.Machine(who, ref, identity.Use)
	if err != nil {
		return Definition{}, c.note(ctx, who, "machine.copy", "machine "+ref, err)
	}
	if err := c.mayStore(who, d.Name, &d.Machine); err != nil {
		return Definition{}, c.note(ctx, who, "machine.copy", "machine "+ref, err)
	}
	from := d.Name
	d.Name, d.Permissions, d.Revision = c.freeMachineName(from, suffix), identity.DefaultBits, 0
	copied, err := c.ReplaceMachine(ctx, who, d)
	if err != nil {
		return Definition{}, fmt.Errorf("copy machine definition %s: %w", from, err)
	}
	return copied, nil
}

// freeMachineName joins a name and a suffix to one that is valid and not taken.
func (c *Control) freeMachineName(name, suffix string) string {
	suffix = strings.Map(func(r rune) rune {
		if r < 128 && (r == '_' || r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
			return r
		}
		return '_'
	}, suffix)
	taken := make(map[string]bool)
	c.mu.RLock()
	for _, d := range c.machines {
		taken[d.Name] = true
	}
	c.mu.RUnlock()
	suffix = "-" + suffix[:min(len(suffix), 30)]
	for n := 1; ; n++ {
		end := suffix
		if n > 1 {
			end = fmt.Sprintf("%s-%d", suffix, n)
		}
		if free := name[:min(len(name), service.MaxName-len(end))] + end; !taken[free] {
			return free
		}
	}
}
