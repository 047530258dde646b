// Package hot reads Heat templates (HOT) with their environments, and compiles them into services of Troupe's own.
//
// [Parse] reads a template and all files that it names, and says everything that is wrong with it in itself.
// [Template.Compile] gives its parameters values and makes a [service.Spec]: servers become roles, groups of servers
// roles with a cardinality, and what the chosen driver has no resources for becomes recorded resources. [Outputs]
// evaluates the outputs against a service as it stands. [Migrate] takes a template to another version of itself by
// the names of its resources.
//
// What is known only once a machine is there (an address, an id) is a mark in the texts that are evaluated: one
// character that stands for a reference. Functions pass marks on like any character; in the end they become
// expressions of Troupe's own templates, or, in outputs, the values that the service has.
package hot

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// Format is the name of this format in specifications.
const Format = "hot"

// Limits of a template with all that it names, beside those of package tree.
const (
	MaxFiles        = 1000     // files, nested templates among them
	MaxNested       = 5        // stacks within stacks
	MaxStack        = 1000     // resources of a stack with all that are nested in it
	maxSteps        = 1 << 20  // values that an evaluation makes
	maxMade         = 16 << 20 // bytes of all texts that an evaluation makes
	maxEnvironments = 100
)

// A File is a text with its name.
type File struct {
	Name string
	Text []byte
}

// Options are what a template may refer to.
type Options struct {
	// Open reads a file that the template, a nested one or an environment names: the name as it is given, joined to the
	// folder of the file that holds it unless it is absolute. Its error is shown to the user. When nil, files are refused.
	Open func(path string) ([]byte, error)
}

// A Template is one that was read.
type Template struct {
	Version     string // the date, also where the template has a name such as wallaby
	Description string
	Parameters  []Parameter
	Groups      []ParameterGroup
	Resources   []*Resource
	Outputs     []Output

	name         string
	source       File
	environments []File
	root         *tree.Node
	conditions   []tree.Entry
	version      int // index into versions
	doc          *document
}

// A ParameterGroup puts parameters together for a form.
type ParameterGroup struct {
	Label, Description string
	Parameters         []string
}

// A Resource is one as the template says it.
type Resource struct {
	Name           string
	Type           string
	DependsOn      []string
	DeletionPolicy string // as it is written; "" for none
	ExternalID     bool   // it is there already, outside of the stack

	at         tree.Place
	typeAt     tree.Place
	properties *tree.Node
	metadata   *tree.Node
	update     *tree.Node
	condition  *tree.Node
	external   *tree.Node
	names      []reference // resources that it speaks of
}

// An Output is one as the template says it.
type Output struct {
	Name        string
	Description string

	at        tree.Place
	value     *tree.Node
	condition *tree.Node
	names     []reference
}

// A reference is a place that names a resource.
type reference struct {
	name string
	at   tree.Place
}

// Parse reads a template, the environments, of which later ones go before earlier, and all files that they name. The
// error, if any, is of type tree.Errors: every mistake with its place.
func Parse(name string, text []byte, environments []File, opts Options) (*Template, error) {
	d := &document{opts: opts, files: map[string]string{}, templates: map[string]*Template{}, trees: map[string]*tree.Node{}}
	if len(environments) > maxEnvironments {
		d.fail(tree.Place{File: &tree.File{Name: name}}, "", "%d environments; %d are the most", len(environments), maxEnvironments)
		return nil, d.err()
	}
	t := d.template(name, name, text)
	for _, e := range environments {
		d.environmentFile(e)
	}
	if t != nil && len(d.errs) == 0 {
		d.check(t)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	t.source, t.environments = File{name, text}, environments
	return t, nil
}

// A document is a template with everything that it names.
type document struct {
	opts      Options
	reader    tree.Reader
	errs      tree.Errors
	warnings  []string
	files     map[string]string // texts, by path
	trees     map[string]*tree.Node
	templates map[string]*Template // nested ones, by path
	env       environment
	checked   map[*Template]bool
}

func (d *document) fail(at tree.Place, path, format string, args ...any) {
	d.errs.Note(at, path, fmt.Sprintf(format, args...))
}

func (d *document) warn(at tree.Place, path, format string, args ...any) {
	if len(d.warnings) < 50 {
		e := tree.Error{File: at.File.Name, Line: at.Line, Column: at.Column, Path: path, Text: fmt.Sprintf(format, args...)}
		d.warnings = append(d.warnings, e.Error())
	}
}

func (d *document) err() error { return d.errs.Sorted() }

// read makes the tree of a file; nil after noting why not.
func (d *document) read(name string, text []byte) *tree.Node {
	root, err := d.reader.Read(name, text)
	if err != nil {
		m := (*tree.Mistake)(nil)
		if errors.As(err, &m) {
			d.fail(m.At, "", "%s", m.Text)
		}
		return nil
	}
	if root.Kind != tree.Mapping {
		d.fail(root.At, "", "expected keys and values, found %s", root.Kind)
		return nil
	}
	return root
}

// beside returns the path of a file that another one names.
func beside(file, name string) string {
	name = strings.TrimPrefix(name, "file://")
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(path.Dir(file), name)
}

var remote = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*://`)

// open returns the text of a file that is named at a place; false after noting why not.
func (d *document) open(at tree.Place, where, file, name string) (string, string, bool) {
	full := beside(file, name)
	if text, ok := d.files[full]; ok {
		return full, text, true
	}
	switch {
	case remote.MatchString(strings.TrimPrefix(name, "file://")):
		d.fail(at, where, "%s is not fetched: put the file beside the template", name)
		return full, "", false
	case d.opts.Open == nil:
		d.fail(at, where, "files cannot be read here: %q", name)
		return full, "", false
	case len(d.files) >= MaxFiles:
		d.fail(at, where, "more than %d files are named", MaxFiles)
		return full, "", false
	}
	text, err := d.opts.Open(full)
	switch {
	case err != nil:
		d.fail(at, where, "%v", err)
		return full, "", false
	case len(text) > tree.MaxBytes || !d.reader.Take(len(text)):
		d.fail(at, where, "%s is too large: a file has %d bytes at most, and all of them %d", name, tree.MaxBytes, tree.MaxTotal)
		return full, "", false
	}
	d.files[full] = string(text)
	return full, string(text), true
}

// Files returns the texts of the files that the template, nested ones and environments name, by their paths.
func (t *Template) Files() map[string]string { return t.doc.files }

// Warnings tell what was passed over while reading.
func (t *Template) Warnings() []string { return slices.Clone(t.doc.warnings) }

var describes = regexp.MustCompile(`(?m)(^|\A\s*\{\s*)["']?heat_template_version["']?[ \t]*:`)

// Describes reports whether a document looks like a Heat template.
func Describes(text []byte) bool { return describes.Match(text) }

// known refuses a key that is none of those.
func (d *document) known(e tree.Entry, where string, keys []string) bool {
	if slices.Contains(keys, e.Key) {
		return true
	}
	d.fail(e.At, where, "unknown key %q%s", e.Key, nearest.Hint(e.Key, keys))
	return false
}

// text reads a scalar as it is written; "" for none.
func (d *document) text(n *tree.Node, where string) string {
	if n == nil {
		return ""
	}
	if !n.Kind.Scalar() {
		d.fail(n.At, where, "expected text, found %s", n.Kind)
		return ""
	}
	return n.Text
}
