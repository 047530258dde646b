// Package render fills Jinja templates: the environment, files, user data and checks of an instance.
//
// Templates see service, role, instance, roles (the roles that this one needs, each a list of its
// instances) and inputs; each input is also there under its own name, unless that is taken:
//
//	{{ roles.db[0].address }}  {{ inputs.VERSION }}  {{ VERSION }}  {{ instance.number }}
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
	// Keys are further names of a face's own; they hide inputs, but none of the fields above.
	Keys map[string]any
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
}

// Machine renders the environment, files, user data and checks of m for one instance.
func Machine(ctx context.Context, m *service.Machine, scope *Scope) (Parts, error) {
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
		p.UserData = []byte(t.text("user_data", m.UserData))
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
	}
	if t.err != nil {
		return Parts{}, t.err
	}
	return p, nil
}

// ShowsAddress reports whether what is rendered into a machine may show the machine's own address.
func ShowsAddress(m *service.Machine) bool {
	shows := func(text string) bool {
		return !plain(text) && strings.Contains(text, "instance") && strings.Contains(text, "address")
	}
	for _, v := range m.Env {
		if shows(v) {
			return true
		}
	}
	return shows(m.UserData) || slices.ContainsFunc(m.Files, func(f service.File) bool { return shows(f.Content) })
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
		t.values = jinja.NewValues(t.scope.values())
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

// values turns the scope into what the engine reads.
func (s *Scope) values() map[string]any {
	v := make(map[string]any, len(s.Inputs)+len(s.Keys)+6)
	inputs := make(map[string]any, len(s.Inputs))
	for k, x := range s.Inputs {
		v[k], inputs[k] = x, x
	}
	maps.Copy(v, s.Keys)
	roles := make(map[string]any, len(s.Roles))
	for name, peers := range s.Roles {
		roles[name] = peers.views
	}
	v["service"] = map[string]any{"name": s.Service.Name, "id": s.Service.ID, "inputs": inputs}
	v["role"] = map[string]any{"name": s.Role.Name, "number": s.Role.Number}
	v["instance"] = map[string]any{
		"name": s.Instance.Name, "id": s.Instance.ID, "number": s.Instance.Number, "address": s.Instance.Address,
	}
	v["roles"], v["inputs"] = roles, inputs
	return v
}
