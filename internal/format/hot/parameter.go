package hot

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Parameter is what a template asks of its user.
type Parameter struct {
	Name        string
	Type        string // string, number, json, comma_delimited_list or boolean
	Label       string
	Description string
	Default     any // nil for none
	HasDefault  bool
	Hidden      bool // never shown
	Immutable   bool // an update may not change it
	Tags        []string
	Constraints []Constraint

	at tree.Place
}

// A Constraint is what a parameter's value must keep. One of its parts is set.
type Constraint struct {
	Description string
	Length      *Bounds
	Range       *Bounds
	Modulo      *Modulo
	Allowed     []any
	Pattern     string
	Custom      string // the name of a kind of object, such as nova.flavor; nothing checks it

	pattern *regexp.Regexp
}

// Bounds are the least and the most; nil for none.
type Bounds struct{ Min, Max *float64 }

// A Modulo says that a number is Offset more than a multiple of Step.
type Modulo struct{ Step, Offset float64 }

var (
	parameterKeys  = []string{"type", "label", "description", "default", "hidden", "constraints", "immutable", "tags"}
	parameterTypes = []string{"string", "number", "json", "comma_delimited_list", "boolean"}
	constraintKeys = []string{"length", "range", "modulo", "allowed_values", "allowed_pattern", "custom_constraint", "description"}
)

func (d *document) parameter(e tree.Entry, where string) Parameter {
	p := Parameter{Name: e.Key, Type: "string", at: e.At}
	if e.Value.Kind != tree.Mapping {
		d.fail(e.Value.At, where, "expected the keys of a parameter, found %s", e.Value.Kind)
		return p
	}
	var fallback *tree.Node
	for _, k := range e.Value.Entries {
		at := where + "." + k.Key
		if !d.known(k, at, parameterKeys) {
			continue
		}
		switch k.Key {
		case "type":
			if p.Type = d.text(k.Value, at); !slices.Contains(parameterTypes, p.Type) {
				d.fail(k.Value.At, at, "no type %q%s; there are %s", p.Type, nearest.Hint(p.Type, parameterTypes), strings.Join(parameterTypes, ", "))
				p.Type = "string"
			}
		case "label":
			p.Label = d.text(k.Value, at)
		case "description":
			p.Description = d.text(k.Value, at)
		case "default":
			fallback = k.Value
		case "hidden":
			p.Hidden = d.boolean(k.Value, at)
		case "immutable":
			p.Immutable = d.boolean(k.Value, at)
		case "tags":
			p.Tags = d.names(k.Value, at)
		case "constraints":
			p.Constraints = d.constraints(k.Value, at)
		}
	}
	if e.Value.Get("type") == nil {
		d.fail(e.At, where, "the parameter needs a type: %s", strings.Join(parameterTypes, ", "))
	}
	if fallback != nil && fallback.Kind != tree.Null {
		v, err := p.read(given(fallback))
		if err == nil {
			err = p.keeps(v)
		}
		if err != nil {
			d.fail(fallback.At, where+".default", "%v", err)
		}
		p.Default, p.HasDefault = v, true
	}
	return p
}

// given returns the value of a node as it is given for a parameter: scalars as text.
func given(n *tree.Node) any {
	if n.Kind.Scalar() {
		return n.Text
	}
	return n.Any()
}

func (d *document) boolean(n *tree.Node, where string) bool {
	b, ok := truth(n.Text)
	if !ok || !n.Kind.Scalar() {
		d.fail(n.At, where, "expected true or false, found %s", n.Found())
	}
	return b
}

// truth reads the words that stand for true and false.
func truth(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "t", "true", "on", "y", "yes", "1":
		return true, true
	case "f", "false", "off", "n", "no", "0":
		return false, true
	}
	return false, false
}

func (d *document) constraints(n *tree.Node, where string) (out []Constraint) {
	if n.Kind == tree.Null {
		return nil
	}
	if n.Kind != tree.List {
		d.fail(n.At, where, "expected a list of constraints, found %s", n.Kind)
		return nil
	}
	for i, item := range n.Items {
		var c Constraint
		d.entries(item, fmt.Sprintf("%s[%d]", where, i), func(k tree.Entry, at string) {
			if !d.known(k, at, constraintKeys) {
				return
			}
			switch k.Key {
			case "description":
				c.Description = d.text(k.Value, at)
			case "length":
				c.Length = d.bounds(k.Value, at)
			case "range":
				c.Range = d.bounds(k.Value, at)
			case "modulo":
				c.Modulo = &Modulo{}
				d.entries(k.Value, at, func(m tree.Entry, at string) {
					switch f := d.number(m.Value, at); m.Key {
					case "step":
						c.Modulo.Step = f
					case "offset":
						c.Modulo.Offset = f
					default:
						d.known(m, at, []string{"step", "offset"})
					}
				})
				if c.Modulo.Step == 0 {
					d.fail(k.Value.At, at, "step may not be 0")
				}
			case "allowed_values":
				if k.Value.Kind == tree.List {
					c.Allowed = k.Value.Any().([]any)
				} else {
					d.fail(k.Value.At, at, "expected a list of values, found %s", k.Value.Kind)
				}
			case "allowed_pattern":
				c.Pattern = d.text(k.Value, at)
				var err error
				if c.pattern, err = regexp.Compile("^(?:" + c.Pattern + ")$"); err != nil {
					d.fail(k.Value.At, at, "the pattern cannot be read: %v", err)
				}
			case "custom_constraint":
				c.Custom = d.text(k.Value, at)
			}
		})
		out = append(out, c)
	}
	return out
}

func (d *document) bounds(n *tree.Node, where string) *Bounds {
	b := &Bounds{}
	d.entries(n, where, func(e tree.Entry, at string) {
		if e.Value.Kind == tree.Null || !d.known(e, at, []string{"min", "max"}) {
			return
		}
		f := d.number(e.Value, at)
		if e.Key == "min" {
			b.Min = &f
		} else {
			b.Max = &f
		}
	})
	if b.Min == nil && b.Max == nil && n.Kind == tree.Mapping {
		d.fail(n.At, where, "expected min, max or both")
	}
	return b
}

func (d *document) number(n *tree.Node, where string) float64 {
	f, err := strconv.ParseFloat(n.Text, 64)
	if err != nil || !n.Kind.Scalar() {
		d.fail(n.At, where, "expected a number, found %s", n.Found())
	}
	return f
}

// read turns what is given for the parameter into a value of its type.
func (p *Parameter) read(v any) (any, error) {
	switch p.Type {
	case "number":
		text := scalarText(v)
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return int(i), nil
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f, nil
		}
		return nil, fmt.Errorf("expected a number, found %q", text)
	case "boolean":
		b, ok := truth(scalarText(v))
		if !ok {
			return nil, fmt.Errorf("expected true or false, found %q", scalarText(v))
		}
		return b, nil
	case "comma_delimited_list":
		return listOf(v)
	case "json":
		return objectOf(v)
	}
	switch v.(type) {
	case []any, map[string]any:
		text, err := json.Marshal(v)
		return string(text), err
	}
	return scalarText(v), nil
}

// scalarText writes a scalar as text.
func scalarText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func listOf(v any) (any, error) {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = scalarText(x)
		}
		return out, nil
	case map[string]any:
		return nil, errors.New("expected texts with commas between them, or a list, found keys and values")
	}
	text := scalarText(v)
	if text == "" {
		return []any{}, nil
	}
	parts := strings.Split(text, ",")
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = strings.TrimSpace(p)
	}
	return out, nil
}

func objectOf(v any) (any, error) {
	text, ok := v.(string)
	if !ok {
		return v, nil
	}
	if text == "" {
		return map[string]any{}, nil
	}
	var out any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("expected JSON, found %.60q: %w", text, err)
	}
	switch out.(type) {
	case map[string]any, []any:
		return whole(out), nil
	}
	return nil, fmt.Errorf("expected a JSON object or list, found %.60q", text)
}

// whole turns numbers without a fraction into ints, as YAML has them.
func whole(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int(v)
		}
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = whole(v[k])
		}
	}
	return v
}

// keeps says which constraint a value breaks.
func (p *Parameter) keeps(v any) error {
	for i := range p.Constraints {
		c := &p.Constraints[i]
		if err := c.check(v); err != nil {
			shown := fmt.Sprintf("%.60q", scalarOrKind(v))
			if p.Hidden {
				shown = "the value"
			}
			if c.Description != "" {
				return fmt.Errorf("%s: %w (%s)", shown, err, strings.TrimSpace(c.Description))
			}
			return fmt.Errorf("%s: %w", shown, err)
		}
	}
	return nil
}

func scalarOrKind(v any) string {
	switch v := v.(type) {
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	case map[string]any:
		return fmt.Sprintf("a mapping of %d", len(v))
	}
	return scalarText(v)
}

func numeric(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func (c *Constraint) check(v any) error {
	switch {
	case c.Length != nil:
		n := 0
		switch v := v.(type) {
		case []any:
			n = len(v)
		case map[string]any:
			n = len(v)
		default:
			n = utf8.RuneCountInString(scalarText(v))
		}
		if !c.Length.holds(float64(n)) {
			return fmt.Errorf("its length is %d, which is not %s", n, c.Length)
		}
	case c.Range != nil:
		if f, ok := numeric(v); ok && !c.Range.holds(f) {
			return fmt.Errorf("it is not %s", c.Range)
		}
	case c.Modulo != nil:
		if f, ok := numeric(v); ok && math.Mod(f-c.Modulo.Offset, c.Modulo.Step) != 0 {
			return fmt.Errorf("it is not %v more than a multiple of %v", c.Modulo.Offset, c.Modulo.Step)
		}
	case c.Allowed != nil:
		all := []any{v}
		if list, ok := v.([]any); ok {
			all = list
		}
		var names []string
		for _, a := range c.Allowed {
			names = append(names, scalarText(a))
		}
		for _, x := range all {
			if !slices.Contains(names, scalarText(x)) {
				return fmt.Errorf("it is none of %s%s", strings.Join(names, ", "), nearest.Hint(scalarText(x), names))
			}
		}
	case c.pattern != nil:
		if !c.pattern.MatchString(scalarText(v)) {
			return fmt.Errorf("it does not match the pattern %s", c.Pattern)
		}
	}
	return nil
}

func (b *Bounds) holds(f float64) bool {
	return (b.Min == nil || f >= *b.Min) && (b.Max == nil || f <= *b.Max)
}

func (b *Bounds) String() string {
	switch {
	case b.Max == nil:
		return fmt.Sprintf("%v or more", *b.Min)
	case b.Min == nil:
		return fmt.Sprintf("%v or less", *b.Max)
	}
	return fmt.Sprintf("between %v and %v", *b.Min, *b.Max)
}
