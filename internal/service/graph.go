package service

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// MaxResources is how many resources a service may have.
const MaxResources = 1000

// A node is a role or a resource while the specification's graph is checked.
type node struct {
	name  string
	edges []edge
}

// An edge says that a node needs another; path is where that is written.
type edge struct {
	to   int
	path string
}

// graph checks what roles and resources say that they need, and returns how they hang together: roles
// first, in their order. It is nil when a name leads nowhere.
func (v *validator) graph(s *Spec, roles map[string]int) []node {
	resources := v.resources(s, roles)
	v.bearers(s)
	g := make([]node, len(s.Roles)+len(s.Resources))
	whole := true
	for i := range s.Roles {
		r, at := &s.Roles[i], indexed("roles", i)
		parents, known := v.edges(at+".parents", "role", r.Parents, roles, 0)
		needs, found := v.edges(at+".needs", "resource", r.Needs, resources, len(s.Roles))
		g[i] = node{r.Name, append(parents, needs...)}
		whole = whole && known && found
	}
	for i := range s.Resources {
		x := &s.Resources[i]
		needs, found := v.edges(indexed("resources", i)+".needs", "resource", x.Needs, resources, len(s.Roles))
		g[len(s.Roles)+i] = node{x.Name, needs}
		whole = whole && found
	}
	if !whole {
		return nil
	}
	return g
}

// resources checks each resource, and returns where each name is.
func (v *validator) resources(s *Spec, roles map[string]int) map[string]int {
	known := make(map[string]int, len(s.Resources))
	if len(s.Resources) > MaxResources {
		v.fail("resources", "the service has %d resources; %d is the most", len(s.Resources), MaxResources)
	}
	for i := range s.Resources {
		x, at := &s.Resources[i], indexed("resources", i)
		v.name(at+".name", "resource", x.Name)
		first, twice := known[x.Name]
		if n, role := roles[x.Name]; role {
			v.fail(at+".name", "%q is already the name of roles[%d]", x.Name, n)
		}
		if twice {
			v.fail(at+".name", "%q is already the name of resources[%d]", x.Name, first)
		} else {
			known[x.Name] = i
		}
		if x.Kind == "" {
			v.fail(at+".kind", "nothing says what kind of resource it is; name one, such as network")
		}
		if x.Driver == "" {
			v.fail(at+".driver", "the driver has no name")
		}
		one(v, at+".heal", x.Heal, HealAuto, HealManual, "")
		v.recorded(at, x)
	}
	return known
}

// recorded checks what only a recorded resource has.
func (v *validator) recorded(at string, x *ResourceSpec) {
	if x.Addresses == "" {
		return
	}
	if _, err := netip.ParsePrefix(x.Addresses); err != nil {
		v.fail(at+".addresses", "%q is no range of addresses such as 10.0.0.0/24", x.Addresses)
	} else if x.Driver != Recorded {
		v.fail(at+".addresses", "only a resource of the driver %s has its addresses said; others have options", Recorded)
	}
}

// bearers checks whose machines have the addresses of resources.
func (v *validator) bearers(s *Spec) {
	first := map[string]string{}
	for i := range s.Roles {
		r, at := &s.Roles[i], indexed("roles", i)+".address"
		switch {
		case r.Address == "":
			continue
		case !slices.Contains(r.Needs, r.Address):
			v.fail(at, "%q is no resource that the role needs%s", r.Address, nearest.Hint(r.Address, r.Needs))
		case r.Cardinality > 1 || r.MaxOf() != 1:
			v.fail(at, "an address is that of one machine: give the role a max of 1")
		case first[r.Address] != "":
			v.fail(at, "the machine of role %s has the address of %s already", first[r.Address], r.Address)
		}
		first[r.Address] = r.Name
	}
}

// edges finds the nodes that are named; those of their kind begin at first. It reports whether all are there.
func (v *validator) edges(at, what string, names []string, known map[string]int, first int) ([]edge, bool) {
	if len(names) == 0 {
		return nil, true
	}
	seen := make(map[string]bool, len(names))
	found := make([]edge, 0, len(names))
	all := true
	for j, name := range names {
		path := indexed(at, j)
		if v.full() {
			return nil, false
		}
		n, ok := known[name]
		switch {
		case !ok:
			all = false
			v.fail(path, "no %s %q%s", what, name, nearest.Hint(name, keysOf(known)))
		case seen[name]:
			v.fail(path, "%q is named twice", name)
		}
		seen[name] = true
		found = append(found, edge{first + n, path})
	}
	return found, all
}

// circle finds nodes that need each other and names the way round. It keeps its own stack: a chain of
// a thousand roles is no reason to recurse.
func (v *validator) circle(g []node) {
	const (
		fresh = iota
		open
		done
	)
	state := make([]uint8, len(g))
	next := make([]int, len(g))
	for start := range g {
		if state[start] != fresh || v.full() {
			continue
		}
		stack := []int{start}
		state[start] = open
		for len(stack) > 0 && !v.full() {
			at := stack[len(stack)-1]
			if next[at] == len(g[at].edges) {
				state[at] = done
				stack = stack[:len(stack)-1]
				continue
			}
			e := g[at].edges[next[at]]
			next[at]++
			switch state[e.to] {
			case fresh:
				state[e.to] = open
				stack = append(stack, e.to)
			case open:
				v.round(g, stack[slices.Index(stack, e.to):], e.path)
			}
		}
	}
}

func (v *validator) round(g []node, way []int, path string) {
	what := "role"
	if strings.HasPrefix(path, "resources") {
		what = "resource"
	}
	if len(way) == 1 {
		v.fail(path, "%s %q needs itself", what, g[way[0]].name)
		return
	}
	var names []string
	for _, i := range way {
		names = append(names, g[i].name)
	}
	if len(names) > 20 {
		names = slices.Concat(names[:10], []string{"…"}, names[len(names)-9:])
	}
	names = append(names, g[way[0]].name)
	v.fail(path, "%ss need each other in a circle: %s", what, strings.Join(names, " → "))
}
