package oneflow

import (
	"errors"
	"slices"
	"strings"

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
	if !update.root.Has("append") {
		return b.updateService(update, false)
	}
	text, ok := update.root.Get("template").(string)
	if !ok {
		return nil, nil, update.fail(Invalid, path{"template"}, "KEY: 'template' must be a String; that holds JSON")
	}
	merge := update.root.Bool("append")
	var made *Body
	var warnings []Warning
	if update, err = Parse([]byte(text)); err == nil {
		made, warnings, err = b.updateService(update, merge)
	}
	return made, warnings, At("template", err)
}

func (b *Body) updateService(update *Body, merge bool) (*Body, []Warning, error) {
	made := update
	if merge {
		for _, key := range immutableInService {
			if update.root.Has(key) {
				return nil, nil, immutable(update, path{key}, "service/"+key)
			}
		}
		made = laidOver(b, update)
	}
	// A forced scaling may have left a role outside its bounds: that must not stop an update of
	// something else.
	warnings, err := made.normalise(!merge || update.root.Has("roles"))
	if err != nil {
		return nil, nil, err
	}
	return made, warnings, b.checkImmutable(made)
}

// AddRole returns the body with one more role: an object, or a string that holds its JSON, of either
// generation. The role is checked like one of a template. The error is an *Error.
func (b *Body) AddRole(role any) (*Body, []Warning, error) {
	if text, ok := role.(string); ok {
		var err error
		if role, err = ParseJSON([]byte(text)); err != nil {
			return nil, nil, At("role", err)
		}
	}
	o, ok := role.(*Object)
	if !ok {
		return nil, nil, wrong("role", "KEY: 'role' must be an Object;")
	}
	alone := NewBody(new(Object))
	alone.root.Set("name", b.root.Get("name"))
	alone.root.Set("roles", []any{o.Clone()})
	if _, err := alone.Normalise(); err != nil {
		return nil, nil, ofRole(0, err)
	}
	roles := b.root.Array("roles")
	if len(roles) > 0 {
		var err error
		if alone, err = alone.In(b.Generation()); err != nil {
			return nil, nil, err
		}
	}
	root := b.root.Clone()
	root.Set("roles", append(root.Array("roles"), alone.root.Array("roles")...))
	made := NewBody(root)
	warnings, err := made.normalise(false)
	return made, warnings, ofRole(len(roles), err)
}

// ofRole makes the place of an error in the n-th role one in the role that is added.
func ofRole(n int, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	rest, ok := strings.CutPrefix(e.Path, path{"roles", n}.String())
	if !ok {
		return err
	}
	moved := *e
	moved.Path = "role" + rest
	return &moved
}

// RemoveRole returns the body without a role. Others lose it from their parents. The error, if there
// is no such role, is an *Error.
func (b *Body) RemoveRole(name string) (*Body, error) {
	root := b.root.Clone()
	var left []any
	var names []string
	for _, r := range root.Array("roles") {
		role := r.(*Object)
		names = append(names, role.Text("name"))
		if role.Text("name") == name {
			continue
		}
		if parents := role.Array("parents"); parents != nil {
			role.Set("parents", slices.DeleteFunc(parents, func(p any) bool { return p == name }))
		}
		left = append(left, role)
	}
	if len(left) == len(names) {
		return nil, wrong("role", "Role '"+shorten(name)+"' not found"+nearest.Hint(name, names))
	}
	root.Set("roles", append([]any{}, left...))
	return NewBody(root), nil
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
