package native

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// A field is one key of a map of the format: how it is read into a T and written from it, and all that
// the schema and the reference say about it.
type field[T any] struct {
	key     string
	spec    string // its names in the specification, "" when the same as key
	shape   shape
	def     string // what its absence means, in words
	example string // YAML
	help    string
	read    func(d *decoder, n *tree.Node, t *T)
	write   func(t *T) any // nil leaves the key out
}

// A decoder reads one document.
type decoder struct {
	opts  Options
	errs  Errors
	path  string // of the keys that are being read
	spec  string // the same in the specification
	spots map[string]spot
	files tree.Reader

	ofMachine []string // the keys of a machine
}

func newDecoder(opts Options) *decoder {
	return &decoder{opts: opts, spots: map[string]spot{}, ofMachine: keys(machineFields)}
}

// in reads n as the value of a key. spec names its places in the specification, separated by
// spaces; the first is the one that is read into.
func (d *decoder) in(key, spec string, n *tree.Node, f func()) {
	path, before := d.path, d.spec
	d.path = join(path, key)
	for i, s := range strings.Fields(spec) {
		s = join(before, s)
		d.mark(s, n)
		if i == 0 {
			d.spec = s
		}
	}
	f()
	d.path, d.spec = path, before
}

func join(path, key string) string {
	if path == "" || key == "" || strings.HasPrefix(key, "[") {
		return path + key
	}
	return path + "." + key
}

// read fills t from a map.
func read[T any](d *decoder, fields []field[T], n *tree.Node, t *T) {
	if n.Kind != tree.Mapping {
		d.fail(n.At, "expected keys and values, found %s", n.Kind)
		return
	}
	values := make(map[string]*tree.Node, len(n.Entries))
	for _, e := range n.Entries {
		values[e.Key] = e.Value
	}
	for i := range fields {
		f := &fields[i]
		v := values[f.key]
		delete(values, f.key)
		if v == nil || v.Kind == tree.Null || f.read == nil {
			continue
		}
		spec := f.spec
		if spec == "" {
			spec = f.key
		}
		d.in(f.key, spec, v, func() { f.read(d, v, t) })
	}
	if len(values) == 0 {
		return
	}
	for _, e := range n.Entries {
		if _, left := values[e.Key]; left {
			d.failAt(spot{e.At, join(d.path, e.Key)}, "unknown key"+d.elsewhere(e.Key, keys(fields)))
		}
	}
}

// elsewhere says where an unknown key may belong: a machine has it, or it is like a known one.
func (d *decoder) elsewhere(key string, known []string) string {
	if slices.Contains(known, "machine") && slices.Contains(d.ofMachine, key) {
		return "; it stands within the key \"machine\""
	}
	return nearest.Hint(key, known)
}

func keys[T any](fields []field[T]) []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].key
	}
	return names
}

// write returns t as a map, in the order of the table.
func write[T any](fields []field[T], t *T) yaml.MapSlice {
	out := yaml.MapSlice{}
	for i := range fields {
		if fields[i].write == nil {
			continue
		}
		if v := fields[i].write(t); v != nil {
			out = append(out, yaml.MapItem{Key: fields[i].key, Value: v})
		}
	}
	return out
}

// each reads a list, or one item that stands for a list of one.
func (d *decoder) each(n *tree.Node, f func(item *tree.Node)) {
	if n.Kind != tree.List {
		d.in("", "[0]", n, func() { f(n) })
		return
	}
	for i, item := range n.Items {
		at := "[" + strconv.Itoa(i) + "]"
		d.in(at, at, item, func() { f(item) })
	}
}

// text reads a scalar as it is written.
func (d *decoder) text(n *tree.Node) (string, bool) {
	switch n.Kind {
	case tree.Null:
		d.fail(n.At, `has no value; write "" for an empty one`)
	case tree.List, tree.Mapping:
		d.fail(n.At, "expected text, found %s", n.Kind)
	default:
		return n.Text, true
	}
	return "", false
}

func (d *decoder) integer(n *tree.Node) (int, bool) {
	if n.Kind == tree.Integer {
		if i, err := strconv.Atoi(n.Text); err == nil {
			return i, true
		}
	}
	d.fail(n.At, "expected a whole number, found %s", n.Found())
	return 0, false
}

// words reads a map of text.
func (d *decoder) words(n *tree.Node, into map[string]string) {
	if n.Kind != tree.Mapping {
		d.fail(n.At, "expected keys and values, found %s", n.Kind)
		return
	}
	for _, e := range n.Entries {
		d.in(e.Key, e.Key, e.Value, func() {
			if s, ok := d.text(e.Value); ok {
				into[e.Key] = s
			}
		})
	}
}

// The constructors of plain fields. at returns the place in T that the field reads and writes.

func textField[T any](key, example, help string, at func(*T) *string) field[T] {
	return field[T]{
		key: key, shape: textShape, example: example, help: help,
		read: func(d *decoder, n *tree.Node, t *T) {
			if s, ok := d.text(n); ok {
				*at(t) = s
			}
		},
		write: func(t *T) any { return unlessZero(*at(t)) },
	}
}

func boolField[T any](key, help string, at func(*T) *bool) field[T] {
	return field[T]{
		key: key, shape: boolShape, def: "false", example: "true", help: help,
		read: func(d *decoder, n *tree.Node, t *T) {
			if n.Kind == tree.Boolean {
				*at(t) = strings.EqualFold(n.Text, "true")
				return
			}
			word := "true"
			switch strings.ToLower(n.Text) {
			case "no", "off", "n", "0":
				word = "false"
			}
			d.fail(n.At, "expected true or false, found %s; write %s", n.Found(), word)
		},
		write: func(t *T) any { return unlessZero(*at(t)) },
	}
}

func intField[T any](key, def, example, help string, at func(*T) *int) field[T] {
	return field[T]{
		key: key, shape: countShape, def: def, example: example, help: help,
		read: func(d *decoder, n *tree.Node, t *T) {
			if i, ok := d.integer(n); ok {
				*at(t) = i
			}
		},
		write: func(t *T) any { return unlessZero(*at(t)) },
	}
}

func durationField[T any](key, def, example, help string, at func(*T) *time.Duration) field[T] {
	return field[T]{
		key: key, shape: durationShape, def: def, example: example, help: help,
		read: func(d *decoder, n *tree.Node, t *T) {
			s, ok := d.text(n)
			if !ok {
				return
			}
			v, err := parseDuration(s)
			if err != nil {
				d.fail(n.At, "%v", err)
				return
			}
			*at(t) = v
		},
		write: func(t *T) any { return unlessZero(formatDuration(*at(t))) },
	}
}

func choiceField[T any, S ~string](key, help string, at func(*T) *S, def S, others ...S) field[T] {
	words := []string{string(def)}
	for _, o := range others {
		words = append(words, string(o))
	}
	return field[T]{
		key: key, shape: choiceShape(words), def: string(def), example: words[len(words)-1], help: help,
		read: func(d *decoder, n *tree.Node, t *T) {
			s, ok := d.text(n)
			if !ok {
				return
			}
			for _, w := range words {
				if s == w {
					*at(t) = S(s)
					return
				}
			}
			d.fail(n.At, "%s is none of %s%s", n.Found(), strings.Join(words, ", "), nearest.Hint(s, words))
		},
		write: func(t *T) any {
			if v := *at(t); v != def && v != "" {
				return string(v)
			}
			return nil
		},
	}
}

func wordsField[T any](key, example, help string, at func(*T) *map[string]string) field[T] {
	return field[T]{
		key: key, shape: wordsShape, example: example, help: help,
		read: func(d *decoder, n *tree.Node, t *T) {
			if *at(t) == nil {
				*at(t) = map[string]string{}
			}
			d.words(n, *at(t))
			if len(*at(t)) == 0 {
				*at(t) = nil
			}
		},
		write: func(t *T) any { return unlessEmpty(*at(t)) },
	}
}

// freeField is a map of values of any kind.
func freeField[T any](key, example, help string, at func(*T) *map[string]any) field[T] {
	return field[T]{
		key: key, shape: freeShape, example: example, help: help,
		read:  func(d *decoder, n *tree.Node, t *T) { readOptions(d, n, at(t)) },
		write: func(t *T) any { return unlessEmpty(*at(t)) },
	}
}

// variablesField is the field variables.
func variablesField[T any](help string, at func(*T) *service.Values) field[T] {
	return freeField("variables", "{db: {port: 5432}, zones: [a, b]}", help, func(t *T) *map[string]any { return (*map[string]any)(at(t)) })
}

func namesField[T any](key, spec, example, help string, at func(*T) *[]string) field[T] {
	return field[T]{
		key: key, spec: spec, shape: namesShape, example: example, help: help,
		read: func(d *decoder, n *tree.Node, t *T) {
			d.each(n, func(item *tree.Node) {
				if s, ok := d.text(item); ok {
					*at(t) = append(*at(t), s)
				}
			})
		},
		write: func(t *T) any {
			switch names := *at(t); len(names) {
			case 0:
				return nil
			case 1:
				return names[0]
			default:
				return names
			}
		},
	}
}

// includeField is the key "include", which include.go has resolved before.
func includeField[T any]() field[T] {
	return field[T]{
		key: "include", shape: namesShape, example: "shared/web.yaml",
		help: "One file or several, of the document's own folder or below it, whose keys are merged beneath those that stand here. Maps are merged key by key; of anything else, what stands here wins, and of several files the last.",
	}
}

func unlessZero[V comparable](v V) any {
	var zero V
	if v == zero {
		return nil
	}
	return v
}

func unlessEmpty[V any](m map[string]V) any {
	if len(m) == 0 {
		return nil
	}
	return tree.Ordered(m)
}

// parseDuration reads a duration: Go's notation, with days in front if need be, or whole seconds.
func parseDuration(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return driver.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return driver.ParseDuration(s)
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := driver.ParseDuration(rest)
	if err == nil && more > 24*time.Hour {
		err = fmt.Errorf("%q is no duration: days stand before less than a day", s)
	}
	return d + more, err
}

// formatDuration returns the shortest text that parseDuration reads; "" for 0.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	days := d / (24 * time.Hour)
	if d%(24*time.Hour) == 0 && days > 0 && days < 1<<16 {
		return strconv.FormatInt(int64(days), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// formatSize returns the shortest text that driver.ParseSize reads.
func formatSize(n int64) any {
	if n == 0 {
		return nil
	}
	const units = "KMGTP"
	for i := len(units) - 1; i >= 0; i-- {
		if unit := int64(1) << (10 * (i + 1)); n%unit == 0 {
			return strconv.FormatInt(n/unit, 10) + units[i:i+1]
		}
	}
	return n
}
