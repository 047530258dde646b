package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// An OptionError says what is wrong with one option. It is of class ErrInvalid.
type OptionError struct {
	Option  string // the name as it was given, or the name of the one that is missing
	Problem string
}

func (e *OptionError) Error() string { return fmt.Sprintf("option %q: %s", e.Option, e.Problem) }

// Unwrap returns ErrInvalid.
func (e *OptionError) Unwrap() error { return ErrInvalid }

// Check returns the options of a machine with their defaults filled in and in these types: String is
// string, Int int, Float float64, Bool bool, Duration time.Duration, Size int64 (bytes), List
// []string, Map map[string]string. An option that is absent, or null, and has no default is left out.
// The error joins one OptionError for each problem, in the order of their names.
//
// Store what the user wrote and check it again when it is read: a checked duration that went through
// JSON has become a plain number.
func (k *Kind) Check(options map[string]any) (map[string]any, error) {
	return check(k.Options, options)
}

// TakesText reports whether an option of a machine is any text.
func (k *Kind) TakesText(option string) bool {
	return slices.ContainsFunc(k.Options, func(o Option) bool {
		return o.Name == option && o.Type == String && len(o.Choices) == 0
	})
}

// CheckAccount does for the options of an account what Check does for those of a machine.
func (k *Kind) CheckAccount(values map[string]any) (map[string]any, error) {
	return check(k.Account, values)
}

// Redacted stands for a secret that is not shown.
const Redacted = "(secret)"

// Redact returns a copy of a machine's options in which secrets are replaced by Redacted, and so are
// unknown options: a misspelt password is still one.
func (k *Kind) Redact(options map[string]any) map[string]any { return redact(k.Options, options) }

// RedactAccount does for the options of an account what Redact does for those of a machine.
func (k *Kind) RedactAccount(values map[string]any) map[string]any { return redact(k.Account, values) }

// Get returns an option that Check has passed, or the zero value when it is absent.
func Get[T any](options map[string]any, name string) T {
	v, _ := options[name].(T)
	return v
}

func redact(known []Option, values map[string]any) map[string]any {
	shown := make(map[string]any, len(values))
	for name, v := range values {
		i := slices.IndexFunc(known, func(o Option) bool { return o.Name == name })
		if i < 0 || known[i].Secret {
			v = Redacted
		}
		shown[name] = v
	}
	return shown
}

func check(known []Option, values map[string]any) (map[string]any, error) {
	checked := make(map[string]any, len(known))
	var problems []*OptionError
	for i := range known {
		o := &known[i]
		v := values[o.Name]
		if v == nil {
			v = o.Default
		}
		if v == nil {
			if o.Required {
				problems = append(problems, &OptionError{o.Name, "is required; " + o.wanted()})
			}
			continue
		}
		c, err := o.convert(v)
		if err != nil {
			problems = append(problems, &OptionError{o.Name, err.Error()})
			continue
		}
		checked[o.Name] = c
	}
	for name := range values {
		if !slices.ContainsFunc(known, func(o Option) bool { return o.Name == name }) {
			problems = append(problems, &OptionError{name, "there is no such option" + hint(name, known)})
		}
	}
	if len(problems) == 0 {
		return checked, nil
	}
	sort.Slice(problems, func(i, j int) bool { return problems[i].Option < problems[j].Option })
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return nil, errors.Join(errs...)
}

func hint(name string, known []Option) string {
	names := make([]string, len(known))
	for i := range known {
		names[i] = known[i].Name
	}
	if h := nearest.Hint(name, names); h != "" {
		return h
	}
	if len(names) == 0 {
		return "; there are none"
	}
	return "; there are " + strings.Join(names, ", ")
}

// convert returns v in the type of the option. The error is for the user and holds no secret.
func (o *Option) convert(v any) (any, error) {
	c, ok := o.parse(v)
	if !ok {
		if o.Secret {
			return nil, errors.New(o.wanted())
		}
		return nil, fmt.Errorf("%s, not %s", o.wanted(), shorten(v))
	}
	for _, s := range chosen(c) {
		if len(o.Choices) > 0 && !slices.Contains(o.Choices, s) {
			if o.Secret {
				return nil, errors.New(o.wanted())
			}
			return nil, fmt.Errorf("%q is none of %s%s", s, strings.Join(o.Choices, ", "), nearest.Hint(s, o.Choices))
		}
	}
	return c, nil
}

// chosen returns what Choices restrict: the value, or each element of a list.
func chosen(v any) []string {
	if l, ok := v.([]string); ok {
		return l
	}
	return []string{fmt.Sprint(v)}
}

func (o *Option) parse(v any) (any, bool) {
	switch o.Type {
	case Int:
		f, ok := number(v)
		return int(f), ok && f == math.Trunc(f) && math.Abs(f) <= 1<<53
	case Float:
		f, ok := number(v)
		return f, ok && !math.IsNaN(f) && !math.IsInf(f, 0)
	case Bool:
		return boolean(v)
	case Duration:
		if d, ok := v.(time.Duration); ok {
			return d, d >= 0
		}
		s, ok := scalar(v)
		if !ok {
			return nil, false
		}
		d, err := ParseDuration(s)
		return d, err == nil
	case Size:
		s, ok := scalar(v)
		if !ok {
			return nil, false
		}
		n, err := ParseSize(s)
		return n, err == nil
	case List:
		return list(v)
	case Map:
		return table(v)
	default:
		return scalar(v)
	}
}

// wanted says what the option takes.
func (o *Option) wanted() string {
	if len(o.Choices) > 0 {
		return "must be one of " + strings.Join(o.Choices, ", ")
	}
	switch o.Type {
	case Int:
		return "must be a whole number"
	case Float:
		return "must be a number"
	case Bool:
		return "must be true or false"
	case Duration:
		return `must be a duration such as "1m30s", or seconds`
	case Size:
		return `must be a size such as "512M", or bytes`
	case List:
		return "must be a list of strings, as in [a, b]"
	case Map:
		return "must be a map of strings, as in {a: b}"
	default:
		return "must be a string"
	}
}

// scalar returns the text of a string, a number or a boolean. Whole floats are written without a
// point or an exponent: JSON knows no other numbers.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32), true
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return fmt.Sprint(v), true
	}
	return "", false
}

func number(v any) (float64, bool) {
	if _, ok := v.(bool); ok {
		return 0, false
	}
	s, ok := scalar(v)
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return f, err == nil
}

func boolean(v any) (any, bool) {
	if b, ok := v.(bool); ok {
		return b, true
	}
	s, _ := v.(string)
	switch strings.ToLower(s) {
	case "true", "yes", "on":
		return true, true
	case "false", "no", "off":
		return false, true
	}
	return nil, false
}

func list(v any) (any, bool) {
	switch v := v.(type) {
	case []string:
		return slices.Clone(v), true
	case []any:
		texts := make([]string, len(v))
		for i, e := range v {
			s, ok := scalar(e)
			if !ok {
				return nil, false
			}
			texts[i] = s
		}
		return texts, true
	}
	return nil, false
}

func table(v any) (any, bool) {
	texts := map[string]string{}
	add := func(key, value any) bool {
		k, ok := scalar(key)
		s, ok2 := scalar(value)
		if value == nil {
			ok2 = true
		}
		texts[k] = s
		return ok && ok2
	}
	switch v := v.(type) {
	case map[string]string:
		for k, s := range v {
			texts[k] = s
		}
		return texts, true
	case map[string]any:
		for k, e := range v {
			if !add(k, e) {
				return nil, false
			}
		}
		return texts, true
	case map[any]any:
		for k, e := range v {
			if !add(k, e) {
				return nil, false
			}
		}
		return texts, true
	}
	return nil, false
}

// shorten quotes a value for an error.
func shorten(v any) string {
	s, ok := scalar(v)
	if !ok {
		switch v.(type) {
		case []any, []string:
			return "a list"
		default:
			return "a map"
		}
	}
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return strconv.Quote(s)
}

// ParseDuration reads a duration of zero or more: Go's notation ("1m30s") or a number of seconds.
func ParseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	d, err := time.ParseDuration(s)
	if err != nil {
		f, ferr := strconv.ParseFloat(s, 64)
		if ferr != nil || !(f >= 0) || f > math.MaxInt64/float64(time.Second)/2 {
			return 0, fmt.Errorf("%s is no duration: write one such as \"1m30s\", or seconds", shorten(s))
		}
		d = time.Duration(math.Round(f * float64(time.Second)))
	}
	if d < 0 {
		return 0, fmt.Errorf("%s is a negative duration", shorten(s))
	}
	return d, nil
}

// ParseSize reads a number of bytes: "512M", "1.5 GiB", "64k" or 1048576. The units K, M, G, T and P are
// powers of 1024, with or without "B" or "iB" behind them.
func ParseSize(s string) (int64, error) {
	text := strings.TrimSpace(s)
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(text)
	}
	unit := strings.ToUpper(strings.TrimSpace(text[end:]))
	if unit != "B" {
		unit = strings.TrimSuffix(strings.TrimSuffix(unit, "B"), "I")
	} else {
		unit = ""
	}
	const units = "KMGTP"
	shift := 0
	if unit != "" {
		shift = 10 * (strings.Index(units, unit) + 1)
	}
	wrong := fmt.Errorf("%s is no size: write one such as \"512M\", or bytes", shorten(s))
	if len(unit) > 1 || unit != "" && shift == 0 {
		return 0, wrong
	}
	if n, err := strconv.ParseInt(text[:end], 10, 64); err == nil {
		if n > math.MaxInt64>>shift {
			return 0, wrong
		}
		return n << shift, nil
	}
	f, err := strconv.ParseFloat(text[:end], 64)
	f *= float64(int64(1) << shift)
	if err != nil || f >= math.MaxInt64 {
		return 0, wrong
	}
	return int64(math.Round(f)), nil
}
