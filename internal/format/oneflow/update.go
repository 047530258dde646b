package oneflow

import (
	"github.com/troupe-dev/troupe/internal/nearest"
)

// What an update of a running service must leave as it is, in the names of the new generation.
var (
	immutableInService = []string{"user_inputs", "user_inputs_values", "deployment", "log", "name", "networks",
		"networks_values", "ready_status_gate", "state", "start_time"}
	immutableInRole = []string{"cardinality", "last_vmname", "nodes", "parents", "state", "template_id"}
)

// UpdateTemplate returns the body of a template after an update. With merge the top-level keys of
// update are laid over the body, else update takes its place. The result is validated; a
// registration_time may be missing from update but not differ. The error is an *Error.
func (b *Body) UpdateTemplate(update *Body, merge bool) (*Body, []Warning, error) {
	const key = "registration_time"
	registered := b.root.Get(key)
	if registered != nil && update.root.Has(key) && !Equal(registered, update.root.Get(key)) {
		return nil, nil, immutable(update, path{key}, "service_template/"+key)
	}
	made := &Body{root: update.root.Clone(), source: update.source}
	if merge {
		made = laidOver(b, update)
	} else if registered != nil {
		made.root.Set(key, registered)
	}
	warnings, err := made.Normalise()
	return made, warnings, err
}

// UpdateService returns the body of a running service after PUT /service/:id with data. Two forms
// are understood: a whole body, which must repeat what may not change, and
// {"append": true, "template": "<JSON text>"}, whose keys are laid over the body and must not name
// what may not change. The error is an *Error.
func (b *Body) UpdateService(data []byte) (*Body, []Warning, error) {
	update, err := Parse(data)
	if err != nil {
		return nil, nil, err
	}
	merge := false
	if update.root.Has("append") {
		text, ok := update.root.Get("template").(string)
		if !ok {
			return nil, nil, update.fail(Invalid, path{"template"}, "KEY: 'template' must be a String; that holds JSON")
		}
		merge = update.root.Bool("append")
		if update, err = Parse([]byte(text)); err != nil {
			return nil, nil, err
		}
	}
	made := update
	if merge {
		for _, key := range immutableInService {
			if update.root.Has(key) {
				return nil, nil, immutable(update, path{key}, "service/"+key)
			}
		}
		made = laidOver(b, update)
	}
	warnings, err := made.Normalise()
	if err != nil {
		return nil, nil, err
	}
	return made, warnings, b.checkImmutable(made)
}

func laidOver(b, update *Body) *Body {
	root := b.root.Clone()
	for _, key := range update.root.Keys() {
		root.Set(key, clone(update.root.Get(key)))
	}
	return NewBody(root)
}

// checkImmutable compares what may not change in the form of the new generation.
func (b *Body) checkImmutable(update *Body) error {
	before, err := b.In(New)
	if err != nil {
		return err
	}
	after, err := update.In(New)
	if err != nil {
		return err
	}
	for _, key := range immutableInService {
		if !same(before.root, after.root, key) {
			return immutable(update, path{key}, "service/"+key)
		}
	}
	known := make(map[string]*Object)
	var names []string
	for _, r := range before.root.Array("roles") {
		role := r.(*Object)
		known[role.Text("name")] = role
		names = append(names, role.Text("name"))
	}
	roles := after.root.Array("roles")
	for i, r := range roles {
		role := r.(*Object)
		name := role.Text("name")
		old := known[name]
		if old == nil {
			return update.fail(Immutable, path{"roles", i, "name"}, "the service has no role '%s', and an update cannot rename one%s", name, nearest.Hint(name, names))
		}
		for _, key := range immutableInRole {
			if !same(old, role, key) {
				return immutable(update, path{"roles", i, key}, "role/"+key)
			}
		}
	}
	if len(roles) != len(names) {
		return immutable(update, path{"roles"}, "service/roles number")
	}
	return nil
}

// same compares one key. Nodes are the same if they are the same machines: what is told of them
// changes between reading a service and writing it back.
func same(a, b *Object, key string) bool {
	x, y := a.Get(key), b.Get(key)
	if key == "nodes" {
		x, y = machines(x), machines(y)
	}
	return Equal(x, y)
}

func machines(nodes any) any {
	list, ok := nodes.([]any)
	if !ok {
		return nodes
	}
	ids := make([]any, len(list))
	for i, n := range list {
		if ids[i] = n; n != nil {
			if o, ok := n.(*Object); ok {
				ids[i] = o.Get("deploy_id")
			}
		}
	}
	return ids
}

func immutable(b *Body, p path, what string) error {
	return b.fail(Immutable, p, "Immutable value: `%s` can not be changed", what)
}
