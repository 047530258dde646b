// Package occopus reads what users of Occopus bring: infrastructure descriptions, node definitions, the
// authentication file and the configuration file. [Compile] turns a description and its definitions into
// a [service.Spec] of Troupe's own, and [Encode] a spec into a description and definitions.
//
// A document that is wrong is refused with an [Invalid]: all mistakes with their places for people, and
// the one message that Occopus itself prints for programs that look for it.
//
// Beyond Occopus: dependencies may name nodes instead of aliasing them; duplicate nodes, unknown names and
// circles are refused; an import may have an absolute path; the resource types process and sim run nodes on
// Troupe's own drivers.
package occopus

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
)

// Limits of a document, beside those of package tree.
const (
	maxValues = 2_000_000 // values, those that aliases repeat counted each time: each dependency repeats two nodes
	maxFiles  = 1000      // files that one document reads
	maxNest   = 10        // imports within imports
)

// Options are what a document may refer to.
type Options struct {
	// Open reads a file that the document imports: the path in the tag, joined to the folder of the
	// file that holds it unless it is absolute. Its error is shown to the user. When nil, imports are
	// refused.
	Open func(path string) ([]byte, error)
}

// Files returns a function for Options.Open that knows the given files alone, by path.
func Files(files map[string][]byte) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if data, ok := files[name]; ok {
			return data, nil
		}
		return nil, fmt.Errorf("the file %q was not sent along", name)
	}
}

// An Invalid is a document that is refused.
type Invalid struct {
	Problems tree.Errors // in the order of the text
	// Compatible is the line that Occopus prints: for the first mistake in the order of its own checks.
	Compatible string
}

func (e *Invalid) Error() string { return e.Problems.Error() }

// Unwrap returns the problems.
func (e *Invalid) Unwrap() error { return e.Problems }

// A Warning is something that is accepted but perhaps not meant.
type Warning struct {
	tree.Error
	Compatible string // the line that Occopus logs; "" when it says nothing
}

// A decoder reads one document.
type decoder struct {
	opts     Options
	files    tree.Reader
	tagged   bool // some node has a tag that stands for a file
	nest     int  // imports that are open
	errs     tree.Errors
	first    string // the message of the first mistake, for Invalid.Compatible
	warnings []Warning
}

func newDecoder(opts Options) *decoder {
	d := &decoder{opts: opts}
	d.files = tree.Reader{Nodes: maxValues, Tags: func(tag string) bool {
		known := tag == tagYAML || tag == tagText
		d.tagged = d.tagged || known
		return known
	}}
	return d
}

const schemaError = "[SchemaCheck] ERROR: "

// fail notes a mistake. compatible is what Occopus says of it, "" for nothing that differs.
func (d *decoder) fail(at tree.Place, path, compatible, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if compatible == "" {
		compatible = schemaError + text
		if path != "" {
			compatible = schemaError + path + ": " + text
		}
	}
	if d.first == "" {
		d.first = compatible
	}
	d.errs.Note(at, path, text)
}

func (d *decoder) warn(at tree.Place, path, compatible, format string, args ...any) {
	d.warnings = append(d.warnings, Warning{
		tree.Error{File: at.File.Name, Line: at.Line, Column: at.Column, Path: path, Text: fmt.Sprintf(format, args...)}, compatible,
	})
}

func (d *decoder) err() error {
	if len(d.errs) == 0 {
		return nil
	}
	_ = d.errs.Sorted()
	return &Invalid{d.errs, d.first}
}

// mistake notes why a file cannot be read.
func (d *decoder) mistake(err error) {
	m := (*tree.Mistake)(nil)
	if errors.As(err, &m) {
		compatible := m.Error()
		if strings.HasPrefix(m.Text, "a file holds one document") {
			compatible = "expected a single document in the stream: " + compatible
		}
		d.fail(m.At, "", compatible, "%s", m.Text)
	}
}

// load makes the tree of a document, imports resolved; nil after noting why not.
func (d *decoder) load(name string, data []byte) *tree.Node {
	root, err := d.files.Read(name, data)
	if err == nil && d.tagged {
		root, err = d.files.Replace(root, d.imported)
	}
	if err != nil {
		d.mistake(err)
		return nil
	}
	if root.Kind != tree.Mapping {
		d.fail(root.At, "", "", "expected keys and values, found %s", root.Kind)
		return nil
	}
	return root
}

// The tags that stand for the content of a file.
const (
	tagYAML = "!yaml_import"
	tagText = "!text_import"
)

// imported reads what a tag stands for.
func (d *decoder) imported(n *tree.Node) (*tree.Node, error) {
	wrong := func(at tree.Place, format string, args ...any) (*tree.Node, error) {
		return nil, &tree.Mistake{At: at, Text: fmt.Sprintf(format, args...)}
	}
	if n.Tag != tagYAML && n.Tag != tagText {
		bare := *n
		bare.Tag = ""
		return d.files.Replace(&bare, d.imported)
	}
	var url *tree.Node
	for _, e := range n.Entries {
		if e.Key != "url" {
			return wrong(e.At, "%s knows no key %q, only url", n.Tag, e.Key)
		}
		url = e.Value
	}
	if url == nil || url.Kind != tree.Text || url.Text == "" {
		return wrong(n.At, "%s needs the file: write {url: file://name.yaml}", n.Tag)
	}
	scheme, name, ok := strings.Cut(url.Text, "://")
	switch {
	case !ok:
		name = url.Text
	case scheme != "file":
		return wrong(url.At, "only file:// is read here, not %s://", scheme)
	}
	switch {
	case name == "" || strings.ContainsRune(name, 0):
		return wrong(url.At, "%q names no file", url.Text)
	case d.opts.Open == nil:
		return wrong(url.At, "other files cannot be read here: send one document with everything in it")
	case d.files.Files() >= maxFiles:
		return wrong(url.At, "the document reads more than %d files", maxFiles)
	case d.nest == maxNest:
		return wrong(url.At, "imports are nested too deep; %d levels is the most", maxNest)
	}
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(n.At.File.Name), name)
	}
	data, err := d.opts.Open(name)
	if err != nil {
		return wrong(url.At, "import %s: %v", name, err)
	}
	if n.Tag == tagText {
		switch {
		case len(data) > tree.MaxBytes || !d.files.Take(len(data)):
			return wrong(url.At, "%s is too large", name)
		case tree.InvalidUTF8(data) >= 0:
			return wrong(url.At, "%s is not UTF-8 text", name)
		}
		return &tree.Node{Kind: tree.Text, Text: strings.ReplaceAll(string(data), "\r\n", "\n"), At: n.At}, nil
	}
	root, err := d.files.Read(name, data)
	if err != nil {
		return nil, err
	}
	d.nest++
	defer func() { d.nest-- }()
	return d.files.Replace(root, d.imported)
}

// text reads a scalar as it is written.
func (d *decoder) text(n *tree.Node, path string) (string, bool) {
	switch n.Kind {
	case tree.Null:
		d.fail(n.At, path, "", `has no value; write "" for an empty one`)
	case tree.List, tree.Mapping:
		d.fail(n.At, path, "", "expected text, found %s", n.Kind)
	default:
		return n.Text, true
	}
	return "", false
}

// mapping reads free keys and values; nil stands for none.
func (d *decoder) mapping(n *tree.Node, path string) map[string]any {
	if n == nil {
		return nil
	}
	if n.Kind != tree.Mapping {
		d.fail(n.At, path, "", "expected keys and values, found %s", n.Kind)
		return nil
	}
	return n.Any().(map[string]any)
}

// repr returns a text as Python shows it.
func repr(s string) string {
	quote := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = `"`
	} else {
		s = strings.ReplaceAll(s, "'", `\'`)
	}
	return quote + s + quote
}

// exact returns a value in which JSON keeps 1.0 apart from 1.
func exact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = exact(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = exact(x)
		}
		return out
	case float64:
		if s := strconv.FormatFloat(v, 'f', -1, 64); !strings.Contains(s, ".") {
			return json.Number(s + ".0")
		}
	}
	return v
}
