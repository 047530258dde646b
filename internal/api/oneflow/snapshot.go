package oneflow

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/policy"
	"github.com/troupe-dev/troupe/internal/service"
)

// A snapshot is what the face shows of a service, copied at one moment.
type snapshot struct {
	id      uint64
	meta    service.Meta
	state   service.State
	created service.Time
	spec    *service.Spec // never changed once stored
	log     []service.Event
	roles   []roleShot
	made    map[string]string // ids of the resources that are there, by name
}

type roleShot struct {
	name        string
	state       service.State
	cardinality int
	next        uint32 // number of the next instance
	disposed    []uint32
	down        bool
	until       service.Time
	spec        *service.RoleSpec
	memories    []policy.Memory // of its policies
	scaled      time.Time       // when a policy last scaled it
	nodes       []nodeShot
}

type nodeShot struct {
	service.Instance
	name string
}

// capture copies a service.
func capture(s *service.Service) *snapshot {
	shot := outline(s)
	for n, r := range s.Roles {
		for i := range r.Instances {
			shot.roles[n].add(s, i)
		}
	}
	return shot
}

// add copies an instance, once there is a machine.
func (r *roleShot) add(s *service.Service, i *service.Instance) {
	if i.Incarnation == 0 {
		return // no machine was asked for yet: no node either
	}
	node := nodeShot{Instance: *i, name: s.InstanceName(i)}
	node.Attributes, node.Addresses, node.Actions = maps.Clone(i.Attributes), slices.Clone(i.Addresses), slices.Clone(i.Actions)
	r.nodes = append(r.nodes, node)
}

// outline copies a service without its instances.
func outline(s *service.Service) *snapshot {
	shot := &snapshot{id: s.ID, meta: s.Meta, state: s.State, created: s.Created, spec: s.Spec, log: slices.Clone(s.Log)}
	for _, x := range s.Resources {
		if id := cmp.Or(x.Outputs["id"], x.Native); x.Made && id != "" {
			if shot.made == nil {
				shot.made = make(map[string]string)
			}
			shot.made[x.Name] = id
		}
	}
	for _, r := range s.Roles {
		role := roleShot{name: r.Name, state: r.State, cardinality: r.Cardinality, next: r.NextNumber, down: r.Down, until: r.Until, spec: r.Spec, disposed: slices.Clone(r.Disposed),
			memories: slices.Clone(r.Policies)}
		if r.Decision != nil {
			role.scaled = r.Decision.Time.Time()
		}
		shot.roles = append(shot.roles, role)
	}
	return shot
}

// newborn returns the snapshot as the service was when it was asked for: with nothing but warnings in its log.
func (s *snapshot) newborn() *snapshot {
	n := *s
	n.state, n.log, n.roles, n.made = service.Pending, nil, slices.Clone(s.roles), nil
	for _, e := range s.log {
		if strings.HasPrefix(e.Message, "Warning: ") {
			n.log = append(n.log, e)
		}
	}
	for i := range n.roles {
		r := &n.roles[i]
		r.state, r.nodes, r.next, r.disposed, r.memories, r.cardinality = service.Pending, nil, 0, nil, nil, r.spec.Cardinality
	}
	return &n
}

func (s *snapshot) envelope() envelope {
	return envelope{id: s.id, owner: s.meta.Owner, group: s.meta.Group, name: s.meta.Name, kind: serviceType, permissions: identity.Bits(s.meta.Permissions)}
}

func (s *snapshot) role(name string) *roleShot {
	for n := range s.roles {
		if s.roles[n].name == name {
			return &s.roles[n]
		}
	}
	return nil
}

// stored returns the body as it was stored, in its client's generation, with all secrets. Services of
// other faces get one made from their spec.
func (s *snapshot) stored() (*format.Body, error) {
	if s.spec.Format == "oneflow" {
		return format.Parse(s.spec.Document)
	}
	root := object("name", s.spec.Name, "deployment", string(s.spec.Strategy), "description", s.spec.Description)
	roles := []any{}
	for n := range s.spec.Roles {
		roles = append(roles, describe(&s.spec.Roles[n]))
	}
	root.Set("roles", roles)
	return format.NewBody(root), nil
}

// networks returns what finds the ids of the networks that the service made for itself, by their names in its
// body.
func (s *snapshot) networks(body *format.Body) func(name string) (string, bool) {
	if len(s.spec.Resources) == 0 {
		return func(string) (string, bool) { return "", false }
	}
	names := body.Networks(s.spec.Resources)
	return func(name string) (string, bool) {
		id, ok := s.made[names[name]]
		return id, ok
	}
}

// describe makes the body of a role that has none.
func describe(r *service.RoleSpec) *format.Object {
	role := object("name", r.Name, "type", "vm", "cardinality", number(r.Cardinality), "template_id", number(r.Machine.ID))
	if len(r.Parents) > 0 {
		parents := []any{}
		for _, p := range r.Parents {
			parents = append(parents, p)
		}
		role.Set("parents", parents)
	}
	if r.Min != nil {
		role.SetInt("min_vms", *r.Min)
	}
	if r.Max != nil {
		role.SetInt("max_vms", *r.Max)
	}
	return role
}
