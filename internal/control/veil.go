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
	m.Env, m.Files, m.UserData, m.Checks = rewriteContents("", m.Env, m.Files, m.UserData, m.Checks, f)
	m.Attributes = rewriteAll("attributes.", m.Attributes, f)
	m.Implementations = slices.Clone(m.Implementations)
	for n := range m.Implementations {
		x := &m.Implementations[n]
		x.Env, x.Files, x.UserData, x.Checks = rewriteContents("implementations."+strconv.Itoa(n)+".", x.Env, x.Files, x.UserData, x.Checks, f)
	}
	return m
}

func rewriteAll(at string, texts map[string]string, f func(place, text string) string) map[string]string {
	texts = maps.Clone(texts)
	for k, v := range texts {
		texts[k] = f(at+k, v)
	}
	return texts
}

func rewriteContents(at string, env map[string]string, files []service.File, userData string, checks []service.Check,
	f func(place, text string) string) (map[string]string, []service.File, string, []service.Check) {
	files, checks = slices.Clone(files), slices.Clone(checks)
	for n := range files {
		files[n].Content = f(at+"files."+files[n].Path, files[n].Content)
	}
	for n := range checks {
		c, place := &checks[n], at+"checks."+strconv.Itoa(n)
		c.TCP, c.HTTP, c.Exec = f(place+".tcp", c.TCP), f(place+".http", c.HTTP), slices.Clone(c.Exec)
		for k := range c.Exec {
			c.Exec[k] = f(place+".exec."+strconv.Itoa(k), c.Exec[k])
		}
		if c.MySQL != nil {
			db := *c.MySQL
			db.EachText(func(name string, text *string) { *text = f(place+".mysql."+name, *text) })
			c.MySQL = &db
		}
	}
	return rewriteAll(at+"env.", env, f), files, f(at+"user_data", userData), checks
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
