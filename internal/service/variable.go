package service

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
)

// Values are named values of any kind for templates: text, numbers, booleans, null, lists and mappings. Unlike
// those of a plain map, whole numbers stay whole numbers, and 3.0 stays 3.0, when they are stored.
type Values map[string]any

// MarshalJSON writes floats with a point or an exponent.
func (v Values) MarshalJSON() ([]byte, error) {
	return json.Marshal(marked(map[string]any(v)))
}

// A pointed number is written with a point.
type pointed float64

// MarshalJSON writes the number.
func (p pointed) MarshalJSON() ([]byte, error) {
	f := float64(p)
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, fmt.Errorf("the number %v cannot be stored", f)
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return []byte(s), nil
}

func marked(v any) any {
	switch v := v.(type) {
	case float64:
		return pointed(v)
	case float32:
		return pointed(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = marked(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = marked(x)
		}
		return out
	}
	return v
}

// UnmarshalJSON reads whole numbers as int64, others as float64.
func (v *Values) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil {
		return err
	}
	for k, x := range all {
		all[k] = unmarked(x)
	}
	*v = all
	return nil
}

func unmarked(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case map[string]any:
		for k, x := range v {
			v[k] = unmarked(x)
		}
	case []any:
		for i, x := range v {
			v[i] = unmarked(x)
		}
	}
	return v
}

// VariablesOf returns what templates of a role see as variables: those of its machine, with the service's laid
// over them, and the role's over both.
func (s *Spec) VariablesOf(r *RoleSpec) Values {
	return r.Machine.Variables.Under(s.Variables).Under(r.Variables)
}

// Under returns the values with others laid over them: mappings are merged, however deep; anything else, lists
// too, is replaced. It is one of the two where the other says nothing, so that neither may change.
func (v Values) Under(above Values) Values {
	switch {
	case len(above) == 0:
		return v
	case len(v) == 0:
		return above
	}
	out := maps.Clone(v)
	for k, x := range above {
		if over, ok := x.(map[string]any); ok {
			if below, ok := out[k].(map[string]any); ok {
				x = map[string]any(Values(below).Under(over))
			}
		}
		out[k] = x
	}
	return out
}
