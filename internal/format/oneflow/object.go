package oneflow

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// An Object is a JSON object that keeps the order in which its keys came. Values are *Object, []any,
// string, json.Number, bool or nil. The zero value is empty and ready.
type Object struct {
	keys   []string
	values map[string]any
}

// Get returns the value of the key, or nil.
func (o *Object) Get(key string) any { return o.values[key] }

// Has reports whether the key is there, be it with the value null.
func (o *Object) Has(key string) bool {
	_, ok := o.values[key]
	return ok
}

// Set gives the key a value; a new key comes last.
func (o *Object) Set(key string, value any) {
	if !o.Has(key) {
		o.keys = append(o.keys, key)
	}
	if o.values == nil {
		o.values = make(map[string]any)
	}
	o.values[key] = value
}

// Delete removes the key.
func (o *Object) Delete(key string) {
	if o.Has(key) {
		delete(o.values, key)
		o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
	}
}

// Keys returns the keys in order. It must not be changed.
func (o *Object) Keys() []string { return o.keys }

// Object returns the object at key, or an empty one if there is no object.
func (o *Object) Object(key string) *Object {
	if v, ok := o.values[key].(*Object); ok {
		return v
	}
	return new(Object)
}

// Array returns the array at key, or nil.
func (o *Object) Array(key string) []any {
	v, _ := o.values[key].([]any)
	return v
}

// Text returns the string at key, or "".
func (o *Object) Text(key string) string {
	v, _ := o.values[key].(string)
	return v
}

// Bool returns whether the value at key is true.
func (o *Object) Bool(key string) bool { return o.values[key] == true }

// Int returns the integer at key and whether there is one.
func (o *Object) Int(key string) (int, bool) {
	n, ok := o.values[key].(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(string(n))
	return i, err == nil
}

// SetInt gives the key an integer.
func (o *Object) SetInt(key string, n int) { o.Set(key, json.Number(strconv.Itoa(n))) }

// Clone returns a deep copy.
func (o *Object) Clone() *Object { return clone(o).(*Object) }

func clone(v any) any {
	switch v := v.(type) {
	case *Object:
		c := &Object{keys: slices.Clone(v.keys), values: make(map[string]any, len(v.values))}
		for k, x := range v.values {
			c.values[k] = clone(x)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, x := range v {
			c[i] = clone(x)
		}
		return c
	}
	return v
}

// MarshalJSON writes the object compactly, keys in order.
func (o *Object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	write(&b, o)
	return b.Bytes(), nil
}

func write(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case *Object:
		b.WriteByte('{')
		for i, k := range v.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, k)
			b.WriteByte(':')
			write(b, v.values[k])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, x)
		}
		b.WriteByte(']')
	case json.Number:
		b.WriteString(string(v))
	case string:
		if unescaped(v) {
			b.WriteByte('"')
			b.WriteString(v)
			b.WriteByte('"')
			return
		}
		encode(b, v)
	default:
		encode(b, v)
	}
}

// unescaped reports whether a text needs no escapes in JSON.
func unescaped(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func encode(b *bytes.Buffer, v any) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // strings, booleans and null cannot fail
	b.Truncate(b.Len() - 1)
}

// scalar returns the text of a value: a string as it is, anything else as JSON, null as "".
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return string(v)
	}
	var b bytes.Buffer
	write(&b, v)
	return b.String()
}

// Equal reports whether two values mean the same: the order of keys does not count, nor does the
// spelling of a number.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case *Object:
		b, ok := b.(*Object)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		for _, k := range a.keys {
			if !b.Has(k) || !Equal(a.values[k], b.values[k]) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, Equal)
	case json.Number:
		b, ok := b.(json.Number)
		if !ok || a == b {
			return ok
		}
		x, err1 := a.Float64()
		y, err2 := b.Float64()
		return err1 == nil && err2 == nil && x == y
	}
	return a == b
}
