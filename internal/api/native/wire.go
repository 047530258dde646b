package native

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

func (f *face) user(id int) client.Party {
	return client.Party{ID: id, Name: f.control.Directory().UserName(id)}
}

func (f *face) group(id int) client.Party {
	return client.Party{ID: id, Name: f.control.Directory().GroupName(id)}
}

func (f *face) groups(ids []int) []client.Party {
	out := make([]client.Party, len(ids))
	for n, id := range ids {
		out[n] = f.group(id)
	}
	return out
}

// later returns a time that may be none.
func later(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// service shows a service; it keeps nothing of s.
func (f *face) service(s *service.Service) client.Service {
	out := client.Service{
		ID: s.ID, Name: s.Meta.Name, Alias: s.Meta.Alias, Description: s.Spec.Description, Project: s.Meta.Project, State: s.State.String(), Reason: s.Reason,
		Since: s.Since.Time(), Created: s.Created.Time(), Revision: s.Revision, Owner: f.user(s.Meta.Owner), Group: f.group(s.Meta.Group),
		Permissions: identity.Bits(s.Meta.Permissions).String(), Template: s.Meta.Template, Format: s.Spec.Format, Strategy: string(s.Spec.Strategy),
		Labels: s.Spec.Labels, Leaving: s.Leaving, Mode: s.Mode.String(), Roles: make([]client.Role, len(s.Roles)),
	}
	if len(s.Spec.Inputs) > 0 {
		out.Inputs = maps.Clone(s.Spec.Inputs)
		for _, name := range s.Spec.Secrets {
			if _, ok := out.Inputs[name]; ok {
				out.Inputs[name] = driver.Redacted
			}
		}
	}
	if p := s.Pass; p != nil {
		out.Pass = &client.Pass{Until: later(p.Until.Time()), Ended: later(p.Ended.Time()), Failure: p.Failure}
	}
	if r := s.Rollout; r != nil {
		out.Rollout = &client.Rollout{From: r.From, To: r.To, Rollback: r.Rollback, Paused: r.Paused, Reason: r.Reason}
	}
	for n, r := range s.Roles {
		out.Roles[n] = role(s, r)
	}
	return out
}

func role(s *service.Service, r *service.Role) client.Role {
	out := client.Role{
		Name: r.Name, State: r.State.String(), Reason: r.Reason, Since: r.Since.Time(), Cardinality: r.Cardinality, Min: r.Spec.MinOf(),
		Max: r.Spec.Max, Parents: r.Spec.Parents, Total: r.Total(), Settled: r.Settled(), Live: r.Live(), Outdated: r.Outdated(),
		Phases: map[string]int{}, Heal: string(r.Spec.Heal), Identity: string(r.Spec.Identity), Machine: r.Spec.Machine.Name,
		Drivers: drivers(&r.Spec.Machine), Revision: r.Revision, Removing: r.Removing,
	}
	out.RolePolicies = policies(s.PolicyStates(r, time.Now()), r.Decision)
	if r.State == service.Cooldown {
		out.Until = later(r.Until.Time())
	}
	for p := service.Queued; p <= service.Stopping; p++ {
		if n := r.Count(p); n > 0 {
			out.Phases[p.String()] = n
		}
	}
	return out
}

func policies(states []service.PolicyState, d *service.PolicyDecision) (out client.RolePolicies) {
	for _, x := range states {
		out.Policies = append(out.Policies, client.PolicyState{Policy: x.Policy, Value: x.Value, Refused: x.Refused, LastUp: later(x.LastUp), LastDown: later(x.LastDown)})
	}
	if d != nil {
		out.Decision = &client.PolicyDecision{Time: d.Time.Time().UTC(), Policy: d.Policy, From: d.From, To: d.To, Because: d.Because}
	}
	return out
}

func drivers(m *service.Machine) []string {
	out := make([]string, len(m.Implementations))
	for n := range m.Implementations {
		out[n] = m.Implementations[n].Driver
	}
	return out
}

var healths = [...]string{service.Unchecked: "unchecked", service.Healthy: "healthy", service.Unhealthy: "unhealthy", service.Ailing: "ailing"}

func (f *face) instance(s *service.Service, i *service.Instance) client.Instance {
	r := i.Role()
	out := client.Instance{
		Serial: i.Serial, UUID: f.control.UUID(s.ID, i.Serial), Name: s.InstanceName(i), Role: r.Name, Number: i.Number, Phase: i.Phase.String(), Reason: i.Reason,
		Machine: string(s.MachineID(i)), State: i.Machine.String(), Native: i.Native, Addresses: slices.Clone(i.Addresses),
		Incarnation: i.Incarnation, Revision: i.Revision, Ready: i.Ready, Health: healths[i.Healthy], Doubt: i.Doubt, Overdue: i.Overdue,
		Failures: int(i.Failures), ExitCode: int(i.ExitCode), Created: i.Created.Time(), Since: i.Since.Time(), Until: later(i.Until.Time()),
		Attributes: maps.Clone(i.Attributes),
	}
	if x := i.Implementation(); x != nil {
		out.Driver, out.Account, out.Implementation, out.Choice = x.Driver, x.Account, x.Title(), s.ChoiceOf(i)
	}
	out.Failing = later(i.FailingSince().Time())
	for _, a := range i.Actions {
		out.Actions = append(out.Actions, client.PendingAction{Action: string(a.Action), Args: a.Args, At: a.At.Time()})
	}
	return out
}

func event(id uint64, name string, e *service.Event) client.Event {
	return client.Event{Service: id, Name: name, Time: e.Time.Time(), Error: e.Error, Role: e.Role, Instance: e.Instance, Message: e.Message}
}

func events(story []control.StoryEvent) client.Page[client.Event] {
	out := client.Page[client.Event]{Items: make([]client.Event, len(story))}
	for n := range story {
		out.Items[n] = event(story[n].Service, story[n].Name, &story[n].Event)
	}
	return out
}

func change(c *control.Change) client.Change {
	out := client.Change{Revision: c.Revision, Service: c.Service, Name: c.Meta.Name, Project: c.Meta.Project, State: c.State.String(),
		Removed: c.Removed, Instances: c.Instances}
	for n := range c.Events {
		out.Events = append(out.Events, event(c.Service, c.Meta.Name, &c.Events[n]))
	}
	return out
}

func plan(p *service.Plan, id uint64, name string) client.Plan {
	out := client.Plan{Steps: make([]client.Step, len(p.Steps)), State: p.State.String(), Total: p.Total, Warnings: p.Warnings, Service: id, Name: name}
	for n, s := range p.Steps {
		out.Steps[n] = client.Step{Wave: s.Wave, Do: s.Do, Role: s.Role, Instances: s.Instances, Count: s.Count, Driver: s.Driver, Implementation: s.Implementation, Why: s.Why}
	}
	return out
}

func explanation(id uint64, name string, e *service.Explanation) client.Explanation {
	out := client.Explanation{State: e.State, Mode: e.Mode, Since: e.Since.UTC(), Why: e.Why, Waits: e.Waits, Next: e.Next, Advice: e.Advice, Rollback: e.Rollback,
		Roles: make([]client.RoleExplanation, len(e.Roles))}
	for n, r := range e.Roles {
		out.Roles[n] = client.RoleExplanation{Name: r.Name, State: r.State, Why: r.Why, Cardinality: r.Cardinality, Phases: r.Phases, Bad: r.Bad,
			RolePolicies: policies(r.Policies, r.Decision)}
		for _, x := range r.Implementations {
			out.Roles[n].Implementations = append(out.Roles[n].Implementations, client.ImplementationExplanation(x))
		}
	}
	for _, b := range e.Backends {
		out.Backends = append(out.Backends, client.BackendExplanation(b))
	}
	for n := range e.Story {
		out.Story = append(out.Story, event(id, name, &e.Story[n]))
	}
	return out
}

// etag is the form in which If-Match takes a revision.
func etag[N int64 | uint32](revision N) string {
	return `"` + strconv.FormatInt(int64(revision), 10) + `"`
}

// Match is the header by which a change is refused when the object has another revision.
type Match struct {
	IfMatch string `header:"If-Match" doc:"The ETag that was read: refuse the change if the object has another by now."`
}

// revision returns the revision of the header; 0 for any.
func (m *Match) revision() (int64, error) {
	if m.IfMatch == "" || m.IfMatch == "*" {
		return 0, nil
	}
	text, err := strconv.Unquote(m.IfMatch)
	if err == nil {
		var n int64
		if n, err = strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
			return n, nil
		}
	}
	return 0, invalid("header.If-Match", "not an ETag of this server")
}

// holds refuses a change of an object that has another revision than the header says.
func (m *Match) holds(revision int64) error {
	want, err := m.revision()
	if err != nil {
		return err
	}
	if want != 0 && want != revision {
		return fmt.Errorf("%w: it is at revision %d, not %d", control.ErrStale, revision, want)
	}
	return nil
}

func bits(text string) (identity.Bits, error) {
	if text == "" {
		return 0, nil
	}
	return identity.ParseBits(text)
}
