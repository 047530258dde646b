package oneflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":{"d":2,"c":[]}}`:                      `{"b":1,"a":{"d":2,"c":[]}}`,
		`{"a":1,"b":2,"a":3}`:                             `{"a":3,"b":2}`,
		"{// x\n\"a\": /* y */ 1 /* \n */}":               `{"a":1}`,
		`{"url":"http://x/*y*/","q":"\"//"}`:              `{"url":"http://x/*y*/","q":"\"//"}`,
		"\xef\xbb\xbf{}":                                  `{}`,
		`{"n":1.50,"big":123456789012345678901234567890}`: `{"n":1.50,"big":123456789012345678901234567890}`,
		"{}// end":    `{}`,
		`{"s":"<é>"}`: `{"s":"<é>"}`,
	} {
		b, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got, _ := b.MarshalJSON(); string(got) != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "line 1, column 1: not JSON: unexpected end of JSON input"},
		{"{bad", "line 1, column 2: not JSON: invalid character 'b' looking for beginning of object key string"},
		{"{\"a\": 1,\n }", "line 2, column 2: not JSON: invalid character '}' looking for beginning of object key string"},
		{"[1,]", "line 1, column 4: not JSON: invalid character ']' looking for beginning of value"},
		{`{"a":NaN}`, "line 1, column 6: not JSON: invalid character 'N' looking for beginning of value"},
		{"{} {}", "line 1, column 4: not JSON: invalid character '{' after top-level value"},
		{"{\n/* é */ x", "line 2, column 9: not JSON: invalid character 'x' looking for beginning of object key string"},
		{"{\n /* no end", "line 2, column 2: the comment does not end"},
		{"{\"a\":\"\xff\"}", "line 1, column 7: the text is not UTF-8"},
		{`{"a":"`, "line 1, column 7: not JSON: unexpected end of JSON input"},
		{"/", "line 1, column 1: not JSON: invalid character '/' looking for beginning of value"},
	} {
		_, err := Parse([]byte(c.in))
		var e *Error
		if !errors.As(err, &e) || e.Error() != c.want || e.Kind != Malformed {
			t.Errorf("%q: %v, want %s", c.in, err, c.want)
		}
	}
	deep := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	if _, err := Parse([]byte(deep)); err == nil || err.Error() != "line 1, column 65: nested more than 64 deep" {
		t.Error(err)
	}
	if _, err := Parse([]byte(strings.Repeat("[", 1<<20))); err == nil {
		t.Error("a million brackets were accepted")
	}
	if _, err := Parse(bytes.Repeat([]byte(" "), MaxBody+1)); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"name":"s","roles":[{"name":"r","vm_template":"0","parents":["r"]}]}`, "{// x\n}", `{"a":[1,{"b":null}]}`, "[", `{"a":1,"a":2}`,
		`{"name":"s","roles":[{"name":"r","vm_template_contents":"A=[B=1]","min_vms":1,"max_vms":2,"elasticity_policies":[{"type":"CHANGE","adjust":1,"expression":"A>1"}]}],"custom_attrs":{"A":"M|text|x||y"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Parse(data)
		if err != nil {
			return
		}
		text, err := b.MarshalJSON()
		if err != nil || !json.Valid(text) {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := Parse(text)
		if err != nil || !Equal(b.Root(), again.Root()) {
			t.Fatalf("%s is not what was read: %v", text, err)
		}
		if _, err := b.Normalise(); err != nil {
			return
		}
		for _, g := range []Generation{New, Old} {
			c, err := b.In(g)
			if err != nil {
				continue
			}
			if _, err := c.Normalise(); err != nil {
				t.Fatalf("%s converted to %d: %v", text, g, err)
			}
		}
		if _, _, err := b.ToSpec(testOptions()); err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
		_, _, _ = b.Instantiate(b.Root())
	})
}
