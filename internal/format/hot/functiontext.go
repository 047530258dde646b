package hot

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// How strict str_replace is about its parameters.
const (
	lenient    = iota
	strict     // each must be in the template
	veryStrict // and none may be empty
)

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

func (f *frame) strReplace(at tree.Place, v any, strictness int) (any, error) {
	m, ok := v.(map[string]any)
	if !ok || m["params"] == nil {
		return nil, errors.New("str_replace needs template and params")
	}
	for k := range m {
		if k != "template" && k != "params" {
			return nil, fmt.Errorf("unknown key %q%s", k, nearest.Hint(k, []string{"template", "params"}))
		}
	}
	template, ok := m["template"].(string)
	if !ok && m["template"] != nil {
		var err error
		if template, err = written(m["template"]); err != nil {
			return nil, err
		}
	}
	params, ok := m["params"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("params needs keys and values, found %.60q", scalarOrKind(m["params"]))
	}
	keys := sortedKeys(params)
	// Longer ones first, so that none hides in another.
	slices.SortStableFunc(keys, func(a, b string) int { return len(b) - len(a) })
	pieces := []piece{{template, false}}
	for _, key := range keys {
		if key == "" {
			return nil, errors.New("the name of a parameter is empty")
		}
		with, err := f.parameterText(params[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if strictness == veryStrict && with == "" {
			return nil, fmt.Errorf("%s is empty", key)
		}
		var found int
		if pieces, found, err = f.cut(at, pieces, key, with); err != nil {
			return nil, err
		}
		if found == 0 && strictness != lenient {
			return nil, fmt.Errorf("%s is not in the template", key)
		}
	}
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.text)
	}
	return b.String(), nil
}

// parameterText writes the value of a parameter of str_replace.
func (f *frame) parameterText(v any) (string, error) {
	switch v.(type) {
	case []any, map[string]any, wild:
		if f.t.version < versionJSON {
			return "", fmt.Errorf("expected text or a number, found a list or a mapping; heat_template_version %s takes them", versions[versionJSON].date)
		}
	}
	return written(v)
}

// A piece of a text; one that is done is not looked through again.
type piece struct {
	text string
	done bool
}

// cut replaces a key in the pieces that are still to be done, and reports how often.
func (f *frame) cut(at tree.Place, pieces []piece, key, with string) (out []piece, found int, err error) {
	for _, p := range pieces {
		if p.done || !strings.Contains(p.text, key) {
			out = append(out, p)
			continue
		}
		parts := strings.Split(p.text, key)
		if err := f.e.spend(at, (len(parts)-1)*len(with)+len(p.text)); err != nil {
			return nil, 0, err
		}
		found += len(parts) - 1
		for i, part := range parts {
			if i > 0 {
				out = append(out, piece{with, true})
			}
			if part != "" {
				out = append(out, piece{part, false})
			}
		}
	}
	return out, found, nil
}

func (f *frame) listJoin(at tree.Place, v any) (any, error) {
	most := -1
	if f.t.version < versionLists {
		most = 2
	}
	args, err := arguments(v, "[delimiter, list]", 2, most)
	if err != nil {
		return nil, err
	}
	between, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("the delimiter must be text, found %.60q", scalarOrKind(args[0]))
	}
	var parts []string
	size := 0
	for _, a := range args[1:] {
		list, ok := a.([]any)
		if a == nil {
			continue
		}
		if !ok {
			return nil, fmt.Errorf("expected a list to join, found %.60q", scalarOrKind(a))
		}
		for _, x := range list {
			text, err := f.parameterText(x)
			if err != nil {
				return nil, err
			}
			parts = append(parts, text)
			size += len(text) + len(between)
		}
		if err := f.e.spend(at, size); err != nil {
			return nil, err
		}
	}
	return strings.Join(parts, between), nil
}

func (f *frame) strSplit(at tree.Place, v any) (any, error) {
	args, err := arguments(v, "[delimiter, text, index]", 2, 3)
	if err != nil {
		return nil, err
	}
	between, ok := args[0].(string)
	text, also := args[1].(string)
	if args[1] == nil {
		return nil, nil
	}
	if !ok || !also || between == "" {
		return nil, errors.New("the delimiter and what is split must be texts")
	}
	if err := f.e.spend(at, 16*strings.Count(text, between)); err != nil {
		return nil, err
	}
	parts := strings.Split(text, between)
	if len(args) == 3 {
		i, err := strconv.Atoi(scalarText(args[2]))
		if err != nil || i < -len(parts) || i >= len(parts) {
			return nil, fmt.Errorf("there is no part %s of %d", scalarText(args[2]), len(parts))
		}
		return parts[(i+len(parts))%len(parts)], nil
	}
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out, nil
}

var digests = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

func (f *frame) digest(at tree.Place, v any) (any, error) {
	args, err := arguments(v, "[algorithm, text]", 2, 2)
	if err != nil {
		return nil, err
	}
	name, _ := args[0].(string)
	text, ok := args[1].(string)
	make := digests[strings.ToLower(name)]
	switch {
	case make == nil:
		names := slices.Sorted(maps.Keys(digests))
		return nil, fmt.Errorf("no algorithm %q%s; there are %s", name, nearest.Hint(name, names), strings.Join(names, ", "))
	case !ok:
		return nil, fmt.Errorf("expected text, found %.60q", scalarOrKind(args[1]))
	case marked(text):
		return nil, wrong(at, "there is no digest of what is known only once it is there")
	}
	h := make()
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (f *frame) mapMerge(at tree.Place, v any) (any, error) {
	args, err := arguments(v, "a list of mappings", 0, -1)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, a := range args {
		m, ok := a.(map[string]any)
		if !ok && a != nil {
			return nil, fmt.Errorf("expected a mapping to merge, found %.60q", scalarOrKind(a))
		}
		if err := f.e.spend(at, 32*len(m)); err != nil {
			return nil, err
		}
		maps.Copy(out, m)
	}
	return out, nil
}

func (f *frame) mapReplace(at tree.Place, v any) (any, error) {
	args, err := arguments(v, "[mapping, {keys: …, values: …}]", 2, 2)
	if err != nil {
		return nil, err
	}
	from, ok := args[0].(map[string]any)
	with, also := args[1].(map[string]any)
	if !ok || !also {
		return nil, errors.New("expected [mapping, {keys: …, values: …}]")
	}
	keys, _ := with["keys"].(map[string]any)
	values, _ := with["values"].(map[string]any)
	for k := range with {
		if k != "keys" && k != "values" {
			return nil, fmt.Errorf("unknown key %q: there are keys and values", k)
		}
	}
	out := make(map[string]any, len(from))
	for _, k := range sortedKeys(from) {
		v := from[k]
		if s, ok := v.(string); ok {
			if with, ok := values[s]; ok {
				v = with
			}
		}
		if with, ok := keys[k]; ok {
			k = scalarText(with)
		}
		if _, twice := out[k]; twice {
			return nil, fmt.Errorf("two keys become %q", k)
		}
		out[k] = v
	}
	return out, f.e.spend(at, 32*len(out))
}

func (f *frame) listConcat(v any, unique bool) (any, error) {
	args, err := arguments(v, "a list of lists", 0, -1)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, a := range args {
		list, ok := a.([]any)
		if !ok && a != nil {
			return nil, fmt.Errorf("expected a list, found %.60q", scalarOrKind(a))
		}
		for _, x := range list {
			if unique && slices.ContainsFunc(out, func(y any) bool { return same(x, y) }) {
				continue
			}
			out = append(out, x)
			if f.e.steps++; f.e.steps > maxSteps || unique && len(out) > 10_000 {
				return nil, fmt.Errorf("the list becomes too long")
			}
		}
	}
	return out, nil
}

func (f *frame) filter(_ tree.Place, v any) (any, error) {
	args, err := arguments(v, "[values, list]", 2, 2)
	if err != nil {
		return nil, err
	}
	unwanted, ok := args[0].([]any)
	list, also := args[1].([]any)
	if !ok || !also {
		return nil, errors.New("expected [values, list]")
	}
	out := []any{}
	for _, x := range list {
		if !slices.ContainsFunc(unwanted, func(y any) bool { return same(x, y) }) {
			out = append(out, x)
		}
	}
	f.e.steps += len(list) * len(unwanted) / 16
	return out, nil
}

func (f *frame) contains(_ tree.Place, v any) (any, error) {
	args, err := arguments(v, "[value, list]", 2, 2)
	if err != nil {
		return nil, err
	}
	switch in := args[1].(type) {
	case []any:
		return slices.ContainsFunc(in, func(x any) bool { return same(x, args[0]) }), nil
	case map[string]any:
		_, ok := in[scalarText(args[0])]
		return ok, nil
	case string:
		return strings.Contains(in, scalarText(args[0])), nil
	}
	return nil, fmt.Errorf("expected a list, a mapping or a text to look into, found %.60q", scalarOrKind(args[1]))
}

var urlKeys = []string{"scheme", "username", "password", "host", "port", "path", "query", "fragment"}

func (f *frame) makeURL(_ tree.Place, v any) (any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("make_url needs keys and values")
	}
	for k := range m {
		if !slices.Contains(urlKeys, k) {
			return nil, fmt.Errorf("unknown key %q%s", k, nearest.Hint(k, urlKeys))
		}
	}
	text := func(key string) string { return scalarText(m[key]) }
	var b strings.Builder
	if s := text("scheme"); s != "" {
		b.WriteString(strings.TrimSuffix(s, ":") + ":")
	}
	host := text("host")
	if host != "" {
		b.WriteString("//")
		if user := text("username"); user != "" {
			b.WriteString(url.QueryEscape(user))
			if pass := text("password"); pass != "" {
				b.WriteString(":" + url.QueryEscape(pass))
			}
			b.WriteByte('@')
		}
		if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
			host = "[" + host + "]"
		}
		b.WriteString(host)
		if port := text("port"); port != "" {
			if n, err := strconv.Atoi(port); !marked(port) && (err != nil || n < 1 || n > 65535) {
				return nil, fmt.Errorf("%q is no port", port)
			}
			b.WriteString(":" + port)
		}
	}
	if p := text("path"); p != "" {
		if host != "" && !strings.HasPrefix(p, "/") {
			p = "/" + p
		}
		b.WriteString((&url.URL{Path: p}).EscapedPath())
	}
	if q, ok := m["query"].(map[string]any); ok && len(q) > 0 {
		values := url.Values{}
		for k, v := range q {
			values.Set(k, scalarText(v))
		}
		b.WriteString("?" + values.Encode())
	}
	if s := text("fragment"); s != "" {
		b.WriteString("#" + url.PathEscape(s))
	}
	return unescaped(b.String()), nil
}

// unescaped puts marks back that escaping has taken apart.
func unescaped(s string) string {
	if !strings.Contains(s, "%F3%B") {
		return s
	}
	for i := strings.Index(s, "%F3%B"); i >= 0; {
		if i+12 <= len(s) {
			if r, err := url.PathUnescape(s[i : i+12]); err == nil && marked(r) {
				s = s[:i] + r + s[i+12:]
			}
		}
		next := strings.Index(s[i+1:], "%F3%B")
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return s
}

// pick is Fn::Select.
func (f *frame) pick(_ tree.Place, v any) (any, error) {
	args, err := arguments(v, "[index, list]", 2, 2)
	if err != nil {
		return nil, err
	}
	out, err := dig(args[1], args[:1])
	if out == nil && err == nil {
		return "", nil
	}
	return out, err
}

// replacePairs is Fn::Replace.
func (f *frame) replacePairs(at tree.Place, v any) (any, error) {
	args, err := arguments(v, "[pairs, text]", 2, 2)
	if err != nil {
		return nil, err
	}
	return f.strReplace(at, map[string]any{"params": args[0], "template": args[1]}, lenient)
}

// memberList is Fn::MemberListToMap.
func (f *frame) memberList(_ tree.Place, v any) (any, error) {
	args, err := arguments(v, "[key, value, list]", 3, 3)
	if err != nil {
		return nil, err
	}
	list, ok := args[2].([]any)
	if !ok {
		return nil, errors.New("expected a list of members")
	}
	keys, values := map[string]string{}, map[string]any{}
	for _, x := range list {
		name, value, ok := strings.Cut(scalarText(x), "=")
		parts := strings.SplitN(name, ".", 3)
		if !ok || len(parts) != 3 {
			return nil, fmt.Errorf("expected .member.0.%s=…, found %.60q", scalarText(args[0]), scalarText(x))
		}
		number, field, _ := strings.Cut(parts[2], ".")
		switch field {
		case scalarText(args[0]):
			keys[number] = value
		case scalarText(args[1]):
			values[number] = value
		}
	}
	out := map[string]any{}
	for number, key := range keys {
		out[key] = values[number]
	}
	return out, nil
}
