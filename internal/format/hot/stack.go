package hot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// An evaluation is a template with the values of its parameters.
type evaluation struct {
	*document
	marks
	opts    *CompileOptions
	errs    tree.Errors
	told    []string // warnings
	steps   int
	made    int
	total   int             // resources
	nodes   map[string]bool // names in the specification
	byNode  map[string]*resource
	secrets map[string]string // values that are never shown, by the names of their inputs
	root    *stack
	// of each role, how many instances there are now; nil while that is what the template says
	count func(role string) int
	// random texts by the path of their resource: those of before, and those that are used now
	before, random map[string]randomText
	immutable      map[string]any
}

func (e *evaluation) note(err error, at tree.Place, where string) {
	if m, ok := err.(*misplaced); ok {
		at = m.at
	}
	e.errs.Note(at, where, err.Error())
}

func (e *evaluation) tell(at tree.Place, where, format string, args ...any) {
	x := tree.Error{File: at.File.Name, Line: at.Line, Column: at.Column, Path: where, Text: fmt.Sprintf(format, args...)}
	if text := x.Error(); len(e.told) < 50 && !slices.Contains(e.told, text) {
		e.told = append(e.told, text)
	}
}

// fileOf returns the text of a file that a template names.
func (e *evaluation) fileOf(t *Template, name string) (full, text string, ok bool) {
	full = beside(t.name, name)
	text, ok = e.files[full]
	return full, text, ok
}

// A stack is a template at its place: the root, one that is nested, or a member of a group.
type stack struct {
	e      *evaluation
	t      *Template
	path   string    // that goes before the names of its resources; "" for the root
	owner  *resource // in the stack above; nil for the root
	depth  int
	params map[string]any
	conds  map[string]verdict
	all    []*resource
	byName map[string]*resource
}

// A resource is one of a stack.
type resource struct {
	s      *stack
	def    *Resource
	kind   *kind
	path   string // from the root
	node   string // what the specification calls it
	off    bool   // a condition leaves it out
	vars   map[string]any
	body   *tree.Node // its properties as they are written
	file   string     // of the nested template; "" for other types
	uses   map[*resource]bool
	props  map[string]any
	state  uint8 // of props: 0, being evaluated, evaluated
	open   bool  // it is being expanded
	spread bool  // it was expanded

	members  []*stack    // of a nested template, and of a group
	group    []*resource // of a group of single resources
	server   *resource   // of a group that is one role: what the instances are
	size     int         // of a group
	place    tree.Place
	waitsFor []*roleBuild // of a wait condition
}

func (r *resource) where() string { return "resources." + r.path }

// newStack gives a template its parameters and lists its resources.
func (e *evaluation) newStack(t *Template, path string, owner *resource, params map[string]any) *stack {
	s := &stack{e: e, t: t, path: path, owner: owner, params: params, conds: map[string]verdict{}, byName: map[string]*resource{}}
	if owner != nil {
		s.depth = owner.s.depth + 1
	}
	for _, def := range t.Resources {
		r := e.newResource(s, def.Name, def, def.Type, def.properties, nil)
		if r == nil {
			return s
		}
		s.all = append(s.all, r)
		s.byName[def.Name] = r
	}
	for _, r := range s.all {
		holds, err := (&frame{stack: s}).condition(r.def.condition)
		if err != nil {
			e.note(err, r.def.at, r.where())
		}
		r.off = !holds
	}
	return s
}

// newResource returns a resource of a stack; nil after noting that there are too many.
func (e *evaluation) newResource(s *stack, name string, def *Resource, kindName string, body *tree.Node, vars map[string]any) *resource {
	if e.total++; e.total > MaxStack {
		if e.total == MaxStack+1 {
			e.errs.Note(def.at, "resources", fmt.Sprintf("the stack has more than %d resources with all that are nested in it", MaxStack))
		}
		return nil
	}
	r := &resource{s: s, def: def, path: s.path + name, body: body, vars: vars, uses: map[*resource]bool{}, place: def.at}
	r.node = e.nodeName(r.path)
	e.byNode[r.node] = r
	to, file := e.env.stands(name, kindName)
	switch {
	case file:
		r.file, r.kind = to, nestedKind
	case isFile(to):
		r.file, r.kind = beside(s.t.name, to), nestedKind
	default:
		if r.kind = kindOf(to); r.kind == nil {
			e.errs.Note(def.typeAt, r.where()+".type", fmt.Sprintf("no resource type %q%s", to, nearest.Hint(to, kindNames())))
			r.kind = unknownKind
		}
	}
	if r.def.ExternalID {
		r.kind = r.kind.outside()
	}
	return r
}

var notName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// nodeName returns what the specification calls a resource: its path, as far as names of roles have it, and otherwise
// with a piece of its hash, so that it is the same each time.
func (e *evaluation) nodeName(path string) string {
	name := notName.ReplaceAllString(path, "-")
	// The parts of a path stand apart by a point, which no name has: what differs in that alone is told apart, too.
	plain := name == path || name == strings.ReplaceAll(path, ".", "-")
	if !plain || len(name) > service.MaxName || e.nodes[name] {
		sum := sha256.Sum256([]byte(path))
		name = name[:min(len(name), service.MaxName-7)] + "-" + hex.EncodeToString(sum[:3])
	}
	e.nodes[name] = true
	return name
}

func (s *stack) resourceNames() []string {
	names := make([]string, len(s.all))
	for i, r := range s.all {
		names[i] = r.def.Name
	}
	return names
}

// frame is where the resource's definition is evaluated.
func (r *resource) frame() *frame { return &frame{stack: r.s, r: r, vars: r.vars} }

// properties evaluates the resource's properties, once.
func (r *resource) properties() (map[string]any, error) {
	switch r.state {
	case 1:
		return nil, wrong(r.place, "the properties of %s need themselves", r.path)
	case 2:
		return r.props, nil
	}
	r.state = 1
	defer func() { r.state = 2 }()
	r.props = map[string]any{}
	if r.body == nil || r.body.Kind != tree.Mapping {
		return r.props, nil
	}
	f := r.frame()
	if len(r.body.Entries) == 1 && has(r.s.t.version, r.body.Entries[0].Key) { // all of them by a function
		v, err := f.eval(r.body)
		if err != nil {
			return r.props, err
		}
		if m, ok := v.(map[string]any); ok {
			r.props = m
		}
		return r.props, nil
	}
	var first error
	for _, e := range r.body.Entries {
		if r.kind.lazy[e.Key] {
			continue
		}
		v, err := f.eval(e.Value)
		if err == nil {
			err = r.kind.check(e.Key, v)
		}
		if err != nil {
			err = located(e.Value.At, err)
			r.s.e.note(err, e.Value.At, r.where()+".properties."+e.Key)
			first = errNoted
			continue
		}
		if _, gone := v.(omitted); !gone && v != nil {
			r.props[e.Key] = v
		}
	}
	return r.props, first
}

// errNoted stands for an error that was noted already.
var errNoted = &misplaced{text: "noted"}

// text returns a property as text; "" for none.
func (r *resource) text(name string) string {
	switch v := r.props[name].(type) {
	case []any, map[string]any, nil:
		return ""
	default:
		return scalarText(v)
	}
}

// list returns a property as a list; a single value is a list of one.
func (r *resource) list(name string) []any {
	switch v := r.props[name].(type) {
	case []any:
		return v
	case nil:
		return nil
	default:
		return []any{v}
	}
}

func (r *resource) mapping(name string) map[string]any {
	m, _ := r.props[name].(map[string]any)
	return m
}

// whole returns a property as a whole number, or other.
func (r *resource) whole(name string, other int) int {
	v, ok := r.props[name]
	if !ok {
		return other
	}
	if n, err := strconv.Atoi(scalarText(v)); err == nil {
		return n
	}
	r.s.e.errs.Note(r.place, r.where()+".properties."+name, fmt.Sprintf("expected a whole number, found %.60q", scalarOrKind(v)))
	return other
}

// at returns the place of a property, or of the resource.
func (r *resource) at(name string) tree.Place {
	if r.body != nil {
		if n := r.body.Get(name); n != nil {
			return n.At
		}
	}
	return r.place
}

// wrong notes what is wrong with a property.
func (r *resource) wrong(name, format string, args ...any) {
	where := r.where()
	if name != "" {
		where += ".properties." + name
	}
	r.s.e.errs.Note(r.at(name), where, fmt.Sprintf(format, args...))
}

func (r *resource) warn(name, format string, args ...any) {
	where := r.where()
	if name != "" {
		where += ".properties." + name
	}
	r.s.e.tell(r.at(name), where, format, args...)
}

// mark returns the text that stands for a field of the resource's role or of the resource itself.
func (r *resource) mark(of owner, index int, field string) (string, error) {
	return r.s.e.mark(target{of, r.node, index, field})
}

// eachResource calls f for every resource that is there, with those of nested stacks and groups.
func (s *stack) eachResource(f func(*resource)) {
	for _, r := range s.all {
		r.each(f)
	}
}

func (r *resource) each(f func(*resource)) {
	if r.off {
		return
	}
	f(r)
	for _, m := range r.members {
		m.eachResource(f)
	}
	for _, g := range r.group {
		g.each(f)
	}
}
