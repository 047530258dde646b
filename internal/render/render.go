// Package render fills Jinja templates: the environment, files, user data and checks of an instance.
//
// Templates see service, role, instance, roles (the roles that this one needs, each a list of its
// instances) and inputs; each input is also there under its own name, unless that is taken:
//
//	{{ roles.db[0].address }}  {{ inputs.VERSION }}  {{ VERSION }}  {{ instance.number }}
//
// A template is text from a user and is not trusted. It reaches no file: include, import, from, extends
// and block are unknown to it, and the loader refuses whatever else might ask. Its steps, the bytes it
// makes on the way, its output and its time are limited (guard.go).
//
// The engine is gonja, which differs from Jinja in Python in a few points. replace() without a count,
// None and tojson are made to agree. Left as they are: % does not format (it is refused: use ~ or
// format), 2 ** 3 is 8.0, urlencode keeps &, pprint differs, integers wrap at 64 bits, "set a, b = 1, 2"
// does not parse, and do, break and continue are always there. The newline at the end of a template
// stays. lipsum and random are gone: the same instance renders the same text each time.
package render

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/exec"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// Limits of a template. Text without template marks has none but the caller's.
const (
	MaxTemplate = 256 << 10       // bytes of one template
	MaxOutput   = 4 << 20         // bytes of what it renders to
	maxMade     = 64 << 20        // bytes of all intermediate values
	maxSteps    = 200_000         // loop rounds, calls, filters
	maxFrames   = 3000            // of the Go stack: templates that recurse
	maxBlocks   = 200             // statements within statements
	maxTokens   = 1000            // of one expression or statement
	maxTime     = 5 * time.Second // of one text
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
		if c.MySQL != nil {
			db := *c.MySQL
			db.EachText(func(name string, text *string) { *text = t.text(at+"mysql."+name, *text) })
			c.MySQL = &db
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
	values map[string]any
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
	ctx, cancel := context.WithTimeout(t.ctx, maxTime)
	defer cancel()
	b := &budget{ctx: ctx}
	defer func() {
		if p := recover(); p != nil {
			out, err = "", &Error{Name: name, Line: b.line, Text: panicText(p)}
		}
	}()
	parsed, err := cached(template, t.scope.Strict)
	if err != nil {
		return "", t.explain(name, err)
	}
	if t.values == nil {
		t.values = t.scope.values()
	}
	values := maps.Clone(t.values)
	values[budgetKey] = b
	w := &limited{max: MaxOutput}
	err = parsed.Execute(w, exec.NewContext(values))
	switch {
	case t.ctx.Err() != nil:
		return "", t.ctx.Err()
	case b.err != nil:
		// Some statements pass over errors in what they evaluate; a spent budget is none of those.
		return "", &Error{Name: name, Line: b.line, Text: b.err.Error()}
	case err != nil:
		return "", t.explain(name, err)
	}
	return w.String(), nil
}

// panicText says in words what made the engine panic.
func panicText(p any) string {
	if err, ok := p.(error); ok && strings.Contains(err.Error(), "divide by zero") {
		return "division by zero"
	}
	return fmt.Sprintf("the template cannot be evaluated: %.200v", p)
}

// A limited writer refuses more than max bytes.
type limited struct {
	strings.Builder
	max int
}

func (w *limited) Write(p []byte) (int, error) { return w.WriteString(string(p)) }
func (w *limited) WriteString(s string) (int, error) {
	if w.Len()+len(s) > w.max {
		return 0, fmt.Errorf("the text has more than %d bytes", w.max)
	}
	return w.Builder.WriteString(s)
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
		"name": s.Instance.Name, "id": s.Instance.ID, "number": s.Instance.Number, "address": s.Instance.Address, "uuid": s.Instance.UUID,
	}
	v["roles"], v["inputs"] = roles, inputs
	return v
}

var (
	atLine = regexp.MustCompile(`(?i)\bat line (\d+)|Line: (\d+)|Line=(\d+)`)
	// The engine takes each error of a function for a wrong call, and says so at length.
	invalidCall = regexp.MustCompile(`(?s)^.*invalid call to (?:function|filter) '[^']*': `)
	missingName = regexp.MustCompile(`Unable to evaluate name "([^"]*)"`)
	missingItem = regexp.MustCompile(`(?:attribute|item) '([^']*)' not found`)
)

// explain makes one line of the engine's chain of errors: the innermost cause and its line.
func (t *texts) explain(name string, err error) error {
	e := &Error{Name: name}
	whole := err.Error()
	if all := atLine.FindAllStringSubmatch(whole, -1); all != nil {
		last := all[len(all)-1]
		e.Line, _ = strconv.Atoi(last[1] + last[2] + last[3])
	}
	for cause := err; cause != nil; {
		err = cause
		if next, ok := cause.(interface{ Cause() error }); ok {
			cause = next.Cause()
		} else {
			cause = errors.Unwrap(cause)
		}
		if v, ok := cause.(*exec.Value); ok && v == nil {
			break
		}
	}
	e.Text = invalidCall.ReplaceAllString(err.Error(), "")
	if m := missingName.FindStringSubmatch(whole); m != nil {
		e.Text = fmt.Sprintf("no value %q%s", m[1], nearest.Hint(m[1], slices.Sorted(maps.Keys(t.values))))
	} else if m := missingItem.FindStringSubmatch(whole); m != nil {
		e.Text = fmt.Sprintf("no value %q%s", m[1], nearest.Hint(m[1], t.fields()))
	}
	if len(e.Text) > 300 {
		e.Text = strings.ToValidUTF8(e.Text[:300], "") + "…"
	}
	return e
}

// fields returns the names below the scope's values, for suggestions.
func (t *texts) fields() []string {
	names := []string{"name", "id", "number", "address", "addresses", "attributes", "inputs"}
	for k := range t.scope.Roles {
		names = append(names, k)
	}
	for k := range t.scope.Inputs {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}
