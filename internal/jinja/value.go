package jinja

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// Values of templates are nil (None), bool, int64, *big.Int (beyond 64 bits), float64, string, *List, Tuple,
// *Dict, *Undefined, *Function and Objects.
type (
	// A List is a list.
	List struct {
		Items  []any // values
		frozen bool
	}
	// A Tuple is a list that cannot change.
	Tuple []any
	// A Dict is a mapping that keeps the order in which its keys came.
	Dict struct {
		keys, values []any
		index        map[string]int
		frozen       bool
	}
	// An Object is a thing of the host's with named values, which templates only read. MarshalJSON is
	// for tojson, where there is one.
	Object interface {
		Attr(name string) (any, bool) // anything that From takes
		Names() []string
		String() string
	}
	// Undefined is what a missing name gives.
	Undefined struct {
		name  string
		among func() []string // names that could have been meant
	}
	// named is a tuple whose items have names, too.
	named struct {
		Tuple
		names []string
	}
)

// Values are the names that a template sees. They are turned into values of templates when first asked
// for, so share one for the templates that see the same; not between goroutines.
type Values struct {
	given map[string]any
	made  map[string]any
	busy  map[string]bool // being made
}

// A Lazy value is made when a template first asks for it. The context is the rendering's.
type Lazy func(ctx context.Context) (any, error)

// NewValues takes Go's basic kinds, maps with text as keys, slices, Objects and Functions, and Lazy for
// each of them. Nothing that a template says changes them.
func NewValues(given map[string]any) *Values {
	return &Values{given, map[string]any{}, map[string]bool{}}
}

func (v *Values) get(r *run, name string) (any, bool) {
	if x, ok := v.made[name]; ok {
		return x, true
	}
	x, ok := v.given[name]
	if !ok {
		return nil, false
	}
	if lazy, ok := x.(Lazy); ok {
		if v.busy[name] {
			r.fail("%q is made from itself", name)
		}
		v.busy[name] = true
		made, err := lazy(r.ctx)
		delete(v.busy, name)
		if err != nil {
			r.fail("%v", err)
		}
		x = made
	}
	x = From(x)
	v.made[name] = x
	return x, true
}

// Names returns all names in order.
func (v *Values) Names() []string {
	return slices.Sorted(maps.Keys(v.given))
}

// NewList makes a list for several renderings. Templates cannot change it.
func NewList[T any](items []T) *List {
	l := &List{Items: make([]any, len(items)), frozen: true}
	for i, x := range items {
		l.Items[i] = From(x)
	}
	return l
}

// From turns a value of Go into one of templates. What it does not know becomes text.
func From(v any) any { return from(v, 0) }

func from(v any, depth int) any {
	if depth > maxNested {
		return "…"
	}
	switch v := v.(type) {
	case nil, bool, int64, float64, string, *big.Int, *List, Tuple, *Dict, *Undefined, *Function, Object:
		return v
	case int:
		return int64(v)
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		l := &List{Items: make([]any, len(v)), frozen: true}
		for i, x := range v {
			l.Items[i] = from(x, depth+1)
		}
		return l
	case map[string]any:
		d := newDict()
		for _, k := range slices.Sorted(maps.Keys(v)) {
			d.set(k, from(v[k], depth+1))
		}
		d.frozen = true
		return d
	}
	return reflected(reflect.ValueOf(v), depth)
}

func reflected(v reflect.Value, depth int) any {
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool()
	case reflect.String:
		return v.String()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return small(new(big.Int).SetUint64(v.Uint()))
	case reflect.Float32, reflect.Float64:
		return v.Float()
	case reflect.Slice, reflect.Array:
		l := &List{frozen: true}
		for i := range v.Len() {
			l.Items = append(l.Items, from(v.Index(i).Interface(), depth+1))
		}
		return l
	case reflect.Map:
		all := map[string]any{}
		for it := v.MapRange(); it.Next(); {
			all[it.Key().String()] = it.Value().Interface()
		}
		return from(all, depth)
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return from(v.Elem().Interface(), depth+1)
	}
	return v.String()
}

func newDict() *Dict { return &Dict{index: map[string]int{}} }

// hash returns a text that is the same for equal keys; false for what cannot be a key.
func hash(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return "s" + v, true
	case nil:
		return "n", true
	case Tuple:
		all := "t"
		for _, x := range v {
			h, ok := hash(x)
			if !ok {
				return "", false
			}
			all += strconv.Itoa(len(h)) + h
		}
		return all, true
	case bool, int64, *big.Int, float64:
		if z, ok := whole(v); ok {
			return "i" + z.String(), true
		}
		return "f" + pyFloat(v.(float64)), true
	}
	return "", false
}

// Get returns what stands under a key.
func (d *Dict) Get(key any) (any, bool) { return d.get(key) }

func (d *Dict) get(key any) (any, bool) {
	if h, ok := hash(key); ok {
		if i, ok := d.index[h]; ok {
			return d.values[i], true
		}
	}
	return nil, false
}

// set reports whether the key can be one.
func (d *Dict) set(key, value any) bool {
	h, ok := hash(key)
	if !ok {
		return false
	}
	if i, ok := d.index[h]; ok {
		d.values[i] = value
		return true
	}
	d.index[h] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, value)
	return true
}

func (d *Dict) remove(key any) {
	h, _ := hash(key)
	at, ok := d.index[h]
	if !ok {
		return
	}
	d.keys, d.values = slices.Delete(d.keys, at, at+1), slices.Delete(d.values, at, at+1)
	delete(d.index, h)
	for k, i := range d.index {
		if i > at {
			d.index[k] = i - 1
		}
	}
}

func (d *Dict) copy() *Dict {
	return &Dict{keys: slices.Clone(d.keys), values: slices.Clone(d.values), index: maps.Clone(d.index)}
}

// names returns the keys that are text.
func (d *Dict) names() []string {
	var out []string
	for _, k := range d.keys {
		if s, ok := k.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func hint(given string, known []string) string { return nearest.Hint(given, known) }

// kindOf names the kind of a value as Python does.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case *List:
		return "list"
	case Tuple, named:
		return "tuple"
	case *Dict:
		return "dict"
	case *Function:
		return "function"
	}
	return "object"
}

// lacks ends the rendering: something was done with a missing value.
func (r *run) lacks(u *Undefined) {
	var known []string
	if u.among != nil {
		known = u.among()
	}
	r.fail("no value %q%s", u.name, hint(u.name, known))
}

// used passes a value on that is about to be used: a missing one is an error in strict renderings.
func (r *run) used(v any) any {
	if u, ok := v.(*Undefined); ok && r.strict {
		r.lacks(u)
	}
	return v
}

func (r *run) truth(v any) bool {
	switch v := r.used(v).(type) {
	case nil, *Undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *List:
		return len(v.Items) > 0
	case Tuple:
		return len(v) > 0
	case *Dict:
		return len(v.keys) > 0
	}
	return true
}

// items returns what a value iterates over, false when it does not.
func (r *run) items(v any) ([]any, bool) {
	switch v := r.used(v).(type) {
	case *Undefined:
		return nil, true
	case *List:
		return v.Items, true
	case Tuple:
		return v, true
	case named:
		return v.Tuple, true
	case *Dict:
		return v.keys, true
	case string:
		r.spend(16 * len(v))
		out := make([]any, 0, len(v))
		for _, c := range v {
			out = append(out, string(c))
		}
		return out, true
	}
	return nil, false
}

func (r *run) mustItems(v any) []any {
	out, ok := r.items(v)
	if !ok {
		r.fail("%s is no list", r.short(v))
	}
	return out
}

func (r *run) length(v any) int {
	switch v := r.used(v).(type) {
	case string:
		return utf8.RuneCountInString(v)
	case *Undefined, *List, Tuple, named, *Dict:
		all, _ := r.items(v)
		return len(all)
	}
	r.fail("%s has no length", r.short(v))
	return 0
}

// short is a value's text for messages.
func (r *run) short(v any) string {
	if u, ok := v.(*Undefined); ok {
		return "the missing value " + strconv.Quote(u.name)
	}
	if n, ok := v.(interface{ String() string }); ok {
		return strings.ToValidUTF8(n.String()[:min(len(n.String()), 40)], "")
	}
	switch v.(type) {
	case *List, *Dict, Tuple, named:
		return "a " + kindOf(v)
	}
	t := r.repr(v)
	return strings.ToValidUTF8(t[:min(len(t), 40)], "")
}

func isNumber(v any) bool {
	switch v.(type) {
	case bool, int64, *big.Int, float64:
		return true
	}
	return false
}

// whole returns a number that has no fraction; false for others.
func whole(v any) (*big.Int, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return big.NewInt(1), true
		}
		return new(big.Int), true
	case int64:
		return big.NewInt(v), true
	case *big.Int:
		return v, true
	case float64:
		if v == math.Trunc(v) && !math.IsInf(v, 0) {
			z, _ := big.NewFloat(v).Int(nil)
			return z, true
		}
	}
	return nil, false
}

func small(z *big.Int) any {
	if z.IsInt64() {
		return z.Int64()
	}
	return z
}

func asFloat(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case int64:
		return float64(v)
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f
	case bool:
		if v {
			return 1
		}
	}
	return 0
}
