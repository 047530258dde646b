package orchestrator

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// resourceName is what a resource may be called, so that its name needs no quotes.
var resourceName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,254}$`)

// RenameResource returns a Heat template in which a resource has another name, and everything that refers to it refers to
// that; all else stays as it is written. A stack that is updated to it has that resource made anew. The template is in YAML or
// JSON.
func RenameResource(template, name, to string) (string, error) {
	root, err := new(tree.Reader).Read("template", []byte(template))
	if err != nil {
		return "", err
	}
	if !resourceName.MatchString(to) {
		return "", fmt.Errorf("%q is no name of a resource", to)
	}
	r := renaming{from: name, to: to, places: make(map[tree.Place]bool)}
	if err := r.definitions(root.Get("resources")); err != nil {
		return "", err
	}
	r.references(root)
	return r.apply(strings.TrimPrefix(template, "\ufeff"))
}

// A renaming collects the places at which a name stands.
type renaming struct {
	from, to string
	places   map[tree.Place]bool // aliases lead to one more than once
}

// definitions notes where the resource is defined, and which others depend on it.
func (r *renaming) definitions(resources *tree.Node) error {
	if resources == nil {
		return errors.New("the template has no resources")
	}
	var names []string
	for _, e := range resources.Entries {
		names = append(names, e.Key)
		if e.Key == r.from {
			r.places[e.At] = true
		}
		if d := e.Value.Get("depends_on"); d != nil {
			r.note(d)
			for _, item := range d.Items {
				r.note(item)
			}
		}
	}
	switch {
	case !slices.Contains(names, r.from):
		return fmt.Errorf("the template has no resource %q%s", r.from, nearest.Hint(r.from, names))
	case slices.Contains(names, r.to):
		return fmt.Errorf("the template has a resource %q already", r.to)
	}
	return nil
}

// references notes all functions that name the resource.
func (r *renaming) references(n *tree.Node) {
	for _, item := range n.Items {
		r.references(item)
	}
	for _, e := range n.Entries {
		switch {
		case len(n.Entries) != 1:
		case e.Key == "get_resource":
			r.note(e.Value)
		case e.Key == "get_attr" && len(e.Value.Items) > 0:
			r.note(e.Value.Items[0])
		}
		r.references(e.Value)
	}
}

// note notes a scalar that is the name.
func (r *renaming) note(n *tree.Node) {
	if n.Kind.Scalar() && n.Text == r.from {
		r.places[n.At] = true
	}
}

// apply writes the new name in all places.
func (r *renaming) apply(template string) (string, error) {
	lines := strings.SplitAfter(template, "\n")
	places := make([]tree.Place, 0, len(r.places))
	for p := range r.places {
		places = append(places, p)
	}
	// From the end of a line to its beginning, so that what is replaced moves nothing that is still to be.
	slices.SortFunc(places, func(a, b tree.Place) int { return cmp.Or(cmp.Compare(b.Line, a.Line), cmp.Compare(b.Column, a.Column)) })
	for _, p := range places {
		if p.Line < 1 || p.Line > len(lines) {
			return "", fmt.Errorf("line %d is beyond the end of the template", p.Line)
		}
		line := []rune(lines[p.Line-1])
		at := p.Column - 1
		if at >= 0 && at < len(line) && (line[at] == '"' || line[at] == '\'') {
			at++
		}
		old := []rune(r.from)
		if at < 0 || at+len(old) > len(line) || !slices.Equal(line[at:at+len(old)], old) {
			return "", fmt.Errorf("line %d, column %d: %q is not written plainly", p.Line, p.Column, r.from)
		}
		lines[p.Line-1] = string(line[:at]) + r.to + string(line[at+len(old):])
	}
	return strings.Join(lines, ""), nil
}
