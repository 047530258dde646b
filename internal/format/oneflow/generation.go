package oneflow

import (
	"encoding/json"
)

// Generation is the dialect of a body.
type Generation uint8

// The generations.
const (
	Old Generation = iota // up to 6.x: vm_template, vm_template_contents, custom_attrs
	New                   // 7.x: template_id, type, template_contents, user_inputs
)

// Generation tells the dialect of the body: old if every role has vm_template or
// vm_template_contents; without roles, if it has custom_attrs.
func (b *Body) Generation() Generation {
	roles := b.root.Array("roles")
	for _, r := range roles {
		if o, ok := r.(*Object); !ok || !o.Has("vm_template") && !o.Has("vm_template_contents") {
			return New
		}
	}
	if len(roles) == 0 && !b.root.Has("custom_attrs") && !b.root.Has("custom_attrs_values") {
		return New
	}
	return Old
}

// In returns the body in the wished generation: itself if it is of that one, else a copy. The body
// must be a valid one.
func (b *Body) In(g Generation) (*Body, error) {
	if b.Generation() == g {
		return b, nil
	}
	root := b.root.Clone()
	for i, r := range root.Array("roles") {
		role, ok := r.(*Object)
		if !ok {
			continue
		}
		var err error
		if g == New {
			err = roleToNew(role)
		} else {
			err = roleToOld(role)
		}
		if err != nil {
			return nil, b.fail(Invalid, path{"roles", i}, "%v", err)
		}
	}
	renameInputs(root, g)
	return NewBody(root), nil
}

func roleToNew(role *Object) error {
	id, _ := role.Int("vm_template")
	role.Delete("vm_template")
	role.SetInt("template_id", id)
	role.Set("type", "vm")
	renameInputs(role, New)
	return contentsToNew(role)
}

// contentsToNew turns vm_template_contents, if there, to template_contents.
func contentsToNew(role *Object) error {
	text, ok := role.Get("vm_template_contents").(string)
	role.Delete("vm_template_contents")
	if !ok {
		return nil
	}
	contents, err := ParseText(text)
	if err != nil {
		return err
	}
	role.Set("template_contents", contents)
	return nil
}

func roleToOld(role *Object) error {
	id := role.Get("template_id")
	if id == nil {
		id = json.Number("0")
	}
	role.Delete("template_id")
	role.Set("vm_template", id)
	role.Delete("type")
	renameInputs(role, Old)
	contents, ok := role.Get("template_contents").(*Object)
	role.Delete("template_contents")
	if !ok {
		return nil
	}
	text, err := PrintText(contents)
	role.Set("vm_template_contents", text)
	return err
}

// renameInputs gives the keys of the inputs of a service or role the names of the generation.
func renameInputs(o *Object, g Generation) {
	for _, suffix := range []string{"", "_values"} {
		from, to := "custom_attrs"+suffix, "user_inputs"+suffix
		if g == Old {
			from, to = to, from
		}
		if o.Has(from) {
			if v := o.Get(from); !o.Has(to) {
				o.Set(to, v)
			}
			o.Delete(from)
		}
	}
}
