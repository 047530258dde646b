package oneflow

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	format "github.com/troupe-dev/troupe/internal/format/oneflow"
)

// params are what a request says by name. at is where in its body they stand, for errors; "" for its top.
type params struct {
	*format.Object
	at string
}

// place is where a key stands.
func (p params) place(key string) string {
	return strings.TrimPrefix(p.at+"."+key, ".")
}

// wrong is the error of a value that is missing or unfit.
func (p params) wrong(key, text string, args ...any) error {
	return misusef(p.place(key), text, args...)
}

// integer reads a whole number that clients send as a number or as text.
func (p params) integer(key string) (int, error) {
	var given string
	switch v := p.Get(key).(type) {
	case nil:
		return 0, p.wrong(key, "%s is missing", key)
	case json.Number:
		given = string(v)
	case string:
		given = strings.TrimSpace(v)
	}
	if n, err := strconv.ParseFloat(given, 64); err == nil && n == math.Trunc(n) && math.Abs(n) <= math.MaxInt32 && !strings.ContainsAny(given, "xX_pP") {
		return int(n), nil
	}
	return 0, p.wrong(key, "%s must be a whole number", key)
}

// optional is integer, or the default where the key is absent or null.
func (p params) optional(key string, otherwise int) (int, error) {
	if p.Get(key) == nil {
		return otherwise, nil
	}
	return p.integer(key)
}

// count is optional for what cannot be negative; 0 if absent.
func (p params) count(key string) (int, error) {
	n, err := p.optional(key, 0)
	if err == nil && n < 0 {
		return 0, p.wrong(key, "%s cannot be negative", key)
	}
	return n, err
}

// flag reads a boolean that clients also send as text; absent or null is false.
func (p params) flag(key string) (bool, error) {
	switch v := p.Get(key).(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	case string:
		if b, err := strconv.ParseBool(strings.ToLower(v)); err == nil {
			return b, nil
		}
	}
	return false, p.wrong(key, "%s must be true or false", key)
}

// argument reads what is passed on as text.
func (p params) argument(key string) (string, error) {
	switch v := p.Get(key).(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		return string(v), nil
	}
	return "", p.wrong(key, "%s must be a string", key)
}

// An action is what the action routes are sent: {"action":{"perform":…,"params":{…}}}.
type action struct {
	perform string
	params  params // empty if absent or null
}

func (r *request) action() (action, error) {
	body, err := r.object()
	if err != nil {
		return action{}, err
	}
	o, ok := body.Get("action").(*format.Object)
	if !ok {
		return action{}, body.wrong("action", "send an object with \"perform\" and \"params\"")
	}
	perform, ok := o.Get("perform").(string)
	if !ok || perform == "" {
		return action{}, body.wrong("action.perform", "name the action to perform")
	}
	given := o.Get("params")
	if _, ok := given.(*format.Object); !ok && given != nil {
		return action{}, body.wrong("action.params", "must be an object")
	}
	return action{perform, params{o.Object("params"), "action.params"}}, nil
}

// object reads the body as parameters.
func (r *request) object() (params, error) {
	body, err := r.parse()
	if err != nil {
		return params{}, misuse{err}
	}
	return params{body.Root(), ""}, nil
}
