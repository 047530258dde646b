package onegate

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	format "github.com/troupe-dev/troupe/internal/format/oneflow"
)

// A payload is what PUT /vm brings.
type payload struct {
	attributes map[string]string // by name, in upper case; a vector is the text of one
	samples    []byte            // KEY=VALUE lines of those that are numbers
}

// An attribute's name has letters, digits and underscores. What has others, such as cpu.user_perc, can only be the name
// of a metric.
var attributeName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// lines begin where a literal \n stands before a KEY=, as clients write who cannot send a line break.
var lines = regexp.MustCompile(`\\n(\s*[A-Za-z_][\w.-]*\s*=)`)

// parsePayload reads lines KEY=VALUE. Its errors are *format.Error.
func parsePayload(text string) (*payload, error) {
	o, err := format.ParseText(lines.ReplaceAllString(text, "\n$1"))
	if err != nil {
		return nil, err
	}
	p := &payload{attributes: make(map[string]string)}
	for _, key := range o.Keys() {
		values, ok := o.Get(key).([]any)
		if !ok {
			values = []any{o.Get(key)}
		}
		last := values[len(values)-1] // of what is said twice
		if vector, ok := last.(*format.Object); ok {
			if !attributeName.MatchString(key) {
				return nil, badName(key)
			}
			if p.attributes[strings.ToUpper(key)], err = format.PrintVector(upper(vector)); err != nil {
				return nil, err
			}
			continue
		}
		value := strings.ReplaceAll(last.(string), `\n`, "\n")
		_, err := strconv.ParseFloat(value, 64)
		if err == nil {
			p.samples = append(p.samples, key+"="+value+"\n"...)
		}
		switch {
		case attributeName.MatchString(key):
			p.attributes[strings.ToUpper(key)] = value
		case err != nil:
			return nil, badName(key)
		}
	}
	return p, nil
}

func badName(key string) error {
	return &format.Error{Kind: format.Invalid, Path: key, Message: "an attribute's name has letters, digits and underscores; another can only be that of a metric, whose value is a number"}
}

func upper(vector *format.Object) *format.Object {
	o := new(format.Object)
	for _, key := range vector.Keys() {
		o.Set(strings.ToUpper(key), vector.Get(key))
	}
	return o
}

// names are the attributes of the payload, in order.
func (p *payload) names() []string { return slices.Sorted(maps.Keys(p.attributes)) }

// unwrap finds the payload of a request in its body, which may be a form with a field data, and whether it names an
// attribute to delete.
func unwrap(query url.Values, body string) (data string, deletes bool) {
	kind := query.Get("type")
	if form, err := url.ParseQuery(body); err == nil && form.Has("data") {
		body = form.Get("data")
		if form.Has("type") {
			kind = form.Get("type")
		}
	}
	return body, kind == "2"
}
