package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"github.com/troupe-dev/troupe/internal/metric"
)

// maxDepth bounds the nesting of JSON: what is deeper is no metric.
const maxDepth = 32

// A MetricError says which element of a request is refused and why. Faces answer 422; the text ends with the name
// of the metric, as Monasca's clients expect.
type MetricError struct {
	Element int    // from 0
	Name    string // "" when that is what is missing
	Err     error
}

func (e *MetricError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("element %d: %v", e.Element, e.Err)
	}
	return fmt.Sprintf("element %d: %v, in metric %.255s", e.Element, e.Err, e.Name)
}

func (e *MetricError) Unwrap() error { return e.Err }

// ErrSyntax is wrapped when a request is not in its format at all; faces answer 400.
var ErrSyntax = errors.New("malformed request")

// DecodeMonasca adds the metrics of a Monasca request: one object or an array of them. A single bad one refuses
// all: the error is then a *MetricError, and wraps ErrSyntax when the body is no JSON.
func DecodeMonasca(b *Batch, body []byte) error {
	if err := checkDepth(body); err != nil {
		return err
	}
	b.strict = true
	d := jx.GetDecoder()
	defer jx.PutDecoder(d)
	d.ResetBytes(body)
	m := monasca{b: b, d: d}
	var err error
	switch d.Next() {
	case jx.Object:
		err = m.element()
	case jx.Array:
		var more bool
		for more, err = d.Elem(); err == nil && more; more, err = d.Elem() {
			if err = m.element(); err != nil {
				break
			}
			m.at++
		}
	default:
		err = errors.New("want an object or an array of objects")
	}
	if refused := (*MetricError)(nil); err == nil || errors.As(err, &refused) || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%w: element %d: %w", ErrSyntax, m.at, err)
}

// checkDepth looks at brackets alone, before a parser recurses into them: nested too deep, or a second value.
func checkDepth(body []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		if quoted {
			switch body[i] {
			case '\\':
				i++
			case '"':
				quoted = false
			}
			continue
		}
		switch body[i] {
		case '"':
			quoted = true
		case '{', '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("%w: nested deeper than %d at byte %d", ErrSyntax, maxDepth, i)
			}
		case '}', ']':
			if depth--; depth <= 0 && len(bytes.TrimSpace(body[i+1:])) > 0 {
				return fmt.Errorf("%w: something follows the first value, at byte %d", ErrSyntax, i+1)
			}
		}
	}
	return nil
}

type monasca struct {
	b  *Batch
	d  *jx.Decoder
	at int
	// of the element that is being read
	name  string
	point rawPoint
	seen  [4]bool // name, value, timestamp
	err   error
}

const (
	hasName = iota
	hasValue
	hasTime
)

// element reads one metric.
func (m *monasca) element() error {
	if m.d.Next() != jx.Object {
		return errors.New("want an object")
	}
	m.name, m.point, m.seen, m.err = "", rawPoint{}, [4]bool{}, nil
	from := m.b.begin()
	it, err := m.d.ObjIter()
	if err != nil {
		return err
	}
	for it.Next() {
		if err := m.field(it.Key()); err != nil {
			return err
		}
	}
	if it.Err() != nil {
		return it.Err()
	}
	for i, field := range []string{"name", "value", "timestamp"} {
		if m.err == nil && !m.seen[i] {
			m.err = fmt.Errorf("%s is missing", field)
		}
	}
	if m.err != nil {
		return &MetricError{Element: m.at, Name: m.name, Err: m.err}
	}
	if err := m.b.end(m.name, from); err != nil {
		if errors.Is(err, ErrTooLarge) {
			return err
		}
		return &MetricError{Element: m.at, Name: m.name, Err: err}
	}
	if err := m.b.point(m.point.time, m.point.value); err != nil {
		return err
	}
	m.b.points[len(m.b.points)-1].meta = m.point.meta
	return nil
}

// field reads one; what breaks a rule is kept in m.err until the element's name is known.
func (m *monasca) field(key []byte) error {
	switch string(key) {
	case "name":
		if m.d.Next() != jx.String {
			m.refuse("the name is no string")
			return m.d.Skip()
		}
		text, err := m.text()
		m.name, m.seen[hasName] = text, true
		return err
	case "value":
		v, err := m.number("value")
		m.point.value, m.seen[hasValue] = v, true
		return err
	case "timestamp":
		v, err := m.number("timestamp")
		if math.Abs(v) > 1e15 {
			m.refuse("timestamp %g is no time in milliseconds", v)
			v = 0
		}
		m.point.time, m.seen[hasTime] = int64(math.Floor(v)), true
		return err
	case "dimensions":
		return m.dimensions()
	case "value_meta":
		return m.meta()
	}
	return m.d.Skip()
}

func (m *monasca) refuse(format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf(format, args...)
	}
}

// text reads a string into the batch.
func (m *monasca) text() (string, error) {
	from := len(m.b.text)
	out, err := m.d.StrAppend(m.b.text)
	if err != nil {
		return "", err
	}
	m.b.text = out
	return view(out[from:]), nil
}

// number reads one. True and false pass, as 1 and 0, because they do upstream. NaN and infinities cannot be written
// in JSON, but a number may be too large.
func (m *monasca) number(field string) (float64, error) {
	switch m.d.Next() {
	case jx.Number:
		v, err := m.d.Float64()
		if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
			m.refuse("the %s is not a finite number", field)
			if errors.Is(err, strconv.ErrRange) {
				return 0, nil
			}
		}
		return v, err
	case jx.Bool:
		v, err := m.d.Bool()
		if field != "value" {
			m.refuse("the %s is no number", field)
		}
		if v {
			return 1, err
		}
		return 0, err
	}
	m.refuse("the %s is no number", field)
	return 0, m.d.Skip()
}

func (m *monasca) dimensions() error {
	if m.d.Next() == jx.Null {
		return m.d.Skip()
	}
	if m.d.Next() != jx.Object {
		m.refuse("dimensions are no object")
		return m.d.Skip()
	}
	it, err := m.d.ObjIter()
	if err != nil {
		return err
	}
	for it.Next() {
		name := m.b.keep(it.Key())
		if m.d.Next() != jx.String {
			m.refuse("the value of dimension %.40q is no string", name)
			if err := m.d.Skip(); err != nil {
				return err
			}
			continue
		}
		value, err := m.text()
		if err != nil {
			return err
		}
		if value == "" {
			m.refuse("value of dimension %.40s is empty", name)
		}
		m.b.label(name, value)
	}
	return it.Err()
}

// meta reads value_meta. Values that are no strings are kept as their JSON text.
func (m *monasca) meta() error {
	if m.d.Next() == jx.Null {
		return m.d.Skip()
	}
	if m.d.Next() != jx.Object {
		m.refuse("value_meta is no object")
		return m.d.Skip()
	}
	raw, err := m.d.Raw()
	if err != nil {
		return err
	}
	var room [metric.MaxMetaBytes + 1]byte
	compact := bytes.NewBuffer(room[:0])
	if err := json.Compact(compact, raw); err != nil {
		return err
	}
	if n := utf8.RuneCount(compact.Bytes()); n > metric.MaxMetaBytes {
		m.refuse("value_meta has %d characters as JSON, %d may be", n, metric.MaxMetaBytes)
		return nil
	}
	out := make(map[string]string)
	inner := jx.DecodeBytes(raw)
	err = inner.Obj(func(d *jx.Decoder, key string) error {
		if n := utf8.RuneCountInString(key); n == 0 || n > metric.MaxName {
			m.refuse("a key of value_meta has %d characters, 1 to %d may be", n, metric.MaxName)
		}
		if d.Next() == jx.String {
			value, err := d.Str()
			out[key] = value
			return err
		}
		value, err := d.Raw()
		out[key] = string(value)
		return err
	})
	if len(out) > metric.MaxMeta {
		m.refuse("value_meta has %d entries, %d may be", len(out), metric.MaxMeta)
	}
	if len(out) > 0 {
		m.point.meta = out
	}
	return err
}
