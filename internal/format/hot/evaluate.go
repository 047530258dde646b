package hot

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// A misplaced error says what cannot be evaluated, and where.
type misplaced struct {
	at   tree.Place
	text string
}

func (m *misplaced) Error() string { return m.text }

func wrong(at tree.Place, format string, args ...any) error {
	return &misplaced{at, fmt.Sprintf(format, args...)}
}

// located puts a place to an error that has none.
func located(at tree.Place, err error) error {
	if m := (*misplaced)(nil); err == nil || errors.As(err, &m) {
		return err
	}
	return &misplaced{at, err.Error()}
}

// omitted is the value of a place that is left out.
type omitted struct{}

// A frame is where values are evaluated.
type frame struct {
	*stack
	r    *resource      // whose definition it is; nil for outputs and conditions
	vars map[string]any // of repeat, and the number of a group's member: texts that are replaced
}

// spend counts a value of so many bytes against what an evaluation may make.
func (e *evaluation) spend(at tree.Place, bytes int) error {
	e.steps++
	e.made += bytes
	if e.steps > maxSteps {
		return wrong(at, "the template makes more than %d values", maxSteps)
	}
	if e.made > maxMade {
		return wrong(at, "the template makes more than %d bytes of text", maxMade)
	}
	return nil
}

// eval returns the value of a node: functions are carried out.
func (f *frame) eval(n *tree.Node) (any, error) {
	if n == nil {
		return nil, nil
	}
	if err := f.e.spend(n.At, 0); err != nil {
		return nil, err
	}
	switch n.Kind {
	case tree.Text:
		text, err := plainText(n.At, n.Text)
		if err != nil || len(f.vars) == 0 {
			return text, err
		}
		return f.replaceVars(n.At, text)
	case tree.List:
		out := make([]any, 0, len(n.Items))
		for _, item := range n.Items {
			v, err := f.eval(item)
			if err != nil {
				return nil, err
			}
			if _, gone := v.(omitted); !gone {
				out = append(out, v)
			}
		}
		return out, nil
	case tree.Mapping:
		if len(n.Entries) == 1 && has(f.t.version, n.Entries[0].Key) {
			v, err := f.call(n.Entries[0].Key, n.Entries[0].Value)
			if err != nil {
				return nil, located(n.At, err)
			}
			return v, f.e.spend(n.At, sizeOf(v))
		}
		out := make(map[string]any, len(n.Entries))
		for _, e := range n.Entries {
			v, err := f.eval(e.Value)
			if err != nil {
				return nil, err
			}
			key := e.Key
			if len(f.vars) > 0 {
				k, err := f.replaceVars(e.At, key)
				if err != nil {
					return nil, err
				}
				key = scalarText(k)
			}
			if _, gone := v.(omitted); !gone {
				out[key] = v
			}
		}
		return out, nil
	}
	return n.Any(), nil
}

// sizeOf is how many bytes of text a value holds, as far as it is not nested.
func sizeOf(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []any:
		return 16 * len(v)
	case map[string]any:
		return 32 * len(v)
	}
	return 0
}

// replaceVars puts the values of variables into a text. A text that is a variable and nothing else has its value,
// whatever that is.
func (f *frame) replaceVars(at tree.Place, text string) (any, error) {
	for _, name := range slices.Sorted(maps.Keys(f.vars)) {
		if !strings.Contains(text, name) {
			continue
		}
		v := f.vars[name]
		if text == name {
			return v, nil
		}
		var err error
		if text, err = f.replaced(at, text, name, v); err != nil {
			return nil, err
		}
	}
	return text, nil
}

func (f *frame) replaced(at tree.Place, text, name string, v any) (string, error) {
	with, err := written(v)
	if err != nil {
		return "", wrong(at, "%s: %v", name, err)
	}
	n := strings.Count(text, name)
	if err := f.e.spend(at, len(text)+n*(len(with)-len(name))); err != nil {
		return "", err
	}
	return strings.ReplaceAll(text, name, with), nil
}

// dig follows a path into a value, as get_param and get_attr do. What is not there is nil.
func dig(v any, path []any) (any, error) {
	for _, step := range path {
		switch at := v.(type) {
		case wild:
			v = at.of(scalarText(step))
		case map[string]any:
			v = at[scalarText(step)]
		case []any:
			i, err := strconv.Atoi(scalarText(step))
			if err != nil {
				return nil, fmt.Errorf("%q is no place in a list of %d", scalarText(step), len(at))
			}
			if i < 0 {
				i += len(at)
			}
			if i < 0 || i >= len(at) {
				return nil, nil
			}
			v = at[i]
		case nil:
			return nil, nil
		default:
			return nil, fmt.Errorf("there is no %q in %.60q", scalarText(step), scalarOrKind(v))
		}
	}
	if w, ok := v.(wild); ok {
		return w.known, nil
	}
	return v, nil
}

// A wild value is a mapping that answers to any key: what a network is called is often known only later.
type wild struct {
	known map[string]any
	other any
}

func (w wild) of(key string) any {
	if v, ok := w.known[key]; ok {
		return v
	}
	return w.other
}

// condition reports whether a condition holds: one by name, or an expression.
func (f *frame) condition(n *tree.Node) (bool, error) {
	if n == nil {
		return true, nil
	}
	if n.Kind == tree.Text {
		return f.conditionNamed(n.At, n.Text)
	}
	v, err := f.eval(n)
	if err != nil {
		return false, err
	}
	return holds(n.At, v)
}

func holds(at tree.Place, v any) (bool, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		if b, ok := truth(v); ok {
			return b, nil
		}
		if marked(v) {
			return false, wrong(at, "a condition cannot look at what is known only once it is there")
		}
	}
	return false, wrong(at, "expected true or false, found %.60q", scalarOrKind(v))
}

// conditionNamed evaluates a condition of the template once.
func (s *stack) conditionNamed(at tree.Place, name string) (bool, error) {
	if c, ok := s.conds[name]; ok {
		if c == open {
			return false, wrong(at, "the condition %q needs itself", name)
		}
		return c == yes, nil
	}
	for _, e := range s.t.conditions {
		if e.Key != name {
			continue
		}
		s.conds[name] = open
		b, err := (&frame{stack: s}).condition(e.Value)
		delete(s.conds, name)
		if err != nil {
			return false, err
		}
		if s.conds[name] = no; b {
			s.conds[name] = yes
		}
		return b, nil
	}
	if b, ok := truth(name); ok {
		return b, nil
	}
	var names []string
	for _, e := range s.t.conditions {
		names = append(names, e.Key)
	}
	return false, wrong(at, "no condition %q%s", name, nearest.Hint(name, names))
}

// What is known of a condition.
type verdict uint8

const (
	open verdict = iota // it is being evaluated
	no
	yes
)
