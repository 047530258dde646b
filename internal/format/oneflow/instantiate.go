package oneflow

import (
	"bytes"
	"slices"
	"strings"
)

// Instantiate makes the body of a service from the body of its template and the merge_template of
// the request, nil for none: it checks that every input and network has a value, merges and
// validates. The state and start time of the new service are the caller's to add. The template stays
// as it is. The error is an *Error.
//
// Roles are merged by name where the element of merge_template has a name, else by index. Objects
// merge key by key. Other arrays follow the template's generation: in the new one they are
// concatenated (objects without repetitions), in the old one objects merge by index and anything
// else is replaced.
func (b *Body) Instantiate(merge any) (*Body, []Warning, error) {
	over, ok := merge.(*Object)
	if !ok && merge != nil {
		return nil, nil, wrong("merge_template", "KEY: 'merge_template' must be an Object;")
	}
	if over == nil {
		over = new(Object)
	}
	over = over.Clone()
	generation := b.Generation()
	roles, err := translateMerge(over, generation)
	if err != nil {
		return nil, nil, err
	}
	if err := checkInputs(b.root, over, "The Service template", "merge_template"); err != nil {
		return nil, nil, err
	}
	if err := b.checkRoleInputs(roles); err != nil {
		return nil, nil, err
	}
	root := b.root.Clone()
	if err := fillNetworks(root, over); err != nil {
		return nil, nil, err
	}
	over.Delete("roles")
	mergeObject(root, over, generation)
	warnings, err := mergeRoles(root.Array("roles"), roles, generation)
	if err != nil {
		return nil, nil, err
	}
	made := NewBody(root)
	more, err := made.Normalise()
	if err == nil {
		err = made.checkNetworks()
	}
	return made, append(warnings, more...), err
}

func wrong(path, message string) error {
	return &Error{Kind: Invalid, Path: path, Message: message}
}

// translateMerge gives the keys of a merge_template the names of the template's generation and
// returns its roles.
func translateMerge(over *Object, g Generation) ([]*Object, error) {
	renameInputs(over, g)
	if v := over.Get("roles"); v != nil && over.Array("roles") == nil {
		return nil, wrong("merge_template.roles", "KEY: 'roles' must be an Array;")
	}
	var roles []*Object
	for i, v := range over.Array("roles") {
		p := path{"merge_template", "roles", i}.String()
		role, ok := v.(*Object)
		if !ok {
			return nil, wrong(p, "KEY: 'roles' must be an Object;")
		}
		renameInputs(role, g)
		from, to := "template_id", "vm_template"
		if g == New {
			from, to = to, from
			if err := contentsToNew(role); err != nil {
				return nil, wrong(p, err.Error())
			}
		}
		if role.Has(from) {
			role.Set(to, role.Get(from))
			role.Delete(from)
		}
		if v := role.Get("template_contents"); v != nil {
			if _, ok := v.(*Object); !ok {
				return nil, wrong(p+".template_contents", "KEY: 'template_contents' must be an Object;")
			}
		}
		roles = append(roles, role)
	}
	return roles, nil
}

// inputs returns the declared inputs of a service or role, or their values with suffix "_values".
func inputs(o *Object, suffix string) any {
	if v := o.Get("user_inputs" + suffix); v != nil {
		return v
	}
	return o.Get("custom_attrs" + suffix)
}

// checkInputs finds declared inputs for which the merge brings no value; optional ones need one too.
func checkInputs(declaring, merge *Object, who, place string) error {
	declared, ok := inputs(declaring, "").(*Object)
	if !ok || len(declared.Keys()) == 0 {
		return nil
	}
	given := inputs(merge, "_values")
	if given == nil {
		return wrong(place, who+" specifies User Inputs but no values have been found")
	}
	values, ok := given.(*Object)
	if !ok {
		return wrong(place+".user_inputs_values", "User Inputs have a wrong format: they must be an Object")
	}
	for _, name := range declared.Keys() {
		if !values.Has(name) {
			return wrong(place+".user_inputs_values", "Verify that every User Input has its value: '"+shorten(name)+"' has none"+misspelt(values, declared.Has, name))
		}
	}
	return nil
}

func (b *Body) checkRoleInputs(merged []*Object) error {
	for _, r := range b.root.Array("roles") {
		role, ok := r.(*Object)
		if !ok {
			continue
		}
		if declared, ok := inputs(role, "").(*Object); !ok || len(declared.Keys()) == 0 {
			continue
		}
		if len(merged) == 0 {
			return wrong("merge_template.roles", "Role '"+role.Text("name")+"' specifies User Inputs but no values have been found")
		}
		at := slices.IndexFunc(merged, func(m *Object) bool { return m.Text("name") == role.Text("name") })
		if at < 0 {
			continue
		}
		if err := checkInputs(role, merged[at], "Role '"+role.Text("name")+"'", path{"merge_template", "roles", at}.String()); err != nil {
			return err
		}
	}
	return nil
}

// fillNetworks writes the networks_values of a service that declares networks: those of the merge,
// from which they are taken, over those of the template, or, if there are none, the defaults of the
// networks.
func fillNetworks(root, merge *Object) error {
	declared := root.Get("networks")
	if declared == nil {
		return nil
	}
	networks, ok := declared.(*Object)
	if !ok {
		return wrong("networks", "KEY: 'networks' must be an Object;")
	}
	if len(networks.Keys()) == 0 {
		return nil
	}
	given := merge.Get("networks_values")
	list, ok := given.([]any)
	if given != nil && !ok {
		return wrong("merge_template.networks_values", "KEY: 'networks_values' must be an Array;")
	}
	if given == nil {
		if len(root.Array("networks_values")) == 0 {
			values, err := networkDefaults(networks)
			root.Set("networks_values", values)
			return err
		}
		list = root.Array("networks_values")
	}
	values, err := mergeNetworks(root.Array("networks_values"), list)
	if err != nil {
		return err
	}
	for _, name := range networks.Keys() {
		if !slices.ContainsFunc(values, func(v any) bool { return v.(*Object).Has(name) }) {
			given := new(Object)
			for _, v := range values {
				for _, name := range v.(*Object).Keys() {
					given.Set(name, nil)
				}
			}
			return wrong("merge_template.networks_values", "Network '"+shorten(name)+"' has no value"+misspelt(given, networks.Has, name))
		}
	}
	root.Set("networks_values", values)
	merge.Delete("networks_values")
	return nil
}

// networkDefaults takes the values from the fifth field of each network: "M|network|text||id:3".
func networkDefaults(networks *Object) ([]any, error) {
	values := []any{}
	for _, name := range networks.Keys() {
		text, _ := networks.Get(name).(string)
		fields := strings.Split(text, "|")
		if len(fields) < 5 {
			return nil, wrong("networks."+name, "Wrong networks format: '"+shorten(text)+"' has no fifth field like id:3")
		}
		kind, rest, _ := strings.Cut(strings.TrimSpace(fields[4]), ":")
		id, _, _ := strings.Cut(rest, ":")
		if kind == "" || id == "" {
			return nil, wrong("networks."+name, "Wrong networks format: '"+shorten(text)+"' names no default network; choose one in networks_values")
		}
		value, entry := new(Object), new(Object)
		value.Set(kind, id)
		entry.Set(name, value)
		values = append(values, entry)
	}
	return values, nil
}

// mergeNetworks lays arrays of single-key objects over each other by the name of the network.
func mergeNetworks(base, over []any) ([]any, error) {
	merged := new(Object)
	for _, list := range [][]any{base, over} {
		for i, v := range list {
			entry, ok := v.(*Object)
			if !ok {
				return nil, wrong(path{"merge_template", "networks_values", i}.String(), "KEY: 'networks_values' must be an Object;")
			}
			for _, name := range entry.Keys() {
				merged.Set(name, clone(entry.Get(name)))
			}
		}
	}
	values := []any{}
	for _, name := range merged.Keys() {
		entry := new(Object)
		entry.Set(name, merged.Get(name))
		values = append(values, entry)
	}
	return values, nil
}

func mergeRoles(base []any, over []*Object, g Generation) ([]Warning, error) {
	byName := make(map[string]*Object, len(base))
	for _, r := range base {
		role := r.(*Object)
		byName[role.Text("name")] = role
	}
	var warnings []Warning
	for i, o := range over {
		p := path{"merge_template", "roles", i}
		var role *Object
		if o.Get("name") != nil {
			role = byName[o.Text("name")]
		} else if i < len(base) {
			role = base[i].(*Object)
		}
		if role == nil {
			warnings = append(warnings, Warning{Path: p.String(), Message: "the template has no such role; ignored"})
			continue
		}
		if err := mergeContents(role, o, g); err != nil {
			return nil, wrong(p.with("template_contents").String(), err.Error())
		}
		mergeObject(role, o, g)
	}
	return warnings, nil
}

// mergeContents merges contents given as an object into contents kept as text.
func mergeContents(role, over *Object, g Generation) error {
	more, ok := over.Get("template_contents").(*Object)
	if g == New || !ok {
		return nil
	}
	contents, err := ParseText(role.Text("vm_template_contents"))
	if err != nil {
		return err
	}
	mergeObject(contents, more, New)
	text, err := PrintText(contents)
	over.Delete("template_contents")
	over.Set("vm_template_contents", text)
	return err
}

func mergeObject(base, over *Object, g Generation) {
	for _, key := range over.Keys() {
		v := over.Get(key)
		switch o := v.(type) {
		case *Object:
			if b, ok := base.Get(key).(*Object); ok {
				mergeObject(b, o, g)
				continue
			}
		case []any:
			if b, ok := base.Get(key).([]any); ok {
				base.Set(key, mergeArray(b, o, g))
				continue
			}
		}
		base.Set(key, clone(v))
	}
}

func mergeArray(base, over []any, g Generation) []any {
	objects := allObjects(base) && allObjects(over)
	if g == Old {
		if !objects {
			return clone(over).([]any)
		}
		for i, v := range over {
			if i < len(base) {
				mergeObject(base[i].(*Object), v.(*Object), g)
			} else {
				base = append(base, clone(v))
			}
		}
		return base
	}
	merged := append(base, clone(over).([]any)...)
	if !objects {
		return merged
	}
	seen := make(map[string]bool, len(merged))
	return slices.DeleteFunc(merged, func(v any) bool {
		k := canonical(v)
		been := seen[k]
		seen[k] = true
		return been
	})
}

func allObjects(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool { _, ok := v.(*Object); return !ok })
}

// canonical returns the JSON of a value with its keys sorted.
func canonical(v any) string {
	v = clone(v)
	sortKeys(v)
	var b bytes.Buffer
	write(&b, v)
	return b.String()
}

func sortKeys(v any) {
	switch v := v.(type) {
	case *Object:
		slices.Sort(v.keys)
		for _, x := range v.values {
			sortKeys(x)
		}
	case []any:
		for _, x := range v {
			sortKeys(x)
		}
	}
}
