package jinja

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// Values of templates are Go's bool, int, float64 and string, nil for what is missing, Objects, Functions, and the
// engine's mappings (exec.Dict) and slices. What a template makes itself is behind a pointer, so that it can change
// it in its place; what it is given is not.
type (
	none      bool // None, of a kind for which the engine's rules of truth hold
	list      []any
	tuple     []any
	object    struct{ Object }
	namespace struct{ fields *exec.Dict } // the one thing whose fields a template sets
)

// An Object is a thing of the host's with named values, which templates only read. MarshalJSON is for tojson,
// where there is one.
type Object interface {
	Attr(name string) (any, bool) // anything that NewValues takes
	Names() []string
	String() string
}

// A List is a list of the host's that many renderings share.
type List struct{ items []any }

// NewList makes a list for several renderings. Templates cannot change it.
func NewList[T any](items []T) *List { return &List{from(items).([]any)} }

func (none) String() string { return "None" }

// GetAttribute implements exec.AttributeGetter.
func (o object) GetAttribute(name string) (*exec.Value, bool) {
	v, ok := o.Attr(name)
	return exec.AsValue(from(v)), ok
}

// GetAttribute implements exec.AttributeGetter.
func (n *namespace) GetAttribute(name string) (*exec.Value, bool) { return find(*n.fields, name) }

// Values are the names that a template sees. They are turned into values of templates when first asked
// for, so share one for the templates that see the same; not between goroutines.
type Values struct {
	given map[string]any
	made  map[string]any
	busy  map[string]bool // being made
}

// A Lazy value is made when a template first asks for it. The context is the rendering's.
type Lazy func(ctx context.Context) (any, error)

// NewValues takes Go's basic kinds, maps with text as keys, slices, Lists, Objects and Functions, and Lazy for
// each of them. Nothing that a template says changes them.
func NewValues(given map[string]any) *Values {
	return &Values{given, map[string]any{}, map[string]bool{}}
}

func (v *Values) get(b *budget, name string) (any, bool) {
	if x, ok := v.made[name]; ok {
		return x, true
	}
	x, ok := v.given[name]
	if !ok {
		return nil, false
	}
	if lazy, ok := x.(Lazy); ok {
		if v.busy[name] {
			b.fail("%q is made from itself", name)
		}
		v.busy[name] = true
		made, err := lazy(b.ctx)
		delete(v.busy, name)
		if err != nil {
			b.fail("%v", err)
		}
		x = made
	}
	x = from(x)
	v.made[name] = x
	return x, true
}

// Names returns all names in order.
func (v *Values) Names() []string { return slices.Sorted(maps.Keys(v.given)) }

// from turns a value of Go, or of the engine's, into one of templates. What it does not know becomes text.
func from(v any) any {
	switch v := v.(type) {
	case nil:
		return none(false)
	case none, tuple, *list, exec.Dict, *exec.Dict, object, *namespace, *Function:
		return v
	case *exec.Value:
		return from(v.Interface())
	case *List:
		return v.items
	case Object:
		return object{v}
	case json.Number:
		if n, err := strconv.Atoi(v.String()); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	switch r := reflect.ValueOf(v); {
	case r.Kind() == reflect.Bool:
		return r.Bool()
	case r.CanInt():
		return int(r.Int())
	case r.CanUint():
		return int(r.Uint())
	case r.CanFloat():
		return r.Float()
	case r.Kind() == reflect.Slice || r.Kind() == reflect.Array:
		out := make([]any, r.Len())
		for i := range out {
			out[i] = from(r.Index(i).Interface())
		}
		if r.Kind() == reflect.Array {
			return tuple(out)
		}
		return out
	case r.Kind() == reflect.Map:
		d := &exec.Dict{}
		keys := r.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
		for _, k := range keys {
			d.Pairs = append(d.Pairs, pair(k.String(), from(r.MapIndex(k).Interface())))
		}
		return *d
	default:
		return r.String()
	}
}

// plain turns a value of templates into one of Go: nil, bool, int, float64, string, []any, map[string]any, Objects.
func plain(v any) any {
	switch v := v.(type) {
	case none:
		return nil
	case object:
		return v.Object
	}
	if items, ok := sequence(v); ok {
		out := make([]any, len(items))
		for i, x := range items {
			out[i] = plain(x)
		}
		return out
	}
	if d, ok := mapping(v); ok {
		out := make(map[string]any, len(d.Pairs))
		for _, p := range d.Pairs {
			out[p.Key.String()] = plain(p.Value.Interface())
		}
		return out
	}
	return v
}

// sequence returns the items of a list or tuple.
func sequence(v any) ([]any, bool) {
	switch v := v.(type) {
	case nil, string, bool, int:
		return nil, false
	case []any:
		return v, true
	case *list:
		return *v, true
	case tuple:
		return v, true
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice && r.Kind() != reflect.Array {
		return nil, false
	}
	out := make([]any, r.Len())
	for i := range out {
		out[i] = exec.ToValue(r.Index(i)).Interface()
	}
	return out, true
}

func isTuple(v any) bool {
	_, ok := v.(tuple)
	return ok || v != nil && reflect.TypeOf(v).Kind() == reflect.Array
}

// mapping returns a mapping.
func mapping(v any) (exec.Dict, bool) {
	switch v := v.(type) {
	case exec.Dict:
		return v, true
	case *exec.Dict:
		return *v, true
	}
	if m, ok := v.(map[string]any); ok { // of the engine's, or what tests as false
		return from(m).(exec.Dict), true
	}
	return exec.Dict{}, false
}

func pair(key, value any) *exec.Pair {
	return &exec.Pair{Key: exec.AsValue(key), Value: exec.AsValue(value)}
}

func find(d exec.Dict, key any) (*exec.Value, bool) {
	for _, p := range d.Pairs {
		if equal(p.Key.Interface(), key) {
			return p.Value, true
		}
	}
	return exec.AsValue(nil), false
}

func put(d *exec.Dict, key, value any) {
	for _, p := range d.Pairs {
		if equal(p.Key.Interface(), key) {
			p.Value = exec.AsValue(value)
			return
		}
	}
	d.Pairs = append(d.Pairs, pair(key, value))
}

// whole returns a whole number, as which True and False count too.
func whole(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case int64: // of the engine's filters
		return int(v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func real(v any) (float64, bool) {
	if f, ok := v.(float64); ok {
		return f, true
	}
	i, ok := whole(v)
	return float64(i), ok
}

// kindOf names the kind of a value as Python does.
func kindOf(v any) string {
	if name, ok := kinds[fmt.Sprintf("%T", v)]; ok {
		return name
	}
	return "object"
}

var kinds = map[string]string{
	"<nil>": "a missing value", "jinja.none": "None", "bool": "bool", "int": "int", "float64": "float", "string": "str", "jinja.tuple": "tuple",
	"*jinja.list": "list", "[]interface {}": "list", "[]string": "list", "*exec.Dict": "dict", "exec.Dict": "dict",
}

func equal(x, y any) bool {
	if i, ok := real(x); ok {
		j, ok := real(y)
		return ok && i == j
	}
	if l, ok := sequence(x); ok {
		m, ok := sequence(y)
		return ok && isTuple(x) == isTuple(y) && slices.EqualFunc(l, m, equal)
	}
	if d, ok := mapping(x); ok {
		e, ok := mapping(y)
		return ok && len(d.Pairs) == len(e.Pairs) && !slices.ContainsFunc(d.Pairs, func(p *exec.Pair) bool {
			v, ok := find(e, p.Key.Interface())
			return !ok || !equal(p.Value.Interface(), v.Interface())
		})
	}
	return x == nil && y == nil || x != nil && y != nil && reflect.TypeOf(x) == reflect.TypeOf(y) && reflect.TypeOf(x).Comparable() && x == y
}
