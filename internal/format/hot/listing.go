package hot

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// A Listed is a resource of a stack as clients list it.
type Listed struct {
	Name, Type string
	// Node is what the service calls it, and Role says that it is a role and not a resource; "" for what the service
	// knows nothing of.
	Node string
	Role bool
	// Required are the resources that it comes after.
	Required []string
}

// Listing lists the resources of a service that was made from a template, without those in nested stacks. document is what its
// specification keeps.
func Listing(document json.RawMessage) ([]Listed, error) {
	b, err := DecodeBundle(document)
	if err != nil {
		return nil, err
	}
	t, err := b.Parse()
	if err != nil {
		return nil, err
	}
	e := t.evaluate(CompileOptions{Name: b.Name, Project: b.Project, Parameters: b.Parameters, Driver: b.Driver, Account: b.Account, Previous: b})
	if err := e.errs.Sorted(); err != nil {
		return nil, err
	}
	var out []Listed
	for _, r := range e.root.all {
		if r.off {
			continue
		}
		l := Listed{Name: r.def.Name, Type: r.def.Type}
		switch {
		case r.kind.class == asRole, r.kind.class == asGroup && r.server != nil:
			l.Node, l.Role = r.node, true
		case r.kind.class == asResource:
			l.Node = r.node
		}
		after := map[string]bool{}
		for other := range r.uses {
			if other.s == r.s {
				after[other.def.Name] = true
			}
		}
		for _, name := range r.def.DependsOn {
			after[name] = true
		}
		l.Required = slices.Sorted(maps.Keys(after))
		out = append(out, l)
	}
	return out, nil
}

// ParameterValues returns the values that the parameters of a stack have, as text; hidden ones are not shown.
func ParameterValues(b *Bundle, t *Template) map[string]any {
	out := make(map[string]any, len(t.Parameters))
	e := t.evaluate(CompileOptions{Name: b.Name, Project: b.Project, Parameters: b.Parameters, Driver: b.Driver, Account: b.Account, Previous: b})
	for i := range t.Parameters {
		p := &t.Parameters[i]
		switch v, ok := e.rootValue(p.Name); {
		case p.Hidden:
			out[p.Name] = "******"
		case ok:
			out[p.Name] = v
		}
	}
	return out
}

// rootValue is the value of a parameter of the whole.
func (e *evaluation) rootValue(name string) (any, bool) {
	if e.root == nil {
		return nil, false
	}
	v, ok := e.root.params[name]
	return v, ok
}

// Types names the types of resources that are known, in order.
func Types() []string { return kindNames() }

// Properties returns the properties and the attributes of a type: each property with its sort (string, list, map or any) and whether it
// must be given. false for a type that is not known.
func Properties(kind string) (properties map[string]PropertyInfo, attributes []string, ok bool) {
	k := kinds()[kind]
	if k == nil {
		return nil, nil, false
	}
	properties = make(map[string]PropertyInfo, len(k.properties))
	sorts := map[property]string{anyValue: "any", textValue: "string", listValue: "list", mapValue: "map"}
	for name, p := range k.properties {
		properties[name] = PropertyInfo{sorts[p], slices.Contains(k.required, name)}
	}
	return properties, k.attributes, true
}

// A PropertyInfo says what a property takes.
type PropertyInfo struct {
	Sort     string
	Required bool
}

// Versions names the versions of the language, as templates may write them.
func Versions() []string { return versionNames() }

// Functions names those of a version; false for a version that there is not.
func Functions(version string) ([]string, bool) {
	for i, v := range versions {
		if version == v.date || version == v.name && v.name != "" {
			return functionsOf(i), true
		}
	}
	return nil, false
}

// Scaling says what a signal to a scaling policy wishes: a role and its cardinality. count tells how many instances a role has now. ok is
// false where the resource of that name is no scaling policy.
func Scaling(document json.RawMessage, name string, count func(role string) int) (role string, cardinality int, ok bool, err error) {
	b, err := DecodeBundle(document)
	if err != nil {
		return "", 0, false, err
	}
	t, err := b.Parse()
	if err != nil {
		return "", 0, false, err
	}
	e := t.evaluate(CompileOptions{Name: b.Name, Project: b.Project, Parameters: b.Parameters, Driver: b.Driver, Account: b.Account, Previous: b})
	if err := e.errs.Sorted(); err != nil {
		return "", 0, false, err
	}
	r := e.root.byName[name]
	if r == nil || r.off || r.kind.name != "OS::Heat::ScalingPolicy" {
		return "", 0, false, nil
	}
	by, err := strconv.Atoi(r.text("scaling_adjustment"))
	if err != nil {
		return "", 0, false, fmt.Errorf("%s.scaling_adjustment: %q is no whole number", r.where(), r.text("scaling_adjustment"))
	}
	role = r.text("auto_scaling_group_id")
	now := count(role)
	switch r.text("adjustment_type") {
	case "exact_capacity":
		return role, by, true, nil
	case "percent_change_in_capacity":
		step := now * by / 100 // towards none
		if step == 0 && by != 0 {
			step = by / max(by, -by)
		}
		if least, _ := strconv.Atoi(r.text("min_adjustment_step")); least > max(step, -step) {
			step = least * by / max(by, -by)
		}
		by = step
	}
	return role, max(now+by, 0), true, nil
}
