package monasca

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/troupe-dev/troupe/internal/api"
)

// fields are the keys of a body, as they were sent. wrong makes the error of one that is missing or unfit: resources differ in
// its status.
type fields struct {
	raw   map[string]json.RawMessage
	wrong func(text string, args ...any) error
}

// fields reads the body: an object, or 400.
func (r *request) fields(wrong func(string, ...any) error) (fields, error) {
	f := fields{wrong: wrong}
	if err := api.DecodeJSON(r.Request, &f.raw); err != nil {
		var p *api.Problem
		if errors.As(err, &p) && p.Status == http.StatusBadRequest {
			return f, &fault{http.StatusBadRequest, badRequest, "Request body is not valid JSON: " + p.Error()}
		}
		return f, err
	}
	if f.raw == nil {
		return f, &fault{http.StatusBadRequest, badRequest, "Request body is not a JSON object"}
	}
	return f, nil
}

// has reports whether a key is there, and not null.
func (f fields) has(key string) bool {
	raw, given := f.raw[key]
	return given && !bytes.Equal(raw, []byte("null"))
}

// require refuses a body that lacks one of the keys.
func (f fields) require(names ...string) error {
	for _, key := range names {
		if !f.has(key) {
			return f.wrong("Missing %s", key)
		}
	}
	return nil
}

// text sets what a key holds; without the key it leaves it.
func (f fields) text(key string, to *string) error {
	if !f.has(key) {
		return nil
	}
	if json.Unmarshal(f.raw[key], to) != nil {
		return f.wrong("%s must be a string", key)
	}
	return nil
}

// list sets what a key holds; without the key it leaves it.
func (f fields) list(key string, to *[]string) error {
	if !f.has(key) {
		return nil
	}
	given := []string{}
	if json.Unmarshal(f.raw[key], &given) != nil {
		return f.wrong("%s must be a list of strings", key)
	}
	*to = given
	return nil
}

// flag sets what a key holds; without the key it leaves it.
func (f fields) flag(key string, to *bool) error {
	if !f.has(key) {
		return nil
	}
	if json.Unmarshal(f.raw[key], to) != nil {
		return f.wrong("%s must be true or false", key)
	}
	return nil
}

// integer sets what a key holds, a number or a text of one; without the key it leaves it.
func (f fields) integer(key string, to *int) error {
	if !f.has(key) {
		return nil
	}
	var text string
	if json.Unmarshal(f.raw[key], &text) != nil {
		text = string(f.raw[key])
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return f.wrong("%s %.40q must be an integer", key, text)
	}
	*to = n
	return nil
}
