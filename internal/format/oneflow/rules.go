package oneflow

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/policy"
)

// Normalise checks the body against the schema and the rules between keys, turns texts to integers
// where those belong, and writes the defaults of deployment, description and cardinality (1 in the
// old generation, 0 in the new); it adds nothing else. The warnings tell what is accepted but will
// not work as it may be meant. The error is an *Error, and then the body is unchanged.
func (b *Body) Normalise() ([]Warning, error) { return b.normalise(true) }

// normalise leaves out, without bounds, whether cardinalities are within min_vms and max_vms.
func (b *Body) normalise(bounds bool) ([]Warning, error) {
	root := b.root
	b.root = root.Clone()
	warnings, err := b.check(bounds)
	if err != nil {
		b.root = root
	}
	return warnings, err
}

func (b *Body) check(bounds bool) ([]Warning, error) {
	generation := b.Generation()
	if err := b.conform(b.root, serviceSchema, nil); err != nil {
		return nil, err
	}
	warnings := strange(b.root, serviceSchema, nil)
	var roles []*Object
	for i, r := range b.root.Array("roles") {
		role, p := r.(*Object), path{"roles", i}
		if err := b.conformRole(role, generation, p); err != nil {
			return nil, err
		}
		roles = append(roles, role)
		warnings = append(warnings, strange(role, roleSchema(generation, isRouter(role, generation)), p)...)
	}
	seen := make(map[string]bool)
	for i, role := range roles {
		p := path{"roles", i}
		name := role.Text("name")
		if seen[name] {
			return nil, b.fail(Invalid, p.with("name"), "Role name '%s' is repeated", name)
		}
		seen[name] = true
		if err := b.checkRole(role, generation, bounds, p); err != nil {
			return nil, err
		}
	}
	odd, err := b.checkParents(roles)
	return append(warnings, odd...), err
}

// strange warns of keys that look like misspelt ones of the schema: they are kept, like all that nothing knows,
// and do nothing. Much longer or shorter ones are somebody's own.
func strange(o *Object, schema []property, p path) []Warning {
	const most = 2 // characters longer or shorter
	known := knownTo(schema)
	var warnings []Warning
	for _, key := range o.Keys() {
		if known(key) {
			continue
		}
		for i := range schema {
			s := &schema[i]
			_, near := nearest.Name(key, []string{s.key})
			if apart := len(key) - len(s.key); near && -most <= apart && apart <= most {
				warnings = append(warnings, Warning{Path: p.with(key).String(), Message: "the key is kept and does nothing; did you mean \"" + s.key + "\"?"})
				break
			}
		}
	}
	return warnings
}

// conformRole checks one role against its schema.
func (b *Body) conformRole(role *Object, g Generation, p path) error {
	kind, isText := role.Get("type").(string)
	if g == New && isText && kind != "vm" && kind != "vr" {
		return b.fail(Invalid, p.with("type"), "Unsupported role type '%s': use vm or vr", shorten(kind))
	}
	return b.conform(role, roleSchema(g, isRouter(role, g)), p)
}

func isRouter(role *Object, g Generation) bool { return g == New && role.Get("type") == "vr" }

func (b *Body) checkRole(role *Object, g Generation, bounds bool, p path) error {
	name := role.Text("name")
	contents := role.Object("template_contents")
	if text, ok := role.Get("vm_template_contents").(string); ok && g == Old {
		var err error
		if contents, err = ParseText(text); err != nil {
			return b.fail(Invalid, p.with("vm_template_contents"), "Role '%s' 'vm_template_contents': %v", name, err)
		}
	}
	cardinality, _ := role.Int("cardinality")
	if isRouter(role, g) {
		if cardinality > 1 && !hasFloating(contents) {
			return b.fail(Invalid, p, "Role '%s' with more than one router must define a floating IP", name)
		}
		return nil
	}
	lower, hasMin := role.Int("min_vms")
	upper, hasMax := role.Int("max_vms")
	if bounds && hasMin && lower > cardinality {
		return b.fail(Invalid, p.with("cardinality"), "Role '%s' 'cardinality' must be greater than or equal to 'min_vms'", name)
	}
	if bounds && hasMax && upper < cardinality {
		return b.fail(Invalid, p.with("cardinality"), "Role '%s' 'cardinality' must be lower than or equal to 'max_vms'", name)
	}
	elasticity, schedules := role.Array("elasticity_policies"), role.Array("scheduled_policies")
	if len(elasticity)+len(schedules) > 0 && !(hasMin && hasMax) {
		return b.fail(Invalid, p, "Role '%s' with elasticity or scheduled policies must define both 'min_vms' and 'max_vms'", name)
	}
	for i, e := range elasticity {
		if err := b.checkElasticity(e.(*Object), name, i, p.with("elasticity_policies", i)); err != nil {
			return err
		}
	}
	for i, s := range schedules {
		if err := b.checkSchedule(s.(*Object), name, i, p.with("scheduled_policies", i)); err != nil {
			return err
		}
	}
	return nil
}

func (b *Body) checkElasticity(e *Object, role string, i int, p path) error {
	expression := e.Text("expression")
	if strings.TrimSpace(expression) == "" {
		return b.fail(Invalid, p.with("expression"), "Role '%s', elasticity policy #%d 'expression' cannot be empty", role, i)
	}
	if _, err := policy.ParseExpression(expression); err != nil {
		return b.fail(Invalid, p.with("expression"), "Role '%s', elasticity policy #%d 'expression' parse error: %v", role, i, err)
	}
	return nil
}

func (b *Body) checkSchedule(s *Object, role string, i int, p path) error {
	what := fmt.Sprintf("Role '%s', scheduled policy #%d", role, i)
	start, hasStart := s.Get("start_time").(string)
	recurrence, recurs := s.Get("recurrence").(string)
	switch {
	case hasStart && recurs:
		return b.fail(Invalid, p, "%s ['start_time','recurrence'] must define one but not both", what)
	case !hasStart && !recurs:
		return b.fail(Invalid, p, "%s needs to define either 'start_time' or 'recurrence'", what)
	}
	// The zone changes when a time is, not whether it is one.
	if hasStart {
		if _, err := policy.ParseStart(start, time.UTC); err != nil {
			return b.fail(Invalid, p.with("start_time"), "%s 'start_time': %v", what, err)
		}
		return nil
	}
	if _, err := policy.ParseRecurrence(recurrence, time.UTC); err != nil {
		return b.fail(Invalid, p.with("recurrence"), "%s 'recurrence': %v", what, err)
	}
	return nil
}

// hasFloating reports whether a router's contents have no interfaces at all or one with a floating
// address.
func hasFloating(contents *Object) bool {
	nics := elements(contents.Get("NIC"))
	for _, nic := range nics {
		if o, ok := nic.(*Object); ok && slices.ContainsFunc(o.Keys(), func(k string) bool { return strings.HasPrefix(k, "FLOATING") }) {
			return true
		}
	}
	return len(nics) == 0
}

// elements returns the elements of an array; a single value counts as an array of one.
func elements(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// checkParents finds parents that are unknown, a role's own, or in a ring. With straight deployment
// such roles would wait for ever; without an order they are only odd.
func (b *Body) checkParents(roles []*Object) ([]Warning, error) {
	var names []string
	for _, role := range roles {
		names = append(names, role.Text("name"))
	}
	known := make(map[string]int, len(names))
	for i, n := range names {
		known[n] = i
	}
	straight := b.root.Text("deployment") == "straight"
	var warnings []Warning
	object := func(p path, format string, args ...any) error {
		if straight {
			return b.fail(Invalid, p, format, args...)
		}
		warnings = append(warnings, Warning{Path: p.String(), Message: fmt.Sprintf(format, args...)})
		return nil
	}
	parents := make([][]int, len(roles))
	for i, role := range roles {
		for j, v := range role.Array("parents") {
			p, name := path{"roles", i, "parents", j}, v.(string)
			parent, ok := known[name]
			var err error
			switch {
			case !ok:
				err = object(p, "no role %q%s", shorten(name), nearest.Hint(name, names))
			case parent == i:
				err = object(p, "role '%s' is its own parent", name)
			default:
				parents[i] = append(parents[i], parent)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	if ring := findRing(parents); ring != nil {
		var way []string
		for _, i := range ring {
			way = append(way, names[i])
		}
		if err := object(path{"roles", ring[0], "parents"}, "the parents go in a ring: %s", shorten(strings.Join(way, " needs "))); err != nil {
			return nil, err
		}
	}
	return warnings, nil
}

// findRing returns a way along the parents that ends where it began, or nil.
func findRing(parents [][]int) []int {
	children := make([][]int, len(parents))
	waits := make([]int, len(parents)) // parents that are not settled yet
	var settled []int
	for i, ps := range parents {
		waits[i] = len(ps)
		for _, p := range ps {
			children[p] = append(children[p], i)
		}
		if len(ps) == 0 {
			settled = append(settled, i)
		}
	}
	for n := 0; n < len(settled); n++ {
		for _, c := range children[settled[n]] {
			if waits[c]--; waits[c] == 0 {
				settled = append(settled, c)
			}
		}
	}
	at := slices.IndexFunc(waits, func(n int) bool { return n > 0 })
	if at < 0 {
		return nil
	}
	// Every role that is left has a parent that is left: following those must come back.
	step := make(map[int]int)
	var way []int
	for {
		if first, been := step[at]; been {
			return append(way[first:], at)
		}
		step[at] = len(way)
		way = append(way, at)
		at = parents[at][slices.IndexFunc(parents[at], func(p int) bool { return waits[p] > 0 })]
	}
}
