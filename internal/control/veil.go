package control

import (
	"maps"
	"slices"
	"strconv"

	"github.com/troupe-dev/troupe/internal/service"
)

// Formats that put inputs into texts when a service is made (OneFlow) leave the values of secret ones in
// the machine's environment, attributes and files. There they are veiled like the inputs themselves.

// rewrite returns a copy of m whose texts went through f, which is told where each stands.
func rewrite(m service.Machine, f func(place, text string) string) service.Machine {
	m.Env, m.Attributes = maps.Clone(m.Env), maps.Clone(m.Attributes)
	for k, v := range m.Env {
		m.Env[k] = f("env."+k, v)
	}
	for k, v := range m.Attributes {
		m.Attributes[k] = f("attributes."+k, v)
	}
	m.Files = slices.Clone(m.Files)
	for n := range m.Files {
		m.Files[n].Content = f("files."+m.Files[n].Path, m.Files[n].Content)
	}
	m.UserData = f("user_data", m.UserData)
	m.Checks = slices.Clone(m.Checks)
	for n := range m.Checks {
		c, place := &m.Checks[n], "checks."+strconv.Itoa(n)
		c.TCP, c.HTTP, c.Exec = f(place+".tcp", c.TCP), f(place+".http", c.HTTP), slices.Clone(c.Exec)
		for k := range c.Exec {
			c.Exec[k] = f(place+".exec."+strconv.Itoa(k), c.Exec[k])
		}
	}
	return m
}

// veil hides the values of secret inputs in the texts of a role's machine.
func veil(spec *service.Spec, r *service.RoleSpec) service.Machine {
	if len(spec.Secrets) == 0 {
		return r.Machine
	}
	return rewrite(r.Machine, func(_, text string) string { return service.Mask(spec, r, text) })
}

// unveil puts texts back that come as veil showed those of the role before.
func unveil(m service.Machine, old *service.Spec, was *service.RoleSpec) service.Machine {
	if len(old.Secrets) == 0 {
		return m
	}
	hidden := make(map[string]string)
	rewrite(was.Machine, func(place, text string) string {
		if service.Mask(old, was, text) != text {
			hidden[place] = text
		}
		return text
	})
	return rewrite(m, func(place, text string) string {
		if before, ok := hidden[place]; ok && service.Mask(old, was, before) == text {
			return before
		}
		return text
	})
}
