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
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
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

// An Invalid is a document that is refused.
type Invalid struct {
	Problems tree.Errors // in the order of the text
	// Compatible is the line that Occopus prints: for the first mistake in the order of its own checks.
	Compatible string
}

func (e *Invalid) Error() string { return e.Problems.Error() }

// Unwrap returns the problems.
func (e *Invalid) Unwrap() error { return e.Problems }

// Quoted returns Compatible in quotes, as Occopus' REST service tells it.
func (e *Invalid) Quoted() string { return repr(e.Compatible) }

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
func (d *decoder) mapping(n *tree.Node, path string) service.Values {
	if n == nil {
		return nil
	}
	if n.Kind != tree.Mapping {
		d.fail(n.At, path, "", "expected keys and values, found %s", n.Kind)
		return nil
	}
	return values(n)
}

// values returns keys and values as they are when they come back from where they are stored, too.
func values(n *tree.Node) service.Values { return stored(n.Any()).(map[string]any) }

func stored(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case []any:
		for i, x := range v {
			v[i] = stored(x)
		}
	case map[string]any:
		for k, x := range v {
			v[k] = stored(x)
		}
	}
	return v
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

// A key of the whole document stands at the beginning of a line, or of the document where that is in braces.
var (
	describes = regexp.MustCompile(`(?m)(^|\A\s*\{\s*)["']?infra_name["']?[ \t]*:`)
	defines   = regexp.MustCompile(`(?m)(^|\A\s*\{\s*)["']?node_def:`)
)

// Describes reports whether a document looks like an infrastructure description.
func Describes(data []byte) bool { return recognised(data, describes, "infra_name") }

// Defines reports whether a document looks like node definitions.
func Defines(data []byte) bool { return recognised(data, defines, definitionPrefix) }

func recognised(data []byte, yaml *regexp.Regexp, prefix string) bool {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		return yaml.Match(data)
	}
	for key := range object {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
