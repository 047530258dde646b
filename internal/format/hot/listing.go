package hot

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/policy"
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

// Listing lists the resources of the service that was made from the bundle, without those in nested stacks.
func (b *Bundle) Listing() ([]Listed, error) {
	e, err := b.evaluate()
	if err != nil {
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

// ParameterValues returns the values that the parameters of the bundle's template have; hidden ones are not shown.
func (b *Bundle) ParameterValues() (map[string]any, error) {
	e, err := b.evaluate()
	if err != nil {
		return nil, err
	}
	out := make(map[string]any, len(e.root.t.Parameters))
	for i := range e.root.t.Parameters {
		p := &e.root.t.Parameters[i]
		switch v, ok := e.root.params[p.Name]; {
		case p.Hidden:
			out[p.Name] = "******"
		case ok:
			out[p.Name] = v
		}
	}
	return out, nil
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

// adjustments are the kinds of a scaling policy's property adjustment_type.
var adjustments = map[string]policy.Kind{"change_in_capacity": policy.Change, "exact_capacity": policy.Cardinality,
	"percent_change_in_capacity": policy.PercentageChange}

// Scaling says what a signal to a scaling policy does: to which role, and how its cardinality changes. ok is false where the resource of
// that name is no scaling policy.
func (b *Bundle) Scaling(name string) (role string, a policy.Adjustment, ok bool, err error) {
	e, err := b.evaluate()
	if err != nil {
		return "", a, false, err
	}
	r := e.root.byName[name]
	if r == nil || r.off || r.kind.name != scalingPolicy {
		return "", a, false, nil
	}
	a, err = r.adjustment()
	return r.text("auto_scaling_group_id"), a, true, err
}

const scalingPolicy = "OS::Heat::ScalingPolicy"

// adjustment is what a scaling policy does to its group.
func (r *resource) adjustment() (a policy.Adjustment, err error) {
	kind, ok := r.text("adjustment_type"), false
	if a.Kind, ok = adjustments[kind]; !ok {
		names := slices.Sorted(maps.Keys(adjustments))
		return a, fmt.Errorf("adjustment_type: no kind %q%s; there are %s", kind, nearest.Hint(kind, names), strings.Join(names, ", "))
	}
	if a.Adjust, err = strconv.Atoi(r.text("scaling_adjustment")); err != nil {
		return a, fmt.Errorf("scaling_adjustment: %q is no whole number", r.text("scaling_adjustment"))
	}
	if least := r.text("min_adjustment_step"); least != "" {
		if a.MinStep, err = strconv.Atoi(least); err != nil || a.MinStep < 0 {
			return a, fmt.Errorf("min_adjustment_step: %q is no whole number", least)
		}
	}
	return a, nil
}
