package agent

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A Measurement is one value as Monasca's clients and agents write it.
type Measurement struct {
	Name       string            `json:"name"`
	Dimensions map[string]string `json:"dimensions"`
	Timestamp  float64           `json:"timestamp"` // milliseconds since 1970, UTC
	Value      float64           `json:"value"`
	Meta       map[string]string `json:"value_meta"` // null for most
}

// maxError bounds the text of an error in value_meta, in bytes: Monasca's agent cuts there too.
const maxError = 1024

// A report gathers the measurements of one moment.
type report struct {
	time time.Time
	base map[string]string // dimensions that all have unless they say otherwise
	list []Measurement
}

// add appends a value with dimensions given as name, value, name, value. What is not a finite number is left out.
func (r *report) add(name string, value float64, dimensions ...string) {
	r.addTo(nil, name, value, dimensions...)
}

// addTo is add with dimensions of a configured check, which yield to those given one by one.
func (r *report) addTo(more map[string]string, name string, value float64, dimensions ...string) *Measurement {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return &Measurement{}
	}
	all := make(map[string]string, len(r.base)+len(more)+len(dimensions)/2)
	maps.Copy(all, r.base)
	maps.Copy(all, more)
	for i := 0; i+1 < len(dimensions); i += 2 {
		if v := allowed(dimensions[i+1]); v != "" {
			all[dimensions[i]] = v
		}
	}
	r.list = append(r.list, Measurement{Name: name, Dimensions: all, Timestamp: float64(r.time.UnixMicro()) / 1000, Value: value})
	return &r.list[len(r.list)-1]
}

// allowed makes a text fit for the value of a dimension: what may not be there becomes an underscore.
// Names of devices, mount points and addresses of checks hold such.
func allowed(value string) string {
	if value == "" || metric.CheckDimension("x", value) == nil {
		return value
	}
	value = strings.Map(func(c rune) rune {
		if c == utf8.RuneError || strings.ContainsRune(`<>={},"\;&`, c) {
			return '_'
		}
		return c
	}, value)
	for n := range value {
		if utf8.RuneCountInString(value[:n]) == metric.MaxName {
			return value[:n]
		}
	}
	return value
}

// encode writes measurements as lines of JSON, so that batches can be joined and split without reading them again.
func encode(list []Measurement) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i := range list {
		if err := e.Encode(&list[i]); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// array makes a JSON array of lines.
func array(lines []byte) []byte {
	lines = bytes.TrimSuffix(lines, []byte("\n"))
	out := make([]byte, 0, len(lines)+2)
	out = append(out, '[')
	for i, line := 0, []byte(nil); len(lines) > 0; i++ {
		line, lines, _ = bytes.Cut(lines, []byte("\n"))
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, line...)
	}
	return append(out, ']')
}
