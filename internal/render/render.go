// Package render fills Jinja templates: the environment, files, user data and checks of an instance.
//
// Templates see service, role, instance, roles (the roles that this one needs, each a list of its
// instances) and inputs; each input is also there under its own name, unless that is taken:
//
//	{{ roles.db[0].address }}  {{ inputs.VERSION }}  {{ VERSION }}  {{ instance.number }}
//
// They see variables, too: values of any kind; and functions, such as getip("db") for the address of the
// first instance of a role. A format may add names of its own.
//
// A template is text from a user and is not trusted: see package jinja for what it can do, and its limits.
// The newline at the end of a template stays.
package render

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/jinja"
	"github.com/troupe-dev/troupe/internal/service"
)

// Limits of a template. Text without template marks has none but the caller's.
const (
	MaxTemplate = 256 << 10       // bytes of one template
	MaxOutput   = jinja.MaxOutput // bytes of what it renders to
)

// A Scope is what templates see.
type Scope struct {
	Service  Service
	Role     Role
	Instance Instance
	Roles    map[string]Peers // by role
	Inputs   map[string]string
	// Variables are seen as variables, with whatever is in them.
	Variables service.Values
	// Names and Rendered are the implementation's own, see service.Implementation; they hide inputs.
	Names, Rendered service.Values
	// Keys are further names; they hide all of those, but not service, role, instance, roles and inputs.
	Keys map[string]any
	// Command runs a command on the server's host for cmd and returns what it prints; nil refuses.
	Command func(ctx context.Context, command string) (string, error)
	// Strict makes a name that is not there an error instead of an empty text.
	Strict bool
}

// Service, Role and Instance say whose text is rendered.
type (
	Service struct {
		Name, ID string
	}
	Role struct {
		Name   string
		Number int // the instances wished for
	}
	Instance struct {
		Name, ID string
		Number   int // in its role, from 0
		Address  string
		UUID     string
	}
)

// An Error says what is wrong with a template.
type Error struct {
	Name string // of the template
	Line int    // from 1; 0 when not known
	Text string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Name + ": " + e.Text
	}
	return fmt.Sprintf("%s: line %d: %s", e.Name, e.Line, e.Text)
}

// Text renders a template. name stands for it in errors, which are of type *Error, save ctx's own.
func Text(ctx context.Context, name, template string, scope *Scope) (string, error) {
	return (&texts{ctx: ctx, scope: scope}).render(name, template)
}

// Parts are the rendered parts of a machine.
type Parts struct {
	Env      map[string]string
	Files    []driver.File
	UserData []byte // nil for none
	Checks   []service.Check
	Options  map[string]any // of the implementation
}

// Machine renders the environment, files, user data and checks of m for one instance, and the options of the
// implementation that makes it; nil for none.
func Machine(ctx context.Context, m *service.Machine, by *service.Implementation, scope *Scope) (Parts, error) {
	t := &texts{ctx: ctx, scope: scope}
	var p Parts
	if len(m.Env) > 0 {
		p.Env = make(map[string]string, len(m.Env))
	}
	// In order, so that of several mistakes the same is reported each time.
	for _, key := range slices.Sorted(maps.Keys(m.Env)) {
		p.Env[key] = t.text("env."+key, m.Env[key])
	}
	for _, f := range m.Files {
		p.Files = append(p.Files, driver.File{Path: f.Path, Mode: f.Mode, Content: []byte(t.text("files."+f.Path, f.Content))})
	}
	if m.UserData != "" {
		made := t.text("user_data", m.UserData)
		if t.err == nil {
			t.err = checkContext("user_data", made)
		}
		p.UserData = []byte(made)
	}
	if len(m.Checks) > 0 {
		p.Checks = slices.Clone(m.Checks)
	}
	for i := range p.Checks {
		c, at := &p.Checks[i], "checks["+strconv.Itoa(i)+"]."
		c.TCP, c.HTTP = t.text(at+"tcp", c.TCP), t.text(at+"http", c.HTTP)
		c.Exec = slices.Clone(c.Exec)
		for j := range c.Exec {
			c.Exec[j] = t.text(at+"exec", c.Exec[j])
		}
		if c.MySQL != nil {
			db := *c.MySQL
			db.EachText(func(name string, text *string) { *text = t.text(at+"mysql."+name, *text) })
			c.MySQL = &db
		}
	}
	if by != nil && len(by.Options) > 0 {
		p.Options, _ = t.deep("options", by.Options).(map[string]any)
	}
	if t.err != nil {
		return Parts{}, t.err
	}
	return p, nil
}

// deep renders the texts in a value. Where none is a template it returns the value itself.
func (t *texts) deep(at string, v any) any {
	if !hasTemplate(v) {
		return v
	}
	switch v := v.(type) {
	case string:
		return t.text(at, v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out[k] = t.deep(at+"."+k, v[k])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = t.deep(at+"["+strconv.Itoa(i)+"]", x)
		}
		return out
	}
	return v
}

func hasTemplate(v any) bool {
	found := false
	eachText("", v, func(_, text string) { found = found || !plain(text) })
	return found
}

// eachText calls f for each text in a value, with its place.
func eachText(at string, v any, f func(place, text string)) {
	switch v := v.(type) {
	case string:
		f(at, v)
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			eachText(at+"."+k, v[k], f)
		}
	case []any:
		for i, x := range v {
			eachText(at+"["+strconv.Itoa(i)+"]", x, f)
		}
	}
}

// ShowsAddress reports whether what is rendered into a machine may show the machine's own address.
func ShowsAddress(m *service.Machine) bool {
	found := false
	eachTemplate("", m, func(place, text string) {
		if found || strings.Contains(place, "checks[") || plain(text) || !strings.Contains(text, "instance") || !strings.Contains(text, "address") {
			return
		}
		found = slices.ContainsFunc(references(text), func(r jinja.Reference) bool {
			return r.Path[0] == "instance" && (len(r.Path) == 1 || r.Path[1] == "address")
		})
	})
	return found
}

// ShowsOthers reports whether a template of a machine may look at other roles or services, so that those which do not are
// spared the work.
func ShowsOthers(m *service.Machine) bool {
	found := false
	eachTemplate("", m, func(_, text string) { found = found || !plain(text) && looksAtOthers(text) })
	return found
}

func looksAtOthers(text string) bool {
	for _, name := range []string{"roles", "services", "getip", "getprivip", "find_node_id", "ibget"} {
		if strings.Contains(text, name) {
			return true
		}
	}
	return false
}

// texts renders several templates in one scope. The scope's values are made when the first needs them.
type texts struct {
	ctx    context.Context
	scope  *Scope
	values *jinja.Values
	err    error // the first
}

func (t *texts) text(name, template string) string {
	if t.err != nil || plain(template) {
		return template
	}
	out, err := t.render(name, template)
	t.err = err
	return out
}

// plain reports whether a text is no template.
func plain(s string) bool {
	for {
		i := strings.IndexByte(s, '{')
		if i < 0 || i+1 == len(s) {
			return true
		}
		if c := s[i+1]; c == '{' || c == '%' || c == '#' {
			return false
		}
		s = s[i+1:]
	}
}

func (t *texts) render(name, template string) (out string, err error) {
	if plain(template) {
		return template, nil
	}
	if len(template) > MaxTemplate {
		return "", tooLong(name, template)
	}
	if err := t.ctx.Err(); err != nil {
		return "", err
	}
	parsed, err := cached(template)
	if err != nil {
		return "", named(name, err)
	}
	if t.values == nil {
		t.values = jinja.NewValues(t.names())
	}
	out, err = parsed.Render(t.ctx, t.values, t.scope.Strict)
	return out, named(name, err)
}

// named puts a template's name to an error of it; other errors stay as they are.
func named(name string, err error) error {
	if e, ok := err.(*jinja.Error); ok {
		return &Error{Name: name, Line: e.Line, Text: e.Text}
	}
	return err
}

// names are what the scope shows.
func (t *texts) names() map[string]any {
	s := t.scope
	v := make(map[string]any, len(functions)+len(s.Inputs)+len(s.Names)+len(s.Rendered)+len(s.Keys)+6)
	for name, make := range functions {
		v[name] = jinja.Lazy(func(ctx context.Context) (any, error) { return make(ctx, s), nil })
	}
	variables := s.Variables
	if variables == nil {
		variables = service.Values{}
	}
	v["variables"] = map[string]any(variables)
	inputs := make(map[string]any, len(s.Inputs))
	for k, x := range s.Inputs {
		v[k], inputs[k] = x, x
	}
	maps.Copy(v, s.Names)
	for name, x := range s.Rendered {
		v[name] = jinja.Lazy(func(ctx context.Context) (any, error) {
			inner := &texts{ctx: ctx, scope: s, values: t.values}
			made := inner.deep(name, x)
			return made, inner.err
		})
	}
	maps.Copy(v, s.Keys)
	roles := make(map[string]any, len(s.Roles))
	for name, peers := range s.Roles {
		roles[name] = peers.views
	}
	v["service"] = map[string]any{"name": s.Service.Name, "id": s.Service.ID, "inputs": inputs}
	v["role"] = map[string]any{"name": s.Role.Name, "number": s.Role.Number}
	v["instance"] = map[string]any{
		"name": s.Instance.Name, "id": s.Instance.ID, "number": s.Instance.Number, "address": s.Instance.Address, "uuid": s.Instance.UUID,
	}
	v["roles"], v["inputs"] = roles, inputs
	return v
}
