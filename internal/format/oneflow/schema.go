package oneflow

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A property is one key of the schema of an object.
type property struct {
	key      string
	kind     string // "string", "integer", "array", "object" or "boolean"
	required bool
	fallback any // written if the key is absent or null; nil for none
	enum     []string
	minimum  int // of integers; anyInteger for none
	pattern  *regexp.Regexp
	items    *property // of arrays
	nested   []property
}

const (
	anyInteger = math.MinInt
	maxInteger = math.MaxInt32
)

var (
	shutdowns = []string{"terminate", "terminate-hard", "shutdown", "shutdown-hard"}
	word      = regexp.MustCompile(`\A[A-Za-z0-9_]+\z`)
	aString   = &property{kind: "string"}
	anObject  = &property{kind: "object"}
)

// The keys are visited in this order; the first that is wrong is told.
var serviceSchema = []property{
	{key: "name", kind: "string", required: true},
	{key: "deployment", kind: "string", enum: []string{"none", "straight"}, fallback: "none"},
	{key: "description", kind: "string", fallback: ""},
	{key: "shutdown_action", kind: "string", enum: shutdowns},
	{key: "roles", kind: "array", required: true, items: anObject},
	{key: "user_inputs", kind: "object"},
	{key: "user_inputs_values", kind: "object"},
	{key: "custom_attrs", kind: "object"},
	{key: "custom_attrs_values", kind: "object"},
	{key: "ready_status_gate", kind: "boolean"},
	{key: "networks", kind: "object"},
	{key: "networks_values", kind: "array", items: anObject},
	{key: "automatic_deletion", kind: "boolean"},
	{key: "on_hold", kind: "boolean"},
}

var policySchema = []property{
	{key: "type", kind: "string", enum: []string{"CHANGE", "CARDINALITY", "PERCENTAGE_CHANGE"}, required: true},
	{key: "adjust", kind: "integer", required: true, minimum: anyInteger},
	{key: "min_adjust_step", kind: "integer", minimum: 1},
	{key: "cooldown", kind: "integer"},
}

var elasticitySchema = slices.Concat(policySchema, []property{
	{key: "period_number", kind: "integer"},
	{key: "period", kind: "integer"},
	{key: "expression", kind: "string", required: true},
})

var scheduleSchema = slices.Concat(policySchema, []property{
	{key: "start_time", kind: "string"},
	{key: "recurrence", kind: "string"},
})

// roleSchema returns the schema of a role of the generation; virtual routers ignore what is about
// scaling.
func roleSchema(g Generation, router bool) []property {
	schema := []property{{key: "name", kind: "string", required: true, pattern: word}}
	if g == New {
		schema = append(schema,
			property{key: "type", kind: "string", required: true},
			property{key: "cardinality", kind: "integer", fallback: json.Number("0")},
			property{key: "template_id", kind: "integer", required: true},
			property{key: "template_contents", kind: "object"})
	} else {
		// Templates from the marketplace bring no vm_template; it counts as 0.
		schema = append(schema,
			property{key: "cardinality", kind: "integer", fallback: json.Number("1")},
			property{key: "vm_template", kind: "integer"},
			property{key: "vm_template_contents", kind: "string"})
	}
	schema = append(schema,
		property{key: "user_inputs", kind: "object"},
		property{key: "user_inputs_values", kind: "object"},
		property{key: "custom_attrs", kind: "object"},
		property{key: "custom_attrs_values", kind: "object"},
		property{key: "parents", kind: "array", items: aString},
		property{key: "on_hold", kind: "boolean"})
	if router {
		return schema
	}
	return append(schema,
		property{key: "shutdown_action", kind: "string", enum: shutdowns},
		property{key: "min_vms", kind: "integer"},
		property{key: "max_vms", kind: "integer"},
		property{key: "cooldown", kind: "integer"},
		property{key: "elasticity_policies", kind: "array", items: &property{kind: "object", nested: elasticitySchema}},
		property{key: "scheduled_policies", kind: "array", items: &property{kind: "object", nested: scheduleSchema}})
}

// conform checks the object at p against the schema, turns texts to integers where those belong,
// and writes defaults.
func (b *Body) conform(o *Object, schema []property, p path) error {
	for i := range schema {
		s := &schema[i]
		v := o.Get(s.key)
		if s.required && (v == nil || v == false) {
			return b.fail(Invalid, p, "Mandatory document key '%s (%s)' is missing from %s%s", s.key, s.kind, shorten(scalar(withoutValues(o))), misspelt(o, knownTo(schema), s.key))
		}
		if v == nil {
			if s.fallback != nil {
				o.Set(s.key, s.fallback)
			}
			continue
		}
		v, err := b.conformValue(v, s, s.key, p.with(s.key))
		if err != nil {
			return err
		}
		o.Set(s.key, v)
	}
	return nil
}

func knownTo(schema []property) func(key string) bool {
	return func(key string) bool {
		return slices.ContainsFunc(schema, func(s property) bool { return s.key == key })
	}
}

// misspelt hints at a key of the object that nothing knows and that may stand for the missing one.
func misspelt(o *Object, known func(key string) bool, missing string) string {
	for _, key := range o.Keys() {
		if _, near := nearest.Name(key, []string{missing}); near && !known(key) {
			return "; is '" + shorten(key) + "' meant for it?"
		}
	}
	return ""
}

func (b *Body) conformValue(v any, s *property, key string, p path) (any, error) {
	switch s.kind {
	case "string":
		text, ok := v.(string)
		switch {
		case !ok:
			return nil, b.fail(Invalid, p, "KEY: '%s' must be a String;", key)
		case s.enum != nil && !slices.Contains(s.enum, text):
			return nil, b.fail(Invalid, p, "KEY: '%s' must be one of %s;%s", key, strings.Join(s.enum, ", "), strings.TrimPrefix(nearest.Hint(text, s.enum), ";"))
		case s.pattern != nil && !s.pattern.MatchString(text):
			return nil, b.fail(Invalid, p, "KEY: '%s' must match regexp %s;", key, `\A\w+\z`)
		}
	case "integer":
		n, ok := integer(v)
		switch {
		case !ok:
			return nil, b.fail(Invalid, p, "KEY: '%s' must be an Integer;", key)
		case n < s.minimum:
			return nil, b.fail(Invalid, p, "KEY: '%s' must be greater than or equal to %d;", key, s.minimum)
		case n > maxInteger || n < -maxInteger:
			return nil, b.fail(Invalid, p, "KEY: '%s' must be between %d and %d;", key, -maxInteger, maxInteger)
		}
		return json.Number(strconv.Itoa(n)), nil
	case "boolean":
		if _, ok := v.(bool); !ok {
			return nil, b.fail(Invalid, p, "KEY: '%s' is not allowed in a boolean: write true or false", key)
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			return nil, b.fail(Invalid, p, "KEY: '%s' must be an Array;", key)
		}
		for i := range list {
			item, err := b.conformValue(list[i], s.items, key, p.with(i))
			if err != nil {
				return nil, err
			}
			list[i] = item
		}
	case "object":
		o, ok := v.(*Object)
		if !ok {
			return nil, b.fail(Invalid, p, "KEY: '%s' must be an Object;", key)
		}
		return o, b.conform(o, s.nested, p)
	}
	return v, nil
}

// integer reads a number, cut off at the point, or a text of decimal digits without leading zeros.
func integer(v any) (int, bool) {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		f = math.Trunc(f)
		return int(f), err == nil && math.Abs(f) < 1<<53
	case string:
		text := strings.TrimSpace(v)
		digits := strings.TrimLeft(text, "+-")
		if len(text)-len(digits) > 1 || len(digits) > 1 && digits[0] == '0' {
			return 0, false
		}
		n, err := strconv.ParseInt(text, 10, 54)
		return int(n), err == nil
	}
	return 0, false
}

// withoutValues copies what an error message quotes, and hides the values of inputs: some are secrets.
func withoutValues(v any) any {
	switch v := v.(type) {
	case *Object:
		c := new(Object)
		for _, k := range v.Keys() {
			if k == "user_inputs_values" || k == "custom_attrs_values" {
				c.Set(k, "***")
			} else {
				c.Set(k, withoutValues(v.Get(k)))
			}
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, x := range v {
			c[i] = withoutValues(x)
		}
		return c
	}
	return v
}

// shorten cuts what an error message quotes.
func shorten(text string) string {
	if len(text) > 500 {
		return strings.ToValidUTF8(text[:500], "") + "…"
	}
	return text
}
