package occi

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/occi"
)

// The names of a compute's attributes.
const (
	attrHostname = "occi.compute.hostname"
	attrCores    = "occi.compute.cores"
	attrMemory   = "occi.compute.memory"
)

// alone reports whether a service was made here, for one entity.
func alone(s *service.Service) bool { return s.Spec.Format == Format }

// leaves reports whether a service is on its way out: its entities are not there any more.
func leaves(s *service.Service) bool { return s.Leaving || s.State == service.Done }

// member returns the instance of a service that was made here; nil before it is there.
func member(s *service.Service) *service.Instance {
	var last *service.Instance
	for _, r := range s.Roles {
		for i := range r.Instances {
			if i.Phase != service.Stopping {
				last = i
			}
		}
	}
	return last
}

// computeKey returns the last part of the path of an instance.
func computeKey(s *service.Service, i *service.Instance) string {
	if alone(s) || i == nil {
		return strconv.FormatUint(s.ID, 10)
	}
	return fmt.Sprintf("%d-%d", s.ID, i.Serial)
}

// compute returns an instance as a compute, with those of its links that are real. i is nil for one that is not there
// yet.
func (f *OCCI) compute(s *service.Service, i *service.Instance) *occi.Entity {
	key := computeKey(s, i)
	e := &occi.Entity{Path: "/compute/" + key, ID: "urn:uuid:" + f.Control.UUID(s.ID, serial(i)), Kind: occi.Compute}
	r := roleOf(s, i)
	if name := r.Spec.Machine.Name; name != "" {
		e.Mixins = []occi.TypeID{occi.TypeID(osScheme + name)}
	}
	noted := f.noted(e.Path, s)
	if alone(s) {
		show(e, noted, occi.AttrTitle, occi.AttrSummary, attrHostname)
	} else {
		name := s.InstanceName(i)
		e.Attributes.Set(occi.AttrTitle, cmp.Or(text(noted[occi.AttrTitle]), s.Meta.Name+"/"+name))
		show(e, noted, occi.AttrSummary)
		e.Attributes.Set(attrHostname, cmp.Or(text(noted[attrHostname]), name))
	}
	if cores := r.Spec.Machine.CPUs; cores > 0 {
		e.Attributes.Set(attrCores, cores)
	}
	if memory := r.Spec.Machine.Memory; memory > 0 {
		e.Attributes.Set(attrMemory, math.Round(float64(memory)/(1<<30)*1e6)/1e6)
	}
	show(e, noted, "occi.compute.architecture", "occi.compute.speed", "occi.compute.share")
	state, why := computeState(i)
	e.Attributes.Set("occi.compute.state", state)
	if why != "" {
		e.Attributes.Set("occi.compute.state.message", why)
	}
	e.Actions = f.applicable(r, i)
	if i != nil {
		e.Links = f.interfaces(s, i, key)
	}
	return e
}

func serial(i *service.Instance) uint32 {
	if i == nil {
		return 1 // the first of a service
	}
	return i.Serial
}

// roleOf returns the role of an instance, or the only one of a service that was made here.
func roleOf(s *service.Service, i *service.Instance) *service.Role {
	if i != nil {
		return i.Role()
	}
	return s.Roles[0]
}

// computeState maps the phase of an instance; why is "" where the state says all.
func computeState(i *service.Instance) (state, why string) {
	if i == nil {
		return "inactive", "it is being made"
	}
	switch i.Phase {
	case service.Up:
		return "active", ""
	case service.Parked:
		if i.Rest() == service.RestSuspended {
			return "suspended", ""
		}
		return "inactive", ""
	case service.Finished:
		return "inactive", "its program has ended"
	case service.Down, service.Resting:
		return "error", cmp.Or(i.Reason, "its machine is bad")
	case service.Replacing:
		return "inactive", cmp.Or(i.Reason, "its machine is being replaced")
	}
	return "inactive", cmp.Or(i.Reason, "it is being made: "+i.Phase.String())
}

// orders are what actions are in the core, by method; "" is the usual one.
var orders = map[occi.TypeID]map[string]string{
	occi.ComputeStart:   {"": "resume"},
	occi.ComputeStop:    {"": "poweroff", "graceful": "poweroff", "acpioff": "poweroff", "poweroff": "poweroff-hard"},
	occi.ComputeRestart: {"": "reboot", "graceful": "reboot", "warm": "reboot", "cold": "reboot-hard"},
	occi.ComputeSuspend: {"": "suspend", "suspend": "suspend", "hibernate": "stop"},
}

// applicable returns the actions that an instance offers: what its phase allows and its driver can do.
func (f *OCCI) applicable(r *service.Role, i *service.Instance) []occi.TypeID {
	if i == nil || len(i.Actions) > 0 || int(i.Impl) >= len(r.Spec.Machine.Implementations) {
		return nil
	}
	kind, err := f.Control.Kind(r.Spec.Machine.Implementations[i.Impl].Driver)
	if err != nil {
		return nil
	}
	var wanted []occi.TypeID
	switch {
	case i.Phase == service.Up && i.Wish == service.Awake: // else it was asked to rest, and is not seen resting yet
		wanted = []occi.TypeID{occi.ComputeStop, occi.ComputeRestart, occi.ComputeSuspend}
	case i.Phase == service.Parked && i.Rest() != service.RestHeld && i.Wish != service.RestEnds:
		wanted = []occi.TypeID{occi.ComputeStart}
	}
	return slices.DeleteFunc(wanted, func(id occi.TypeID) bool {
		a, _, ok := service.ActionNamed(orders[id][""])
		return !ok || !kind.Supports(a)
	})
}

// computeSpec returns the service that a compute is to be.
func (f *OCCI) computeSpec(who *identity.Caller, e *occi.Entity) (*service.Spec, error) {
	name, err := f.template(who, e.Mixins)
	if err != nil {
		return nil, err
	}
	m, err := f.Control.Resolver(who)(name)
	if err != nil {
		return nil, err
	}
	if cores, ok := e.Attributes.Float(attrCores); ok {
		m.CPUs = cores
	}
	if memory, ok := e.Attributes.Float(attrMemory); ok {
		if memory < 0 || memory > 1<<20 {
			return nil, occi.Errorf(http.StatusBadRequest, "%s is %g GiB", attrMemory, memory)
		}
		m.Memory = int64(math.Round(memory * (1 << 30)))
	}
	if err := contextualize(&m, e); err != nil {
		return nil, err
	}
	spec := &service.Spec{Name: "compute", Strategy: service.Straight, Format: Format, Roles: []service.RoleSpec{
		{Name: "compute", Cardinality: 1, Machine: m, Heal: service.HealAuto, Identity: service.New},
	}}
	if host := e.Attributes.Text(attrHostname); hostname.MatchString(host) {
		spec.NamePattern = host
	}
	return spec, document(spec, e)
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9-]{1,63}$`)

// document notes in a spec what it was made from, and calls it by the entity's title if that is a name.
func document(spec *service.Spec, e *occi.Entity) error {
	noted := make(map[string]any, len(e.Attributes))
	for _, a := range e.Attributes {
		if a.Name != attrUserData && a.Name != attrKey {
			noted[a.Name] = a.Value
		}
	}
	var err error
	spec.Document, err = json.Marshal(noted)
	if title := e.Attributes.Text(occi.AttrTitle); service.ValidateName(title) == nil {
		spec.Name = title
	}
	return err
}

// template returns the name of the machine definition that a compute is made from: the one that is asked for, "default", or
// the only one that there is.
func (f *OCCI) template(who *identity.Caller, mixins []occi.TypeID) (string, error) {
	var asked []string
	for _, id := range mixins {
		if name, ok := strings.CutPrefix(string(id), osScheme); ok {
			asked = append(asked, name)
		}
	}
	switch len(asked) {
	case 0:
	case 1:
		return asked[0], nil
	default:
		return "", occi.Errorf(http.StatusBadRequest, "a compute is made from one OS template, not from %s", strings.Join(asked, " and "))
	}
	all := slices.DeleteFunc(f.Control.Machines(who), func(d control.Definition) bool { return d.Format != "" })
	for _, d := range all {
		if d.Name == "default" || len(all) == 1 {
			return d.Name, nil
		}
	}
	if len(all) == 0 {
		return "", occi.Errorf(http.StatusBadRequest, "there is no machine definition to make a compute from; add one with `troupe machine add`")
	}
	return "", occi.Errorf(http.StatusBadRequest, `the request names no OS template; give a mixin of the scheme %s, such as %s`, osScheme, all[0].Name)
}

// Attributes of the mixins that put something into a machine.
const (
	attrUserData = "occi.compute.userdata"
	attrKey      = "occi.credentials.ssh.publickey"
)

// contextualize gives a machine the user data and the key that the request has.
func contextualize(m *service.Machine, e *occi.Entity) error {
	data, key := e.Attributes.Text(attrUserData), strings.TrimSpace(e.Attributes.Text(attrKey))
	if data == "" && key == "" {
		return nil
	}
	if data != "" && key != "" {
		return occi.Errorf(http.StatusBadRequest, "with user data of its own a machine gets no other key; put the key into the user data")
	}
	if m.UserData != "" && key != "" {
		return occi.Errorf(http.StatusBadRequest, "the machine definition %s has user data of its own, so that no key can be added", m.Name)
	}
	if key != "" {
		line, err := json.Marshal(key) // JSON is YAML
		if err != nil {
			return err
		}
		m.UserData = "#cloud-config\nssh_authorized_keys: [" + raw(string(line)) + "]\n"
		return nil
	}
	text, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return occi.Errorf(http.StatusBadRequest, "%s is not base64: %w", attrUserData, err)
	}
	if strings.Contains(string(text), "endraw") {
		return occi.Errorf(http.StatusBadRequest, "%s may not hold the word endraw", attrUserData)
	}
	m.UserData = raw(string(text))
	return nil
}

// raw returns a text that stands for itself where templates are rendered.
func raw(s string) string {
	if !strings.Contains(s, "{") {
		return s
	}
	return "{% raw %}" + s + "{% endraw %}"
}

// show sets noted attributes of an entity, in this order.
func show(e *occi.Entity, noted map[string]any, names ...string) {
	for _, name := range names {
		if v, ok := noted[name]; ok {
			e.Attributes.Set(name, v)
		}
	}
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// noted returns what was noted of an entity: last, or when its service was made.
func (f *OCCI) noted(path string, s *service.Service) map[string]any {
	if a, ok := f.notes.attributes(path); ok || !alone(s) {
		return a
	}
	var a map[string]any
	if json.Unmarshal(s.Spec.Document, &a) != nil {
		return nil // of a spec that was not made here
	}
	return a
}

// backendOf returns the back end that made an instance.
func backendOf(r *service.Role, i *service.Instance) (name, account string) {
	if int(i.Impl) >= len(r.Spec.Machine.Implementations) {
		return "", ""
	}
	x := &r.Spec.Machine.Implementations[i.Impl]
	return x.Driver, x.Account
}
