package cloudinit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

const defaultMode = 0o644

// config reads #cloud-config. Keys of a later part stand in place of those of an earlier one.
func (p *Plan) config(text []byte) error {
	v, err := ParseYAML(text)
	if err != nil {
		return fmt.Errorf("it begins with #cloud-config, but is no YAML: %w", err)
	}
	all, ok := v.(map[string]any)
	if !ok && v != nil {
		return errors.New("it begins with #cloud-config, but does not consist of keys and values")
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		v := all[key]
		var err error
		switch key {
		case "write_files":
			err = p.files(v)
		case "bootcmd":
			p.Boot = p.commands(key, v, p.Boot)
		case "runcmd":
			p.Run = p.commands(key, v, p.Run)
		case "hostname", "fqdn":
			if s, ok := v.(string); ok && (key == "hostname" || p.Hostname == "") {
				p.Hostname = s
			}
		default:
			p.warn("%s is ignored", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// list returns a value's items, and warns when it has none of that kind.
func (p *Plan) list(key string, v any) []any {
	items, ok := v.([]any)
	if !ok && v != nil {
		p.warn("%s is ignored: it is no list", key)
	}
	return items
}

// commands reads bootcmd or runcmd; before are those of an earlier part.
func (p *Plan) commands(key string, v any, before []Command) []Command {
	items := p.list(key, v)
	if items == nil {
		return before
	}
	if len(before) > 0 {
		p.warn("%s of an earlier part is replaced", key)
	}
	var out []Command
	for n, item := range items {
		switch item := item.(type) {
		case nil:
		case []any:
			var args []string
			for _, a := range item {
				word, ok := scalar(a)
				if !ok {
					args = nil
					break
				}
				args = append(args, word)
			}
			if args == nil && len(item) > 0 {
				p.warn("%s[%d] is ignored: its arguments are no texts", key, n)
			} else if args != nil {
				out = append(out, Command{Args: args})
			}
		default:
			if line, ok := scalar(item); ok {
				out = append(out, Command{Shell: line})
			} else {
				p.warn("%s[%d] is ignored: it is neither text nor a list", key, n)
			}
		}
	}
	return out
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int, int64, uint64:
		return fmt.Sprint(v), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	return "", false
}

func (p *Plan) files(v any) error {
	if len(p.Files) > 0 {
		p.warn("write_files of an earlier part is replaced")
		p.Files = nil
	}
	for n, item := range p.list("write_files", v) {
		m, _ := item.(map[string]any)
		path, _ := m["path"].(string)
		if path == "" {
			p.warn("write_files[%d] is ignored: it has no path", n)
			continue
		}
		f := File{Path: path, Mode: p.mode(n, m["permissions"])}
		f.Owner, _ = m["owner"].(string)
		f.Append, _ = m["append"].(bool)
		text, _ := scalar(m["content"])
		encoding, _ := m["encoding"].(string)
		content, err := p.content(text, encoding)
		if err != nil {
			return fmt.Errorf("write_files[%d] (%s): %w", n, path, err)
		}
		if m["source"] != nil {
			p.warn("the source of write_files[%d] (%s) is ignored: nothing is fetched", n, path)
		}
		f.Content = content
		if err := p.grow(len(content)); err != nil {
			return err
		}
		p.Files = append(p.Files, f)
	}
	return nil
}

// mode reads permissions: a text is octal, a number is what YAML has made of it.
func (p *Plan) mode(n int, v any) uint32 {
	switch v := v.(type) {
	case nil:
		return defaultMode
	case string:
		if m, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(v)), "0o"), 8, 32); err == nil && m <= 0o7777 {
			return uint32(m & 0o777)
		}
	case uint64:
		if v <= 0o7777 {
			return uint32(v & 0o777)
		}
	case int64:
		if v >= 0 && v <= 0o7777 {
			return uint32(v & 0o777)
		}
	case float64:
		if v == math.Trunc(v) && v >= 0 && v <= 0o7777 {
			return uint32(v) & 0o777
		}
	}
	p.warn("the permissions of write_files[%d] are no octal number; 0644 is taken", n)
	return defaultMode
}

// content decodes what a file holds.
func (p *Plan) content(text, encoding string) ([]byte, error) {
	var decode, unzip bool
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "text/plain":
	case "b64", "base64":
		decode = true
	case "gz", "gzip":
		unzip = true
	case "gz+b64", "gz+base64", "gzip+b64", "gzip+base64":
		decode, unzip = true, true
	default:
		p.warn("the encoding %q is not known; the text is taken as it is", encoding)
	}
	out := []byte(text)
	if decode {
		clean := strings.Join(strings.Fields(text), "")
		raw, err := base64.StdEncoding.DecodeString(clean)
		if err != nil {
			return nil, fmt.Errorf("decode base64: %w", err)
		}
		out = raw
	}
	if unzip {
		return gunzip(out)
	}
	return out, nil
}
