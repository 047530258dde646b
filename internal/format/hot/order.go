package hot

import "slices"

// dependencies are the resources that one speaks of, or names in depends_on; those of the resources that it is nested in,
// too.
func (r *resource) dependencies() []*resource {
	var out []*resource
	for x := range r.uses {
		out = append(out, x)
	}
	for _, name := range r.def.DependsOn {
		if x := r.s.byName[name]; x != nil && !x.off && x != r {
			out = append(out, x)
		}
	}
	if r.s.owner != nil {
		out = append(out, r.s.owner.dependencies()...)
	}
	return out
}

// order says what the role needs: parents and resources.
func (c *compiler) order(b *roleBuild) {
	seen := map[*resource]bool{b.r: true}
	if b.group != nil {
		seen[b.group] = true
	}
	c.follow(b, b.r.dependencies(), seen, true)
	for name := range b.parents {
		if name != b.spec.Name && c.byRole[name] != nil {
			b.spec.Parents = append(b.spec.Parents, name)
		}
	}
	for name := range b.needs {
		if c.made[name] {
			b.spec.Needs = append(b.spec.Needs, name)
		}
	}
	slices.Sort(b.spec.Parents)
	slices.Sort(b.spec.Needs)
}

// follow collects what stands behind dependencies. Resources of a service cannot need roles: whatever needs a resource
// needs the roles behind it as well.
func (c *compiler) follow(b *roleBuild, all []*resource, seen map[*resource]bool, direct bool) {
	for _, x := range all {
		if seen[x] {
			continue
		}
		seen[x] = true
		switch {
		case x.kind.class == asRole:
			b.parents[x.node] = true
			continue
		case x.server != nil:
			b.parents[x.node] = true
			continue
		case x.kind.class == asStack, x.kind.class == asGroup:
			for _, m := range x.members {
				c.follow(b, m.all, seen, direct)
			}
			c.follow(b, x.group, seen, direct)
			continue
		case x.kind.class == asResource:
			if direct {
				b.needs[x.node] = true
			}
			c.follow(b, x.dependencies(), seen, false)
			continue
		}
		for _, w := range x.waitsFor {
			b.parents[w.r.node] = true
		}
		c.follow(b, x.dependencies(), seen, direct)
	}
}

// needsOf returns the resources of the service that a resource needs.
func (c *compiler) needsOf(r *resource) []string {
	found := map[string]bool{}
	seen := map[*resource]bool{r: true}
	var walk func(all []*resource)
	walk = func(all []*resource) {
		for _, x := range all {
			if seen[x] {
				continue
			}
			seen[x] = true
			switch {
			case x.kind.class == asRole, x.server != nil:
			case x.kind.class == asResource:
				found[x.node] = true
			case x.kind.class == asStack, x.kind.class == asGroup:
				for _, m := range x.members {
					walk(m.all)
				}
				walk(x.group)
			default:
				walk(x.dependencies())
			}
		}
	}
	walk(r.dependencies())
	return slices.Sorted(keysOf(found))
}
