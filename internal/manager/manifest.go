package manager

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/occi"
)

// A Manifest describes a service type: what its instances show and take, and which other service types they need.
type Manifest struct {
	Type        occi.TypeID
	Description string
	Attributes  []AttributeDef // in the order of the file
	Endpoint    string         // where the original manager would listen
	Needs       []Need         // in the order of the file
	// Resources are the templates of the generic orchestrator, by region; none for orchestrators that are programs.
	Resources map[string]Templates
}

// Term is the last part of the type, by which the manager is found.
func (m *Manifest) Term() string { return m.Type.Term() }

// An AttributeDef defines an attribute of instances.
type AttributeDef struct {
	Name string
	Rule Rule
}

// A Rule says whose an attribute is.
type Rule string

// The rules.
const (
	Immutable Rule = "immutable" // the service sets it
	Required  Rule = "required"  // whoever makes the instance gives it
	Mutable   Rule = "mutable"   // clients may set it; "" means the same
)

// A Need is a service type that instances depend on.
type Need struct {
	Type   occi.TypeID
	Region string // where to look for it; "" for RegionOne
	Inputs []Input
}

// An Input is an attribute of one needed service that another one is given.
type Input struct {
	Supplier  occi.TypeID
	Attribute string
}

// Templates are the two that the generic orchestrator deploys and provisions, as URLs.
type Templates struct{ Deployment, Provision string }

// Limits of a manifest.
const (
	MaxManifest   = 256 << 10 // bytes
	maxAttributes = 500
	maxNeeds      = 100
	maxInputs     = 500
)

// ParseManifest reads a service manifest, which is JSON. Its error is a *tree.Mistake, or tree.Errors with all that is wrong, each with
// its place. Keys that it does not know are ignored, as the original does.
func ParseManifest(file string, text []byte) (*Manifest, error) {
	r := &reader{}
	root, err := readJSON(file, text)
	if err != nil {
		return nil, err
	}
	if root.Kind != tree.Mapping {
		r.fail(root, "", "a manifest is an object, not %s", root.Found())
		return nil, r.errs
	}
	m := &Manifest{}
	r.serviceType(root, m)
	m.Description = r.text(root, "service_description", true)
	r.attributes(root, m)
	r.endpoint(root, m)
	r.needs(root, m)
	r.resources(root, m)
	return m, r.errs.Sorted()
}

// readJSON reads a small JSON document.
func readJSON(file string, text []byte) (*tree.Node, error) {
	if !strings.HasSuffix(strings.ToLower(file), ".json") {
		file += ".json" // whose reader refuses YAML
	}
	if len(text) > MaxManifest {
		return nil, &tree.Mistake{At: tree.Place{File: &tree.File{Name: file}}, Text: fmt.Sprintf("the file is larger than %d bytes", MaxManifest)}
	}
	return (&tree.Reader{}).Read(file, text)
}

type reader struct{ errs tree.Errors }

func (r *reader) fail(at *tree.Node, path, format string, args ...any) {
	r.errs.Note(at.At, path, fmt.Sprintf(format, args...))
}

// text returns a text of the object; where it must be there, its absence is a mistake.
func (r *reader) text(of *tree.Node, key string, required bool) string {
	n := of.Get(key)
	switch {
	case n == nil && required:
		r.fail(of, "", "%q is missing%s", key, r.almost(of, key))
	case n == nil:
	case n.Kind != tree.Text:
		r.fail(n, key, "a text is wanted, not %s", n.Found())
	default:
		return n.Text
	}
	return ""
}

// almost names the key that was meant by one that is missing.
func (r *reader) almost(of *tree.Node, key string) string {
	for _, e := range of.Entries {
		if _, near := nearest.Name(e.Key, []string{key}); near && e.Key != key {
			return fmt.Sprintf("; %q in line %d is none that manifests have", e.Key, e.At.Line)
		}
	}
	return ""
}

func (r *reader) serviceType(root *tree.Node, m *Manifest) {
	text := r.text(root, "service_type", true)
	if text == "" {
		return
	}
	var err error
	if m.Type, err = parseType(text); err != nil {
		r.fail(root.Get("service_type"), "service_type", "%v", err)
		return
	}
	if m.Term() == "link" {
		r.fail(root.Get("service_type"), "service_type", "the term link is that of the links between services; choose another")
	}
}

// parseType reads the type of a service, which has exactly one "#".
func parseType(text string) (occi.TypeID, error) {
	if strings.Count(text, "#") != 1 {
		return "", fmt.Errorf("%.100q is no service type; write its scheme, one #, and its term: http://example.org/occi/sm#shop", text)
	}
	return occi.ParseTypeID(text)
}

func (r *reader) attributes(root *tree.Node, m *Manifest) {
	const key = "service_attributes"
	n := root.Get(key)
	switch {
	case n == nil:
		r.fail(root, "", "%q is missing%s", key, r.almost(root, key))
		return
	case n.Kind != tree.Mapping:
		r.fail(n, key, "an object is wanted, with an attribute's name and its rule, not %s", n.Found())
		return
	case len(n.Entries) > maxAttributes:
		r.fail(n, key, "there are %d attributes; %d are the most", len(n.Entries), maxAttributes)
		return
	}
	for _, e := range n.Entries {
		path := key + "." + e.Key
		if !isName(e.Key) {
			r.errs.Note(e.At, path, "the name of an attribute is made of letters, digits, '.', '-', '_'")
		}
		rule := Rule(e.Value.Text)
		switch {
		case e.Value.Kind != tree.Text:
			r.fail(e.Value, path, `"immutable", "required", "mutable" or "" is wanted, not %s`, e.Value.Found())
		case rule == "":
			rule = Mutable
		case rule != Immutable && rule != Required && rule != Mutable:
			r.fail(e.Value, path, `"immutable", "required", "mutable" or "" is wanted, not %s%s`, e.Value.Found(),
				nearest.Hint(e.Value.Text, []string{string(Immutable), string(Required), string(Mutable)}))
		}
		m.Attributes = append(m.Attributes, AttributeDef{e.Key, rule})
	}
}

// isName reports whether s may be the name of an attribute.
func isName(s string) bool {
	return s != "" && len(s) <= 255 && strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_')
	}) < 0
}

func (r *reader) endpoint(root *tree.Node, m *Manifest) {
	m.Endpoint = r.text(root, "service_endpoint", true)
	if m.Endpoint == "" {
		return
	}
	u, err := url.Parse(m.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" {
		r.fail(root.Get("service_endpoint"), "service_endpoint", "%.100q is no URL with a port; write it as http://HOST:PORT/%s/", m.Endpoint, m.Term())
	}
}

func (r *reader) needs(root *tree.Node, m *Manifest) {
	const key = "depends_on"
	n := root.Get(key)
	switch {
	case n == nil:
		r.fail(root, "", "%q is missing%s; write [] for a service that needs no other", key, r.almost(root, key))
		return
	case n.Kind != tree.List:
		r.fail(n, key, "a list is wanted, not %s", n.Found())
		return
	case len(n.Items) > maxNeeds:
		r.fail(n, key, "there are %d services; %d are the most", len(n.Items), maxNeeds)
		return
	}
	var places [][]*tree.Node
	for i, item := range n.Items {
		if need, inputs, ok := r.need(item, fmt.Sprintf("%s[%d]", key, i), m); ok {
			m.Needs, places = append(m.Needs, need), append(places, inputs)
		}
	}
	var known []string
	for _, need := range m.Needs {
		known = append(known, string(need.Type))
	}
	for i, need := range m.Needs {
		for k, in := range need.Inputs {
			at := fmt.Sprintf("%s[%d].inputs[%d]", key, i, k)
			switch {
			case in.Supplier == need.Type:
				r.fail(places[i][k], at, "%s cannot be its own supplier", in.Supplier)
			case !slices.Contains(known, string(in.Supplier)):
				r.fail(places[i][k], at, "no service %s in %s%s", in.Supplier, key, nearest.Hint(string(in.Supplier), known))
			}
		}
	}
}

// need reads one dependency, with the places of its inputs.
func (r *reader) need(item *tree.Node, path string, m *Manifest) (need Need, places []*tree.Node, ok bool) {
	switch {
	case item.Kind == tree.List:
		r.fail(item, path, "lists within the list, which older manifests had for what is deployed one after the other, are not supported: order follows from inputs")
		return need, nil, false
	case item.Kind != tree.Mapping || len(item.Entries) != 1:
		r.fail(item, path, `an object with one service type is wanted: {"http://example.org/occi/sm#db": {"inputs": []}}`)
		return need, nil, false
	}
	e := item.Entries[0]
	var err error
	if need.Type, err = parseType(e.Key); err != nil {
		r.errs.Note(e.At, path, err.Error())
		return need, nil, false
	}
	switch {
	case need.Type == m.Type:
		r.errs.Note(e.At, path, "a service cannot need itself")
	case slices.ContainsFunc(m.Needs, func(n Need) bool { return n.Type == need.Type }):
		r.errs.Note(e.At, path, fmt.Sprintf("%s is there twice; there is one instance of each type", need.Type))
	}
	if e.Value.Kind != tree.Mapping || e.Value.Get("inputs") == nil {
		r.fail(e.Value, path, `"inputs" is missing; write {"inputs": []} for none`)
		return need, nil, true
	}
	need.Region = r.text(e.Value, "region", false)
	inputs := e.Value.Get("inputs")
	if inputs.Kind != tree.List || len(inputs.Items) > maxInputs {
		r.fail(inputs, path+".inputs", "a list of at most %d inputs is wanted, not %s", maxInputs, inputs.Found())
		return need, nil, true
	}
	for i, x := range inputs.Items {
		in, err := parseInput(x)
		if err != nil {
			r.fail(x, fmt.Sprintf("%s.inputs[%d]", path, i), "%v", err)
			continue
		}
		need.Inputs, places = append(need.Inputs, in), append(places, x)
	}
	return need, places, true
}

// parseInput reads <scheme>#<term>#<attribute>.
func parseInput(n *tree.Node) (Input, error) {
	cut := strings.LastIndexByte(n.Text, '#')
	if n.Kind != tree.Text || strings.Count(n.Text, "#") != 2 || !isName(n.Text[cut+1:]) {
		return Input{}, fmt.Errorf("%s is no input; write the type of the supplier, # and its attribute: http://example.org/occi/sm#db#db.url", n.Found())
	}
	supplier, err := parseType(n.Text[:cut])
	return Input{supplier, n.Text[cut+1:]}, err
}

func (r *reader) resources(root *tree.Node, m *Manifest) {
	n := root.Get("resources")
	if n == nil {
		return
	}
	if n.Kind != tree.Mapping {
		r.fail(n, "resources", "an object with regions is wanted, not %s", n.Found())
		return
	}
	m.Resources = make(map[string]Templates, len(n.Entries))
	for _, e := range n.Entries {
		path := "resources." + e.Key
		if e.Value.Kind != tree.Mapping {
			r.fail(e.Value, path, `{"deployment": URL, "provision": URL} is wanted, not %s`, e.Value.Found())
			continue
		}
		t := Templates{r.text(e.Value, "deployment", true), r.text(e.Value, "provision", true)}
		for key, text := range map[string]string{"deployment": t.Deployment, "provision": t.Provision} {
			if u, err := url.Parse(text); text != "" && (err != nil || !slices.Contains([]string{"file", "http", "https"}, u.Scheme)) {
				r.fail(e.Value.Get(key), path+"."+key, "%.100q is no URL of a file or of HTTP", text)
			}
		}
		m.Resources[e.Key] = t
	}
}

// CircleOf returns the types of a circle of needs that a manifest closes with others, its own first and last; nil when
// there is none.
func CircleOf(m *Manifest, others func(occi.TypeID) *Manifest) []occi.TypeID {
	seen := map[occi.TypeID]bool{}
	var walk func(at *Manifest, way []occi.TypeID) []occi.TypeID
	walk = func(at *Manifest, way []occi.TypeID) []occi.TypeID {
		way = append(way, at.Type)
		for _, need := range at.Needs {
			if need.Type == m.Type {
				return append(way, m.Type)
			}
			next := others(need.Type)
			if next == nil || seen[need.Type] {
				continue
			}
			seen[need.Type] = true
			if circle := walk(next, way); circle != nil {
				return circle
			}
		}
		return nil
	}
	return walk(m, nil)
}
