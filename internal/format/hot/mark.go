package hot

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/format/tree"
)

// A target is something that is known once it is there.
type target struct {
	of    owner
	node  string // the role or resource, as the specification calls it
	index int    // of the instance in the role
	field string
}

// An owner is what a target belongs to.
type owner uint8

// The owners.
const (
	ofService  owner = iota
	ofRole           // an instance of a role: address, address.N, uuid, name, attribute.KEY
	ofInstance       // the instance that is made itself: number
	ofResource       // a resource of the service: id, name, address
)

// Marks are the characters of a private plane of Unicode, so that no text that people write has them.
const (
	firstMark = 0xF0000
	lastMark  = 0xFFFFD
)

// marks gives targets their characters.
type marks struct {
	targets []target
	index   map[target]rune
}

// mark returns the text that stands for a target.
func (m *marks) mark(t target) (string, error) {
	if r, ok := m.index[t]; ok {
		return string(r), nil
	}
	r := rune(firstMark + len(m.targets))
	if r > lastMark {
		return "", fmt.Errorf("the template speaks of more than %d things that are known only later", lastMark-firstMark)
	}
	if m.index == nil {
		m.index = map[target]rune{}
	}
	m.index[t] = r
	m.targets = append(m.targets, t)
	return string(r), nil
}

// target returns what a character stands for; false for an ordinary one.
func (m *marks) target(r rune) (target, bool) {
	if i := int(r) - firstMark; i >= 0 && i < len(m.targets) {
		return m.targets[i], true
	}
	return target{}, false
}

// only returns the target of a text that is one mark and nothing else.
func (m *marks) only(v any) (target, bool) {
	s, ok := v.(string)
	if !ok || len(s) != utf8.UTFMax {
		return target{}, false
	}
	r, _ := utf8.DecodeRuneInString(s)
	return m.target(r)
}

// marked reports whether a text holds a mark, or a character that could be taken for one.
func marked(s string) bool {
	if strings.IndexByte(s, 0xF3) < 0 {
		return false
	}
	for _, r := range s {
		if r >= firstMark && r <= lastMark {
			return true
		}
	}
	return false
}

// plainText refuses a text from outside that holds a character which could be taken for a mark.
func plainText(at tree.Place, s string) (string, error) {
	if marked(s) {
		return "", wrong(at, "the text holds a character of Unicode's private plane 15, which has no meaning here")
	}
	return s, nil
}

// filled returns a text with each mark replaced by what f makes of its target, and anything else by what quote makes of
// it.
func (m *marks) filled(s string, f func(target) string, quote func(string) string) string {
	if !marked(s) {
		return quote(s)
	}
	var b strings.Builder
	from := 0
	for i, r := range s {
		t, ok := m.target(r)
		if !ok {
			continue
		}
		b.WriteString(quote(s[from:i]))
		b.WriteString(f(t))
		from = i + utf8.RuneLen(r)
	}
	b.WriteString(quote(s[from:]))
	return b.String()
}

// expression returns what the templates of a role see in the place of a target.
func (t target) expression(role string) string {
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
	switch t.of {
	case ofService:
		return "{{ service." + t.field + " }}"
	case ofInstance:
		return "{{ instance." + t.field + " }}"
	case ofResource:
		if t.field == "mac" {
			id := "resources[" + quote(t.node) + "].id"
			return "fa:16:3e:{{ " + id + "[0:2] }}:{{ " + id + "[2:4] }}:{{ " + id + "[4:6] }}"
		}
		return "{{ resources[" + quote(t.node) + "]." + t.field + " }}"
	}
	if t.node == role {
		field, _, _ := strings.Cut(t.field, ".")
		return "{{ instance." + field + " }}"
	}
	peer := "roles[" + quote(t.node) + "][" + strconv.Itoa(t.index) + "]"
	switch field, rest, _ := strings.Cut(t.field, "."); {
	case field == "attribute":
		return "{{ " + peer + ".attributes[" + quote(rest) + "] }}"
	case rest != "":
		return "{{ " + peer + ".addresses[" + rest + "] or " + peer + ".address }}"
	}
	return "{{ " + peer + "." + t.field + " }}"
}

// literal writes a text so that the templates of a role take it as it is.
func literal(s string) string {
	if !strings.ContainsRune(s, '{') {
		return s
	}
	return literals.Replace(s)
}

var literals = strings.NewReplacer("{{", "{{ '{{' }}", "{%", "{{ '{%' }}", "{#", "{{ '{#' }}")
