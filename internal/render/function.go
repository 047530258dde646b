package render

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/troupe-dev/troupe/internal/jinja"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// A maker makes a function for the templates of a scope.
type maker func(ctx context.Context, s *Scope) *jinja.Function

// functions are what templates can call besides what Jinja has. Inputs and other names hide them.
var functions = map[string]maker{
	"getip": func(_ context.Context, s *Scope) *jinja.Function {
		return jinja.NewFunction("getip", "role", func(a []any) (any, error) {
			p, err := s.first(a[0])
			if err != nil {
				return nil, err
			}
			return p.Address, nil
		})
	},
	"getprivip": func(_ context.Context, s *Scope) *jinja.Function {
		return jinja.NewFunction("getprivip", "role", func(a []any) (any, error) {
			p, err := s.first(a[0])
			if err != nil {
				return nil, err
			}
			return p.private(), nil
		})
	},
	"getipall": func(_ context.Context, s *Scope) *jinja.Function {
		return jinja.NewFunction("getipall", "role", func(a []any) (any, error) {
			all, err := s.peersIn(a[0])
			out := make([]string, len(all))
			for i := range all {
				out[i] = all[i].Address
			}
			return out, err
		})
	},
	"find_node_id": func(_ context.Context, s *Scope) *jinja.Function {
		return jinja.NewFunction("find_node_id", "role, allnodes=False", func(a []any) (any, error) {
			return s.records(a[0], a[1] == true)
		})
	},
	"cut": func(context.Context, *Scope) *jinja.Function {
		return jinja.NewFunction("cut", "text, start, end", func(a []any) (any, error) {
			text, ok := a[0].(string)
			if !ok {
				return nil, errors.New("the first value must be text")
			}
			return cut([]rune(text), a[1], a[2])
		})
	},
	"cmd": func(ctx context.Context, s *Scope) *jinja.Function {
		return jinja.NewFunction("cmd", "command", func(a []any) (any, error) {
			command, ok := a[0].(string)
			switch {
			case !ok:
				return nil, errors.New("the command must be text")
			case s.Command == nil:
				return nil, errNoCommands
			}
			return s.Command(ctx, command)
		})
	},
	"ibget": func(_ context.Context, s *Scope) *jinja.Function {
		return jinja.NewFunction("ibget", "key, *args, **kwargs", func(a []any) (any, error) { return s.query(a) })
	},
}

var errNoCommands = errors.New("commands on the server's host are not allowed in templates")

// takesRole are the functions whose first value is the name of a role.
var takesRole = map[string]bool{"getip": true, "getprivip": true, "getipall": true, "find_node_id": true}

func cut(text []rune, start, end any) (string, error) {
	place := func(v any) (int, error) {
		i, ok := v.(int64)
		if !ok {
			return 0, errors.New("start and end must be whole numbers")
		}
		if i < 0 {
			i += int64(len(text))
		}
		return int(min(max(i, 0), int64(len(text)))), nil
	}
	from, err := place(start)
	if err != nil {
		return "", err
	}
	to, err := place(end)
	return string(text[from:max(from, to)]), err
}

// peersIn returns the instances of a role that this one needs, the oldest first.
func (s *Scope) peersIn(role any) ([]Peer, error) {
	name, ok := role.(string)
	if !ok {
		return nil, errors.New("the role must be text")
	}
	peers, ok := s.Roles[name]
	if !ok {
		return nil, fmt.Errorf("no role %q among those that %s needs%s", name, s.Role.Name, nearest.Hint(name, slices.Sorted(maps.Keys(s.Roles))))
	}
	if len(peers.list) == 0 {
		return nil, fmt.Errorf("role %s has no instance yet", name)
	}
	return peers.list, nil
}

func (s *Scope) first(role any) (*Peer, error) {
	all, err := s.peersIn(role)
	if err != nil {
		return nil, err
	}
	return &all[0], nil
}

// records is find_node_id: what is known of the first instance of a role, or of all.
func (s *Scope) records(role any, all bool) (any, error) {
	peers, err := s.peersIn(role)
	if err != nil {
		return nil, err
	}
	out := make([]any, len(peers))
	for i := range peers {
		out[i] = record{view{&peers[i]}, role.(string), s}
	}
	if !all {
		return out[0], nil
	}
	return out, nil
}

// A record shows an instance under the names that Occopus has for what it knows of one.
type record struct {
	view
	role string
	of   *Scope
}

var recordFields = append([]string{"node_id", "instance_id", "infra_id", "infra_name", "node_name", "resource_address", "instance_start_time", "node_description"}, peerFields...)

// Names returns the names of the record's fields.
func (r record) Names() []string { return recordFields }

// Attr returns a field of the record.
func (r record) Attr(name string) (any, bool) {
	switch name {
	case "node_id":
		return r.peer.UUID(), true
	case "instance_id":
		return r.peer.Native, true
	case "infra_id":
		return r.of.named("infra_id", r.of.Service.ID), true
	case "infra_name":
		return r.of.named("infra_name", r.of.Service.Name), true
	case "node_name":
		return r.role, true
	case "resource_address":
		return r.peer.Address, true
	case "instance_start_time":
		return float64(r.peer.Created.UnixMilli()) / 1000, true
	case "node_description":
		return map[string]any{"name": r.role, "infra_id": r.of.named("infra_id", r.of.Service.ID), "infra_name": r.of.named("infra_name", r.of.Service.Name)}, true
	}
	return r.view.Attr(name)
}

// named returns what stands as it is under a name of the format's, or else something other.
func (s *Scope) named(name string, other any) any {
	if v, ok := s.Names[name]; ok {
		return v
	}
	return other
}

// questions are the keys that ibget answers.
var questions = []string{
	"infrastructure.name", "infrastructure.node_instances", "infrastructure.started", "node.address", "node.find", "node.find_one",
	"node.resource.address", "node.resource.ip_address",
}

// query is ibget: a question by a key of Occopus' information broker, as far as the scope has the answer.
func (s *Scope) query(a []any) (any, error) {
	key, ok := a[0].(string)
	if !ok {
		return nil, errors.New("the key must be text")
	}
	arg := func(at int, name string) any {
		if rest := a[1].(jinja.Tuple); at < len(rest) {
			return rest[at]
		}
		v, _ := a[2].(*jinja.Dict).Get(name)
		return v
	}
	switch key {
	case "infrastructure.name":
		return s.named("infra_name", s.Service.Name), nil
	case "infrastructure.started":
		return true, nil
	case "infrastructure.node_instances":
		all := make(map[string]any, len(s.Roles))
		for role := range s.Roles {
			all[role] = s.byID(role)
		}
		return all, nil
	case "node.find":
		return s.records(arg(1, "name"), true)
	case "node.find_one":
		return s.records(arg(1, "name"), false)
	case "node.address", "node.resource.address", "node.resource.ip_address":
		r, ok := arg(0, "instance_data").(record)
		if !ok {
			return nil, fmt.Errorf("%s takes what find_node_id returns", key)
		}
		return r.peer.Address, nil
	}
	return nil, fmt.Errorf("no answer to %q%s; there are answers to %v", key, nearest.Hint(key, questions), questions)
}

func (s *Scope) byID(role string) map[string]any {
	out := map[string]any{}
	for i, p := range s.Roles[role].list {
		out[p.UUID()] = record{view{&s.Roles[role].list[i]}, role, s}
	}
	return out
}
