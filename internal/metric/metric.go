// Package metric says what a measurement is: a name, dimensions, a time and a value. It does no I/O.
// Intake, alarms, policies, the agent and the faces share its words.
package metric

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/histogram"
)

// A Dimension is one name and value that tells a series from others of its metric.
type Dimension struct{ Name, Value string }

// Dimensions are sorted by name; no name comes twice.
type Dimensions []Dimension

// NewDimensions sorts what a map holds.
func NewDimensions(values map[string]string) Dimensions {
	out := make(Dimensions, 0, len(values))
	for name, value := range values {
		out = append(out, Dimension{name, value})
	}
	slices.SortFunc(out, func(a, b Dimension) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Get returns the value of a name and whether there is one.
func (d Dimensions) Get(name string) (string, bool) {
	at, found := slices.BinarySearchFunc(d, name, func(x Dimension, name string) int { return cmp.Compare(x.Name, name) })
	if !found {
		return "", false
	}
	return d[at].Value, true
}

// Covers reports whether every dimension of part is in d with the same value.
func (d Dimensions) Covers(part Dimensions) bool {
	for len(part) > 0 {
		if len(d) < len(part) {
			return false
		}
		switch {
		case d[0] == part[0]:
			part = part[1:]
		case d[0].Name >= part[0].Name:
			return false
		}
		d = d[1:]
	}
	return true
}

// Map returns the dimensions as a map; never nil.
func (d Dimensions) Map() map[string]string {
	return maps.Collect(func(yield func(string, string) bool) {
		for _, x := range d {
			if !yield(x.Name, x.Value) {
				return
			}
		}
	})
}

// String prints "{a=b, c=d}", and nothing when there are none.
func (d Dimensions) String() string {
	if len(d) == 0 {
		return ""
	}
	var b strings.Builder
	for i, x := range d {
		b.WriteString([]string{"{", ", "}[min(i, 1)])
		b.WriteString(x.Name + "=" + x.Value)
	}
	b.WriteByte('}')
	return b.String()
}

// An Origin is whom a series is about: known from the sender's credentials, or from dimensions that the
// sender had the right to set. The zero Origin is nobody in particular.
type Origin struct {
	Service uint64
	Role    string
	Serial  uint32 // of the instance; 0 for the service or role as a whole
}

// A Series is one metric of one tenant with one set of dimensions. It is never changed once made.
type Series struct {
	// ID is small and dense, so that slices can be indexed by it; it is given to another series only
	// after this one was dropped everywhere.
	ID         uint32
	Tenant     int // the project's group
	Name       string
	Dimensions Dimensions
	Origin     Origin
}

// String prints name and dimensions, "cpu.user_perc{hostname=web01}".
func (s *Series) String() string { return s.Name + s.Dimensions.String() }

// A Point is one measurement of a series.
type Point struct {
	Series *Series
	Time   int64 // milliseconds since 1970, UTC
	Value  float64
	Meta   map[string]string // Monasca's value_meta; nil for most
	// Histogram is Prometheus' native histogram, in place of Value; nil for most. It is never changed.
	Histogram *histogram.FloatHistogram
}

// Bounds of names and dimensions, in characters, and of Meta: Monasca's.
const (
	MaxName       = 255
	MaxDimensions = 64 // ours: upstream has no limit
	MaxMeta       = 16
	MaxMetaBytes  = 2048 // the whole as JSON
)

// Characters that no name of a metric and no dimension may hold.
const (
	notInName      = `<>={},"\;&() `
	notInDimension = `<>={},"\;&`
)

// CheckName returns why a text cannot name a metric, or nil.
func CheckName(name string) error { return check("metric name", name, notInName) }

// CheckDimension returns why a dimension is refused, or nil. Names that begin with an underscore are
// kept for the system.
func CheckDimension(name, value string) error {
	if err := check("dimension name", name, notInDimension); err != nil {
		return err
	}
	if name[0] == '_' {
		return fmt.Errorf("dimension name %.40q begins with an underscore", name)
	}
	if err := check("value of dimension "+name, value, notInDimension); err != nil {
		return err
	}
	return nil
}

func check(what, text, forbidden string) error {
	switch {
	case text == "":
		return fmt.Errorf("%s is empty", what)
	case !utf8.ValidString(text):
		return fmt.Errorf("%s %.40q is not UTF-8", what, text)
	case utf8.RuneCountInString(text) > MaxName:
		return fmt.Errorf("%s %.40q… is longer than %d characters", what, text, MaxName)
	}
	if at := strings.IndexAny(text, forbidden); at >= 0 {
		return fmt.Errorf("%s %.40q holds %q; none of %s is allowed there", what, text, text[at], forbidden)
	}
	return nil
}
