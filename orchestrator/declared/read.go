package declared

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/jinja"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/occi"
	"github.com/troupe-dev/troupe/orchestrator"
)

// Limits of a declaration.
const (
	maxFile       = 256 << 10
	maxRules      = 100
	maxActions    = 20
	maxParameters = 500
	maxNeeds      = 100
)

// names are what templates in a declaration see.
var names = []string{"attributes", "design", "needs", "service", "tenant", "url", "user"}

// Read reads a declaration. Its error is tree.Errors, all mistakes with their places. open returns the text of a file that is
// named in it.
func Read(name string, text []byte, open func(name string) ([]byte, error)) (*Declaration, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	root, err := new(tree.Reader).Read(name, text)
	if err != nil {
		return nil, err
	}
	r := &reader{open: open, d: &Declaration{Regions: make(map[string]orchestrator.Pair)}, resources: make(map[string]bool), known: make(map[string]bool)}
	r.keys(root, "", "template", "regions", "parameters", "needs", "rules")
	r.templates(root)
	r.parameters(root.Get("parameters"))
	r.needs(root.Get("needs"))
	r.rules(root.Get("rules"))
	if len(r.errs) > 0 {
		return nil, r.errs.Sorted()
	}
	return r.d, nil
}

// A reader notes mistakes while it makes a Declaration.
type reader struct {
	errs      tree.Errors
	open      func(string) ([]byte, error)
	d         *Declaration
	resources map[string]bool // of all templates of provisioning
	known     map[string]bool // parameters of all templates
}

func (r *reader) fail(at *tree.Node, path, format string, args ...any) {
	r.errs.Note(at.At, path, fmt.Sprintf(format, args...))
}

// keys wants a mapping that has none but the known keys, and reports whether it is one.
func (r *reader) keys(n *tree.Node, path string, known ...string) bool {
	if n.Kind != tree.Mapping {
		r.fail(n, path, "keys and values are wanted (%s), not %s", strings.Join(known, ", "), n.Found())
		return false
	}
	for _, e := range n.Entries {
		if !slices.Contains(known, e.Key) {
			r.errs.Note(e.At, path, fmt.Sprintf("unknown key %q%s", e.Key, nearest.Hint(e.Key, known)))
		}
	}
	return true
}

// text wants a text that is not empty, of a key that must be there.
func (r *reader) text(of *tree.Node, path, key string) (*tree.Node, string) {
	n := of.Get(key)
	switch {
	case n == nil:
		r.fail(of, path, "%q is missing", key)
	case n.Kind != tree.Text || n.Text == "":
		r.fail(n, join(path, key), "a text is wanted, not %s", n.Found())
	default:
		return n, n.Text
	}
	return nil, ""
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// templates reads which templates the service is made from.
func (r *reader) templates(root *tree.Node) {
	one, regions := root.Get("template"), root.Get("regions")
	switch {
	case root.Kind != tree.Mapping:
	case (one == nil) == (regions == nil):
		r.fail(root, "", "either template or regions must say what the service is made from")
	case one != nil:
		r.d.Regions["RegionOne"] = r.pair(one, "template")
	case regions.Kind != tree.Mapping || len(regions.Entries) == 0:
		r.fail(regions, "regions", "names of regions with their templates are wanted, not %s", regions.Found())
	default:
		for _, e := range regions.Entries {
			r.d.Regions[e.Key] = r.pair(e.Value, join("regions", e.Key))
		}
	}
}

// pair reads one template for both phases, or one for each.
func (r *reader) pair(n *tree.Node, path string) orchestrator.Pair {
	if n.Kind == tree.Text {
		text := r.template(n, path, true)
		return orchestrator.Pair{Deployment: text, Provision: text}
	}
	var p orchestrator.Pair
	if !r.keys(n, path, "deployment", "provision") {
		return p
	}
	if at, _ := r.text(n, path, "deployment"); at != nil {
		p.Deployment = r.template(at, join(path, "deployment"), false)
	}
	if at, _ := r.text(n, path, "provision"); at != nil {
		p.Provision = r.template(at, join(path, "provision"), true)
	}
	return p
}

// template reads a template's file, and what it calls its parameters and resources.
func (r *reader) template(n *tree.Node, path string, last bool) string {
	text, err := r.open(n.Text)
	if err != nil {
		r.fail(n, path, "the template cannot be read: %v", err)
		return ""
	}
	root, err := new(tree.Reader).Read(n.Text, text)
	switch {
	case err != nil:
		r.fail(n, path, "%v", err)
	case root.Get("heat_template_version") == nil:
		r.fail(n, path, "%s is no Heat template: heat_template_version is missing", n.Text)
	default:
		for _, name := range keysOf(root, "parameters") {
			r.known[name] = true
		}
		if last {
			for _, name := range keysOf(root, "resources") {
				r.resources[name] = true
			}
		}
	}
	return string(text)
}

func keysOf(root *tree.Node, key string) (out []string) {
	if n := root.Get(key); n != nil {
		for _, e := range n.Entries {
			out = append(out, e.Key)
		}
	}
	return out
}

// known wants a name to be one of some.
func (r *reader) oneOf(at tree.Place, path, what, name string, known map[string]bool) {
	if !known[name] {
		r.errs.Note(at, path, fmt.Sprintf("no template has a %s %q%s", what, name, nearest.Hint(name, slices.Collect(maps.Keys(known)))))
	}
}

func (r *reader) parameters(n *tree.Node) {
	if n == nil {
		return
	}
	if n.Kind != tree.Mapping || len(n.Entries) > maxParameters {
		r.fail(n, "parameters", "values of the templates' parameters are wanted, %d at most, not %s", maxParameters, n.Found())
		return
	}
	r.d.parameters = make(map[string]value, len(n.Entries))
	for _, e := range n.Entries {
		path := join("parameters", e.Key)
		r.oneOf(e.At, path, "parameter", e.Key, r.known)
		r.d.parameters[e.Key] = r.value(e.Value, path)
	}
}

// value reads the value of a parameter.
func (r *reader) value(n *tree.Node, path string) value {
	switch n.Kind {
	case tree.Text:
		if t := r.expression(n, path); t != nil {
			return value{t}
		}
	case tree.List:
		out := make([]value, len(n.Items))
		for i, item := range n.Items {
			out[i] = r.value(item, fmt.Sprintf("%s[%d]", path, i))
		}
		return value{out}
	case tree.Mapping:
		out := make(map[string]value, len(n.Entries))
		for _, e := range n.Entries {
			out[e.Key] = r.value(e.Value, join(path, e.Key))
		}
		return value{out}
	}
	return value{n.Any()}
}

// expression reads a text with templates in it, which may look up nothing that is not there.
func (r *reader) expression(n *tree.Node, path string) *jinja.Template {
	t, err := jinja.Parse(n.Text)
	if err != nil {
		r.fail(n, path, "%v", err)
		return nil
	}
	for _, x := range t.References() {
		if first := x.Path[0]; !x.Called && !slices.Contains(names, first) {
			r.fail(n, path, "there is no %q%s; there are %s", first, nearest.Hint(first, names), strings.Join(names, ", "))
		}
		if len(x.Path) == 2 && x.Path[0] == "user" && x.Path[1] != "name" && x.Path[1] != "password" {
			r.fail(n, path, "user has no %q, but a name and a password", x.Path[1])
		}
	}
	return t
}

// needs reads the services that this one depends on, as depends_on of a manifest has them.
func (r *reader) needs(n *tree.Node) {
	if n == nil {
		return
	}
	if n.Kind != tree.List || len(n.Items) > maxNeeds {
		r.fail(n, "needs", "a list of services is wanted, %d at most, each with its type and its inputs, not %s", maxNeeds, n.Found())
		return
	}
	for i, item := range n.Items {
		path := fmt.Sprintf("needs[%d]", i)
		if !r.keys(item, path, "type", "region", "inputs") {
			continue
		}
		var d orchestrator.Dependency
		at, text := r.text(item, path, "type")
		if at == nil {
			continue
		}
		var err error
		if d.Type, err = occi.ParseTypeID(text); err != nil {
			r.fail(at, join(path, "type"), "%v", err)
			continue
		}
		if item.Get("region") != nil {
			_, d.Region = r.text(item, path, "region")
		}
		if inputs := item.Get("inputs"); inputs != nil {
			d.Inputs = r.inputs(inputs, join(path, "inputs"))
		}
		r.d.Needs = append(r.d.Needs, d)
	}
	if _, err := orchestrator.NewResolver(nil, r.d.Needs); err != nil {
		r.fail(n, "needs", "%v", err)
	}
}

// inputs reads a list of SCHEME#TERM#ATTRIBUTE.
func (r *reader) inputs(n *tree.Node, path string) (out []orchestrator.Input) {
	if n.Kind != tree.List {
		r.fail(n, path, "a list of TYPE#ATTRIBUTE is wanted, not %s", n.Found())
	}
	for _, item := range n.Items {
		cut := strings.LastIndexByte(item.Text, '#')
		if item.Kind != tree.Text || strings.Count(item.Text, "#") != 2 || cut == len(item.Text)-1 {
			r.fail(item, path, "%s is no input: write the supplier's type, # and its attribute", item.Found())
			continue
		}
		supplier, err := occi.ParseTypeID(item.Text[:cut])
		if err != nil {
			r.fail(item, path, "%v", err)
		}
		out = append(out, orchestrator.Input{Supplier: supplier, Attribute: item.Text[cut+1:]})
	}
	return out
}

func (r *reader) rules(n *tree.Node) {
	if n == nil {
		return
	}
	if n.Kind != tree.Mapping || len(n.Entries) > maxRules {
		r.fail(n, "rules", "rules by their names are wanted, %d at most, not %s", maxRules, n.Found())
		return
	}
	for _, e := range n.Entries {
		path := join("rules", e.Key)
		if strings.ContainsAny(e.Key, " /") || e.Key == "" {
			r.errs.Note(e.At, path, "the name of a rule has neither a space nor a / in it")
		}
		if r.keys(e.Value, path, "on", "do") {
			r.d.rules = append(r.d.rules, r.rule(e.Key, e.Value, path))
		}
	}
}

var states = []string{string(orchestrator.OK), string(orchestrator.Alarm), string(orchestrator.Undetermined)}

func (r *reader) rule(name string, n *tree.Node, path string) rule {
	x := rule{name: name, state: orchestrator.Alarm}
	on, do := n.Get("on"), n.Get("do")
	if on == nil || do == nil {
		r.fail(n, path, "a rule says on which alarm, and what to do: both on and do are wanted")
		return x
	}
	if r.keys(on, join(path, "on"), "alarm", "state") {
		if at, _ := r.text(on, join(path, "on"), "alarm"); at != nil {
			x.alarm = r.expression(at, join(path, "on.alarm"))
		}
		if state := on.Get("state"); state != nil {
			if x.state = orchestrator.AlarmState(state.Text); !slices.Contains(states, state.Text) {
				r.fail(state, join(path, "on.state"), "%s is no state: %s%s", state.Found(), strings.Join(states, ", "), nearest.Hint(state.Text, states))
			}
		}
	}
	list := []*tree.Node{do}
	if do.Kind == tree.List {
		list = do.Items
	}
	if len(list) == 0 || len(list) > maxActions {
		r.fail(do, join(path, "do"), "a rule does something, %d things at most", maxActions)
	}
	for _, item := range list {
		x.do = append(x.do, r.action(item, join(path, "do")))
	}
	return x
}

func (r *reader) action(n *tree.Node, path string) (a action) {
	if !r.keys(n, path, "replace", "scale", "notify") {
		return a
	}
	if len(n.Entries) != 1 {
		r.fail(n, path, "an action is one of replace, scale, notify; write a list for more")
		return a
	}
	switch key := n.Entries[0].Key; key {
	case "replace":
		if at, name := r.text(n, path, key); at != nil {
			r.oneOf(at.At, join(path, key), "resource", name, r.resources)
			a.replace = name
		}
	case "scale":
		if v := n.Get(key); v == nil {
			r.fail(n, path, "scale says which parameter, and by how much")
		} else {
			a.scale = r.scale(v, join(path, key))
		}
	case "notify":
		if at, text := r.text(n, path, key); at != nil {
			a.notify = r.expression(at, join(path, key))
			if u, err := url.Parse(text); !strings.Contains(text, "{{") && (err != nil || u.Host == "") {
				r.fail(at, join(path, key), "%s is no URL of an orchestrator", at.Found())
			}
		}
	}
	return a
}

func (r *reader) scale(n *tree.Node, path string) *scale {
	s := &scale{}
	if !r.keys(n, path, "parameter", "by", "min", "max") {
		return s
	}
	if at, name := r.text(n, path, "parameter"); at != nil {
		r.oneOf(at.At, join(path, "parameter"), "parameter", name, r.known)
		s.parameter = name
	}
	number := func(key string, to *int) bool {
		v := n.Get(key)
		if v == nil {
			return false
		}
		i, ok := v.Int()
		if !ok {
			r.fail(v, join(path, key), "a whole number is wanted, not %s", v.Found())
		}
		*to = i
		return ok
	}
	if !number("by", &s.by) || s.by == 0 {
		r.fail(n, path, "by says how many more, or fewer, there are to be: +1, -1")
	}
	s.hasMin, s.hasMax = number("min", &s.min), number("max", &s.max)
	if s.hasMin && s.hasMax && s.min > s.max {
		r.fail(n, path, "min %d is more than max %d", s.min, s.max)
	}
	if s.by > 0 && !s.hasMax {
		r.fail(n, path, "max is missing: an alarm that stays would never stop to bring more")
	}
	return s
}
