package occi

import (
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// FuzzGrammar: no line of a client makes the reader panic, and what it reads is written so that it is read again as the same.
func FuzzGrammar(f *testing.F) {
	for _, s := range []string{
		`compute; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"; title="a \"b\""; rel="x#y"; location="/compute/"; attributes="a{immutable required} b"; actions="x#z"`,
		`</network/1>; rel="http://x#network"; self="/nic/1"; category="http://x#nic http://x#ip"; occi.x="a, b"; y=3`, `</compute/1?action=start>; rel="http://x#start"`,
		`occi.compute.memory=3.6, occi.core.title="say \", occi.compute.memory=1.0"`, `, a=10.0.0.1, b='c, d'`, `a="\\"`, `a=it's, b="don't"`, `a=b=c`, `a=<b,c>`,
	} {
		for name := range names {
			f.Add(uint8(name), s)
		}
	}
	f.Fuzz(func(t *testing.T, name uint8, s string) {
		limits := Limits{}.withDefaults()
		m := &message{limits: &limits}
		if m.list(names[int(name)%len(names)], s) != nil {
			return
		}
		again := &message{limits: &limits}
		var v view
		for i := range m.categories {
			c := renderCategory(&m.categories[i])
			if l := m.categories[i].Location; strings.ContainsAny(l, "\"\\") || strings.IndexFunc(l, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '<' || r == '>' }) >= 0 {
				return // no location of a category that is kept
			} else if l != "" {
				c.head += `; location="` + l + `"`
			}
			if strings.IndexFunc(m.categories[i].Title, isControl) >= 0 {
				return // written with %
			}
			text := c.head + c.tail
			if m.categories[i].Class == 0 {
				text = strings.Replace(text, `; class=""`, "", 1)
			}
			if err := again.list(nameCategory, text); err != nil {
				t.Fatalf("%q is written as %q: %v", s, text, err)
			}
			for n, d := range m.categories[i].Attributes { // what stands in the text alone
				m.categories[i].Attributes[n] = AttributeDef{Name: d.Name, Immutable: d.Immutable, Required: d.Required}
			}
			if len(m.categories[i].Depends) > 1 {
				m.categories[i].Depends = m.categories[i].Depends[:1] // text shows one
			}
		}
		for _, a := range m.attributes {
			if strings.IndexFunc(valueText(a.Value), isControl) >= 0 {
				return
			}
			if err := again.list(nameAttribute, string(v.appendValue(nil, a.Name, a.Value))); err != nil {
				t.Fatalf("%q is written as %q: %v", s, v.appendValue(nil, a.Name, a.Value), err)
			}
		}
		if !reflect.DeepEqual(m.attributes, again.attributes) || !reflect.DeepEqual(m.categories, again.categories) {
			t.Errorf("%q is read as %v %v, and again as %v %v", s, m.categories, m.attributes, again.categories, again.attributes)
		}
	})
}

// FuzzValue: every text comes back from a rendering, in quotes or not.
func FuzzValue(f *testing.F) {
	for _, s := range []string{"", `"`, `\`, `\"`, "a, b; c=d", "it's", "'a'", "3.6", "true", "ü", "<", "x\ty"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.IndexFunc(s, func(r rune) bool { return isControl(r) && r != '\t' }) >= 0 {
			return
		}
		limits := Limits{}.withDefaults()
		m := &message{limits: &limits}
		line := (&view{}).appendValue(nil, "a", s)
		if err := m.list(nameAttribute, string(line)+", b=1"); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if got, _ := m.attributes.Get("a"); got != s {
			t.Errorf("%q is read as %q", s, got)
		}
	})
}

// FuzzJSON: no body makes the reader panic.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"kind": "http://x#y", "attributes": {"a": 1, "b": [true]}, "links": [{"kind": "http://x#l", "target": {"location": "/a"}}]}`,
		`{"resources": []}`, `{"action": "http://x#y"}`, `{"mixins": [{"term": "t", "scheme": "http://x#", "location": "/t/"}]}`,
		`[{"term": "a", "scheme": "http://x#", "attributes": {"b": "muttable"}, "related": ["http://x#r"]}]`, `{"source": "/a", "target": "/b"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		limits := Limits{}.withDefaults()
		m := &message{limits: &limits}
		_, _ = m.readJSON([]byte(s)) // whatever it is, no panic
	})
}

// empty is a backend without entities.
type empty struct{ model *Model }

func (b empty) Model(context.Context) (*Model, error) { return b.model, nil }
func (empty) List(context.Context, Selection) iter.Seq2[*Entity, error] {
	return func(func(*Entity, error) bool) {}
}
func (empty) Get(_ context.Context, path string) (*Entity, error) { return nil, NotFound(path) }
func (empty) Create(_ context.Context, e *Entity) (*Entity, error) {
	if e.Path == "" {
		e.Path = "/made/1"
	}
	return e, nil
}
func (empty) Update(_ context.Context, path string, _ Change) (*Entity, error) {
	return nil, NotFound(path)
}
func (empty) Delete(_ context.Context, path string) error { return NotFound(path) }
func (empty) Act(_ context.Context, path string, _ Invocation) (*Entity, error) {
	return nil, NotFound(path)
}

// FuzzServer: no request is answered with 500, and no header of an answer holds a line that a client has put there.
func FuzzServer(f *testing.F) {
	f.Add("POST", "/compute/", `compute; scheme="http://schemas.ogf.org/occi/infrastructure#"`, `a="b"`, "", "text/occi", "*/*", false)
	f.Add("POST", "/-/", `t; scheme="http://x#"; class="mixin"; location="/t/"`, "", "", "text/occi", "text/occi", true)
	f.Add("PUT", "/a b?x", "", "", `{"kind": "http://schemas.ogf.org/occi/infrastructure#compute"}`, "application/occi+json", "application/json", false)
	f.Add("GET", "/compute/?page=2&number=3", "", "", "", "", "text/uri-list", true)
	f.Add("DELETE", "/mixins/os_tpl/", "", "", "Category: x", "text/plain", "text/plain;q=0.1", false)
	model := MustModel(append(Core(), Infrastructure()...)...)
	f.Fuzz(func(t *testing.T, method, target, category, attribute, body, media, accept string, hurtle bool) {
		r, err := http.NewRequest(method, "http://x", strings.NewReader(body))
		if err != nil {
			return
		}
		u, err := r.URL.Parse(target)
		if err != nil || u.Host != "x" {
			return
		}
		r.URL = u
		for name, value := range map[string]string{"Category": category, "X-Occi-Attribute": attribute, "Content-Type": media, "Accept": accept} {
			if value != "" {
				r.Header[name] = []string{value}
			}
		}
		w := httptest.NewRecorder()
		check := Strict
		if hurtle {
			check = Unchecked
		}
		NewServer(Options{Backend: empty{model}, Hurtle: hurtle, Check: check}).ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s is answered with 500", method, target)
		}
		for name, values := range w.Header() {
			if strings.ContainsAny(strings.Join(values, ""), "\r\n") {
				t.Errorf("the header %s holds a line: %q", name, values)
			}
		}
	})
}
