package native

import (
	"errors"
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// Error and Errors are the mistakes in a document.
type (
	Error  = tree.Error
	Errors = tree.Errors
)

// A spot is where something of the specification came from.
type spot struct {
	at   tree.Place
	path string
}

// fail notes a mistake at the keys that are being read.
func (d *decoder) fail(at tree.Place, format string, args ...any) {
	d.failAt(spot{at, d.path}, fmt.Sprintf(format, args...))
}

func (d *decoder) failAt(s spot, text string) { d.errs.Note(s.at, s.path, text) }

// mark notes where a part of the specification came from.
func (d *decoder) mark(spec string, n *tree.Node) { d.spots[spec] = spot{n.At, d.path} }

// report notes what validation found.
func (d *decoder) report(err error) {
	var problems service.Problems
	if !errors.As(err, &problems) {
		return
	}
	for _, p := range problems {
		d.problem(p.Path, p.Text)
	}
}

// problem notes something wrong with a part of the specification, unless reading that part, or
// something within it, has failed already: then it is but an echo.
func (d *decoder) problem(path, text string) {
	s, ok := d.spots[path]
	for !ok {
		i := strings.LastIndexAny(path, ".[")
		path = path[:max(i, 0)]
		s, ok = d.spots[path]
	}
	for _, e := range d.errs {
		if within(e.Path, s.path) || within(s.path, e.Path) {
			return
		}
	}
	d.failAt(s, text)
}

// within reports whether path a leads through b.
func within(a, b string) bool {
	rest, ok := strings.CutPrefix(a, b)
	return ok && (b == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// tree reads a file; what keeps it from being read is noted.
func (d *decoder) tree(name string, data []byte) (*tree.Node, bool) {
	root, err := d.files.Read(name, data)
	var m *tree.Mistake
	if errors.As(err, &m) {
		d.fail(m.At, "%s", m.Text)
	}
	return root, err == nil
}
