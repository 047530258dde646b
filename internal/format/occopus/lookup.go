package occopus

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/troupe-dev/troupe/internal/service"
)

// lookUp finds the nodes that templates ask for by name.
var lookUp = regexp.MustCompile(`\b(?:getip|getprivip|getipall|find_node_id)\(\s*['"]([A-Za-z0-9-]+)['"]`)

// order makes roles wait for those that their templates look up without depending on them. Occopus leaves it to
// chance and the order of the list whether these are there in time.
func (c *compiler) order(spec *service.Spec) {
	for n := range spec.Roles {
		r := &spec.Roles[n]
		for _, name := range lookedUp(&r.Machine) {
			other := spec.Role(name)
			if other < 0 || other == n || slices.Contains(r.Parents, name) {
				continue
			}
			path := fmt.Sprintf("nodes[%d]", n)
			if needs(spec, other, n) {
				c.warn(c.at(n), path, "", "templates of %s look up %s, which needs %s itself: %s will not be there yet", r.Name, name, r.Name, name)
				continue
			}
			c.warn(c.at(n), path, "", "templates of %s look up %s, on which it does not depend: it is made after %s", r.Name, name, name)
			r.Parents = append(r.Parents, name)
		}
	}
}

// lookedUp returns the names of nodes in the templates of a machine, once each.
func lookedUp(m *service.Machine) (out []string) {
	look := func(text string) {
		for _, found := range lookUp.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(out, found[1]) {
				out = append(out, found[1])
			}
		}
	}
	for k := range m.Implementations {
		x := &m.Implementations[k]
		look(x.UserData)
		for _, v := range x.Env {
			look(v)
		}
		for _, check := range x.Checks {
			look(check.HTTP)
		}
		eachText(x.Options, look)
		eachText(map[string]any(x.Rendered), look)
	}
	slices.Sort(out)
	return out
}

func eachText(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case []any:
		for _, x := range v {
			eachText(x, f)
		}
	case map[string]any:
		for _, x := range v {
			eachText(x, f)
		}
	}
}

// needs reports whether a role needs another, however indirectly.
func needs(spec *service.Spec, role, other int) bool {
	seen := map[int]bool{role: true}
	for todo := []int{role}; len(todo) > 0; todo = todo[1:] {
		for _, name := range spec.Roles[todo[0]].Parents {
			n := spec.Role(name)
			if n == other {
				return true
			}
			if n >= 0 && !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		}
	}
	return false
}
