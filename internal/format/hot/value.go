package hot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"

	"crypto/rand"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// pseudo are the parameters that every stack has.
var pseudo = []string{"OS::stack_name", "OS::stack_id", "OS::project_id"}

// rootParameters gives the parameters of the template their values: those that are given, then those of environments,
// then those of before, then defaults.
func (e *evaluation) rootParameters(t *Template) map[string]any {
	out := map[string]any{}
	id, err := e.mark(target{of: ofService, field: "id"})
	if err != nil {
		e.note(err, t.root.At, "")
	}
	out["OS::stack_name"], out["OS::stack_id"], out["OS::project_id"] = e.opts.Name, id, e.opts.Project
	if e.opts.Name == "" {
		out["OS::stack_name"], _ = e.mark(target{of: ofService, field: "name"})
	}
	var names []string
	for i := range t.Parameters {
		p := &t.Parameters[i]
		names = append(names, p.Name)
		v, at, ok := e.valueOf(p)
		if !ok {
			e.errs.Note(p.at, "parameters."+p.Name, fmt.Sprintf("needs a value: give one with --set %s=VALUE, or in an environment", p.Name))
			continue
		}
		out[p.Name] = e.parameter(p, v, at, "parameters."+p.Name)
	}
	for _, given := range []map[string]any{e.opts.Parameters} {
		for _, name := range sortedKeys(given) {
			if !slices.Contains(names, name) {
				e.errs.Note(tree.Place{File: t.root.At.File}, "parameters", fmt.Sprintf("no parameter %q%s", name, nearest.Hint(name, names)))
			}
		}
	}
	for name, n := range e.env.parameters {
		if !slices.Contains(names, name) {
			e.errs.Note(n.At, "parameters."+name, fmt.Sprintf("no parameter %q%s", name, nearest.Hint(name, names)))
		}
	}
	return out
}

// valueOf returns what is given for a parameter of the template.
func (e *evaluation) valueOf(p *Parameter) (v any, at tree.Place, ok bool) {
	if v, ok := e.opts.Parameters[p.Name]; ok {
		return v, p.at, true
	}
	for _, from := range []map[string]*tree.Node{e.env.parameters, e.env.defaults} {
		if n := from[p.Name]; n != nil {
			return given(n), n.At, true
		}
	}
	if p.HasDefault {
		return p.Default, p.at, true
	}
	if e.opts.Previous != nil {
		if v, ok := e.opts.Previous.Parameters[p.Name]; ok {
			return v, p.at, true
		}
	}
	return nil, p.at, false
}

// parameter reads and checks the value of a parameter; nil after noting what is wrong.
func (e *evaluation) parameter(p *Parameter, v any, at tree.Place, where string) any {
	read, err := p.read(v)
	if err == nil && !holdsMark(read) {
		err = p.keeps(read)
	}
	if err != nil {
		e.errs.Note(at, where, err.Error())
		return nil
	}
	if s, ok := read.(string); ok && p.Hidden && s != "" {
		e.secrets[secretName(p.Name)] = s
	}
	return read
}

// holdsMark reports whether a value, which need not be text, is known only later.
func holdsMark(v any) bool {
	switch v := v.(type) {
	case string:
		return marked(v)
	case []any:
		return slices.ContainsFunc(v, holdsMark)
	case map[string]any:
		for _, x := range v {
			if holdsMark(x) {
				return true
			}
		}
	}
	return false
}

// nestedParameters gives the parameters of a nested template the properties of its resource.
func (e *evaluation) nestedParameters(t *Template, r *resource, given map[string]any) (map[string]any, error) {
	out := map[string]any{}
	for _, name := range pseudo {
		out[name] = r.s.params[name]
	}
	out["OS::stack_name"] = scalarText(r.s.params["OS::stack_name"]) + "-" + strings.ReplaceAll(r.path, ".", "-")
	var names []string
	for i := range t.Parameters {
		p := &t.Parameters[i]
		names = append(names, p.Name)
		where := r.where() + ".properties." + p.Name
		v, ok := given[p.Name]
		if !ok && e.env.defaults[p.Name] != nil {
			v, ok = givenOf(e.env.defaults[p.Name])
		}
		switch {
		case ok:
			out[p.Name] = e.parameter(p, v, r.at(p.Name), where)
		case p.HasDefault:
			out[p.Name] = e.parameter(p, p.Default, p.at, where)
		default:
			e.errs.Note(r.place, where, fmt.Sprintf("the template %s needs a value for its parameter %s", t.name, p.Name))
		}
	}
	for _, name := range sortedKeys(given) {
		if !slices.Contains(names, name) {
			e.errs.Note(r.at(name), r.where()+".properties."+name, fmt.Sprintf("%s has no parameter %q%s", t.name, name, nearest.Hint(name, names)))
		}
	}
	return out, nil
}

func givenOf(n *tree.Node) (any, bool) { return given(n), true }

// typedValue is the value of OS::Heat::Value.
func typedValue(r *resource) (any, error) {
	v := r.props["value"]
	kind := r.text("type")
	if kind == "" || holdsMark(v) {
		return v, nil
	}
	return (&Parameter{Type: kind}).read(v)
}

// A randomText is one that was drawn, with a print of what was asked for: another one is drawn when that changes.
type randomText struct {
	Value string `json:"value"`
	Print string `json:"print"`
}

// classes are the characters of the classes of OS::Heat::RandomString.
var classes = map[string]string{
	"lettersdigits": lowercase + uppercase + digits, "letters": lowercase + uppercase, "lowercase": lowercase, "uppercase": uppercase, "digits": digits,
	"hexdigits": digits + "ABCDEF", "octdigits": digits[:8], "punctuation": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
}

const (
	lowercase = "abcdefghijklmnopqrstuvwxyz"
	uppercase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits    = "0123456789"
)

// randomText is the value of OS::Heat::RandomString: it stays as long as nothing else is asked for.
func (r *resource) randomText() (string, error) {
	e := r.s.e
	if x, ok := e.random[r.path]; ok {
		return x.Value, nil
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%v", r.props)) // whose keys fmt sorts
	print := hex.EncodeToString(sum[:8])
	x, ok := e.before[r.path]
	if !ok || x.Print != print {
		value, err := r.draw()
		if err != nil {
			return "", err
		}
		x = randomText{value, print}
	}
	e.random[r.path] = x
	e.secrets[secretName(r.path)] = x.Value
	return x.Value, nil
}

// draw makes a random text as the properties want it.
func (r *resource) draw() (string, error) {
	length := r.whole("length", 32)
	if length < 1 || length > 512 {
		return "", fmt.Errorf("the length %d is not between 1 and 512", length)
	}
	from := r.s.e.opts.Random
	if from == nil {
		from = rand.Reader
	}
	all := ""
	var out []byte
	take := func(set string, n int) error {
		for range n {
			i, err := rand.Int(from, big.NewInt(int64(len(set))))
			if err != nil {
				return err
			}
			out = append(out, set[i.Int64()])
		}
		return nil
	}
	for _, v := range r.list("character_classes") {
		m, _ := v.(map[string]any)
		name := "lettersdigits"
		if m["class"] != nil {
			name = scalarText(m["class"])
		}
		set := classes[name]
		if set == "" {
			return "", fmt.Errorf("no class of characters %q", name)
		}
		all += set
		if err := take(set, least(m["min"])); err != nil {
			return "", err
		}
	}
	for _, v := range r.list("character_sequences") {
		m, _ := v.(map[string]any)
		sequence := scalarText(m["sequence"])
		if sequence == "" || strings.ContainsFunc(sequence, func(c rune) bool { return c > 126 }) {
			return "", fmt.Errorf("the sequence %q is empty, or not ASCII", sequence)
		}
		all += sequence
		for range least(m["min"]) {
			out = append(out, sequence...)
		}
	}
	if all == "" {
		if all = classes[r.text("sequence")]; all == "" {
			all = classes["lettersdigits"]
		}
	}
	if len(out) > length {
		return "", fmt.Errorf("what is wanted at least has %d characters, more than the length %d", len(out), length)
	}
	if err := take(all, length-len(out)); err != nil {
		return "", err
	}
	return shuffled(out, from)
}

func least(v any) int {
	n, ok := numeric(v)
	if !ok || n < 0 {
		return 1
	}
	return int(min(n, 512))
}

func shuffled(b []byte, from io.Reader) (string, error) {
	for i := len(b) - 1; i > 0; i-- {
		j, err := rand.Int(from, big.NewInt(int64(i+1)))
		if err != nil {
			return "", err
		}
		b[i], b[j.Int64()] = b[j.Int64()], b[i]
	}
	return string(b), nil
}

// secretName is the name of the input that keeps a secret out of sight.
func secretName(path string) string { return notName.ReplaceAllString(path, "_") }
