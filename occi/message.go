package occi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// A message is what a body or the headers say, before a model has been asked what it means.
type message struct {
	categories []Category
	links      []link
	actions    []actionLink
	attributes Attributes
	locations  []string
	given      int  // attributes that were read, those of the same name among them
	words      bool // bare values are kept as text, whatever they look like
	tolerant   bool // it is an answer: what means nothing is passed over
	limits     *Limits
}

// A link is a Link as it is written.
type link struct {
	target     string
	rel        []TypeID // of the target
	self       string
	category   []TypeID // the kind and the mixins of the link itself
	attributes Attributes
}

// An actionLink is a Link that names an action which may be invoked.
type actionLink struct {
	target string
	action TypeID
}

const maxLinkAttributes = 100

// The names of lines and headers.
const (
	nameCategory  = "Category"
	nameLink      = "Link"
	nameAttribute = "X-OCCI-Attribute"
	nameLocation  = "X-OCCI-Location"
)

var names = []string{nameCategory, nameLink, nameAttribute, nameLocation}

// readHeaders adds what headers say. The lines of one name are one list.
func (m *message) readHeaders(h http.Header) error {
	for _, name := range names {
		lines := h[http.CanonicalHeaderKey(name)]
		if len(lines) == 0 {
			continue
		}
		if err := m.list(name, strings.Join(lines, ", ")); err != nil {
			return err
		}
	}
	return nil
}

// readPlain adds what a body of text/plain says.
func (m *message) readPlain(body string) error {
	for line := range strings.Lines(body) {
		if line = trim(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		known := ""
		for _, n := range names {
			if strings.EqualFold(n, trim(name)) {
				known = n
			}
		}
		if !ok || known == "" {
			if !m.tolerant {
				return fmt.Errorf("the line %s is neither a Category, a Link, an X-OCCI-Attribute nor an X-OCCI-Location", excerpt(line))
			}
			continue
		}
		if err := m.list(known, value); err != nil {
			return err
		}
	}
	return nil
}

// readURIs adds the URLs of a body of text/uri-list.
func (m *message) readURIs(body string) error {
	for line := range strings.Lines(body) {
		if line = trim(line); line != "" && line[0] != '#' {
			if err := m.add(nameLocation, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// list adds the members of a comma list. Empty ones are skipped.
func (m *message) list(name, s string) error {
	for s != "" {
		one, rest, _, err := cut(s, ',')
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s = rest
		if one = trim(one); m.tolerant {
			one = strings.TrimRight(one, "; ")
		}
		if one == "" {
			continue
		}
		if err := m.add(name, one); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// add adds one item.
func (m *message) add(name, s string) error {
	switch name {
	case nameCategory:
		c, err := parseCategory(s)
		if err != nil {
			return err
		}
		m.categories = append(m.categories, c)
		return m.limits.check(len(m.categories), m.limits.Categories, "categories")
	case nameLink:
		l, a, err := parseLink(s, m.words)
		if err != nil {
			return err
		}
		if a.action != "" {
			m.actions = append(m.actions, a)
		} else {
			m.links = append(m.links, l)
		}
		return m.limits.check(len(m.links)+len(m.actions), m.limits.Links, "links")
	case nameAttribute:
		a, err := parseAttribute(s, m.words)
		if err != nil {
			return err
		}
		m.given++
		if err := m.limits.check(m.given, m.limits.Attributes, "attributes"); err != nil {
			return err
		}
		return m.set(a.Name, a.Value)
	case nameLocation:
		m.locations = append(m.locations, s)
		return m.limits.check(len(m.locations), m.limits.Locations, "locations")
	}
	return nil
}

// set gives an attribute its value.
func (m *message) set(name string, value any) error {
	if n := len(valueText(value)); n > m.limits.Value {
		return Errorf(http.StatusRequestEntityTooLarge, "%s has %d bytes; %d are the most", name, n, m.limits.Value)
	}
	m.attributes.Set(name, value)
	return nil
}

// parseCategory reads one category.
func parseCategory(s string) (Category, error) {
	var c Category
	term, rest, err := head(s)
	if err != nil {
		return c, err
	}
	var scheme, rel string
	err = parameters(rest, func(p parameter) (err error) {
		switch strings.ToLower(p.name) {
		case "scheme":
			scheme = p.value
		case "class":
			c.Class, err = parseClass(p.value)
		case "title":
			c.Title = p.value
		case "rel":
			rel = p.value
		case "location":
			c.Location = p.value
		case "attributes":
			c.Attributes, err = parseDefinitions(p.value)
		case "actions":
			c.Actions, err = parseTypeIDs(p.value)
		}
		return err
	})
	if err != nil {
		return c, err
	}
	if scheme == "" {
		return c, fmt.Errorf(`%s has no scheme; write %.60s; scheme="…#"; class="…"`, excerpt(s), term)
	}
	if c.ID, err = newTypeID(scheme, term); err != nil {
		return c, err
	}
	related, err := parseTypeIDs(rel)
	if err != nil {
		return c, err
	}
	if c.Class == Kind && len(related) > 0 {
		c.Parent = related[0]
	} else {
		c.Depends = related
	}
	return c, nil
}

func parseClass(s string) (Class, error) {
	for _, c := range []Class{Kind, Mixin, Action} {
		if s == c.String() {
			return c, nil
		}
	}
	return 0, fmt.Errorf("the class %s is neither kind, mixin nor action", excerpt(s))
}

func parseTypeIDs(s string) ([]TypeID, error) {
	var out []TypeID
	for word := range strings.FieldsSeq(s) {
		id, err := ParseTypeID(word)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

// parseDefinitions reads the attributes of a category: names, some with properties in braces.
func parseDefinitions(s string) ([]AttributeDef, error) {
	var out []AttributeDef
	for s = trim(s); s != ""; s = trim(s) {
		end := strings.IndexAny(s, " \t{")
		if end < 0 {
			end = len(s)
		}
		d := AttributeDef{Name: s[:end]}
		if !isName(d.Name) {
			return nil, fmt.Errorf("%s is no name of an attribute", excerpt(d.Name))
		}
		if s = s[end:]; s != "" && s[0] == '{' {
			properties, rest, ok := strings.Cut(s[1:], "}")
			if !ok {
				return nil, fmt.Errorf("the { after %s is not closed", d.Name)
			}
			s = rest
			for word := range strings.FieldsSeq(properties) {
				switch word {
				case "immutable":
					d.Immutable = true
				case "required":
					d.Required = true
				}
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// isName reports whether s may be the name of an attribute.
func isName(s string) bool {
	if s == "" || !isAlnum(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && strings.IndexByte("._-:/$@+", c) < 0 {
			return false
		}
	}
	return true
}

// parseAttribute reads one attribute.
func parseAttribute(s string, words bool) (Attribute, error) {
	name, value, ok := strings.Cut(s, "=")
	name = trim(name)
	if !ok {
		return Attribute{}, fmt.Errorf(`%s has no "="; write name="value"`, excerpt(s))
	}
	if !isName(name) {
		return Attribute{}, fmt.Errorf("%s is no name of an attribute", excerpt(name))
	}
	value = trim(value)
	text, quoted := unquote(value)
	if !quoted && strings.Contains(value, `"`) {
		return Attribute{}, fmt.Errorf("the quotes do not enclose the value as a whole: %s", excerpt(s))
	}
	return Attribute{name, bareValue(text, quoted || words)}, nil
}

// bareValue returns the value that a text stands for, which is a number or truth value only without quotes.
func bareValue(s string, quoted bool) any {
	switch {
	case quoted || s == "":
	case s == "true":
		return true
	case s == "false":
		return false
	case isNumber(s):
		return json.Number(s)
	}
	return s
}

// isNumber reports whether s is a number as JSON writes them.
func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') && json.Valid([]byte(s))
}

// parseLink reads a link, or a link to an action.
func parseLink(s string, words bool) (link, actionLink, error) {
	var l link
	target, rest, err := head(s)
	if err != nil {
		return l, actionLink{}, err
	}
	if len(target) < 3 || target[0] != '<' || target[len(target)-1] != '>' {
		return l, actionLink{}, fmt.Errorf(`%s does not begin with <URI>; write <URI>; rel="…"; category="…"`, excerpt(s))
	}
	l.target = target[1 : len(target)-1]
	err = parameters(rest, func(p parameter) (err error) {
		switch p.name {
		case "rel":
			l.rel, err = parseTypeIDs(p.value)
		case "self":
			l.self = p.value
		case "category":
			l.category, err = parseTypeIDs(p.value)
		default:
			if !isName(p.name) {
				return fmt.Errorf("%s is no name of an attribute", excerpt(p.name))
			}
			if l.attributes.Set(p.name, bareValue(p.value, p.quoted || words)); len(l.attributes) > maxLinkAttributes {
				return fmt.Errorf("a link may have at most %d attributes", maxLinkAttributes)
			}
		}
		return err
	})
	if err != nil {
		return l, actionLink{}, err
	}
	if _, term, ok := strings.Cut(l.target, "?action="); ok {
		if len(l.rel) != 1 || l.rel[0].Term() != term {
			return l, actionLink{}, fmt.Errorf("%s: rel is not the action of the link", excerpt(s))
		}
		return l, actionLink{l.target, l.rel[0]}, nil
	}
	return l, actionLink{}, nil
}
