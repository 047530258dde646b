package oneflow

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  `{}`,
		"NIC=[A=1]\nNIC=[A=2]\nB=\"x=y,z\"": `{"NIC":[{"A":"1"},{"A":"2"}],"B":"x=y,z"}`,
		"NIC = [\n  NAME = \"NIC0\",\n  ID = \"$N\"\n]\n": `{"NIC":[{"NAME":"NIC0","ID":"$N"}]}`,
		"A = b c \n# comment = no\n\nD=":                  `{"A":"b c","D":""}`,
		"A=1\nA=2\nA=3":                                   `{"A":["1","2","3"]}`,
		"A=1\nA=[B=2]":                                    `{"A":["1",{"B":"2"}]}`,
		`S="echo \"hi\" \\ there"`:                        `{"S":"echo \"hi\" \\ there"}`,
		"S=\"two\nlines\" # why":                          `{"S":"two\nlines"}`,
		`A="x" and "y"`:                                   `{"A":"x and y"}`,
		`A=5" disk`:                                       `{"A":"5 disk"}`,
		`V=[A="x, y]",B=z w]`:                             `{"V":[{"A":"x, y]","B":"z w"}]}`,
		"V=[]":                                            `{"V":[{}]}`,
		"READY = YES\r\nX=1\r\n":                          `{"READY":"YES","X":"1"}`,
		"a=b=c":                                           `{"a":"b=c"}`,
	} {
		o, err := ParseText(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if got := scalar(o); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"A=1\nB 2":      "line 2, column 1: expected KEY = VALUE",
		"= 2":           "line 1, column 1: expected KEY = VALUE",
		"A=\"x":         "line 1, column 3: the quote does not end",
		"A=[B=1":        "line 1, column 7: expected ]",
		"A=[B]":         "line 1, column 4: expected KEY = VALUE",
		"A=[B=\"1\" 2]": "line 1, column 10: expected , or ]",
		"A=[B=1] x":     "line 1, column 10: expected the end of the line after ]",
		"A=\xff":        "line 1, column 1: the template is not UTF-8",
	} {
		if _, err := ParseText(in); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
	if _, err := ParseText(strings.Repeat("A=1\n", MaxText/4+1)); err == nil {
		t.Error("a text over the limit was accepted")
	}
	if _, err := ParseText(strings.Repeat("A=1\n", MaxText/8)); err != nil {
		t.Error(err)
	}
}

func TestTextRoundTrip(t *testing.T) {
	name := rapid.StringMatching(`[A-Z_][A-Z0-9_]{0,5}`)
	rapid.Check(t, func(t *rapid.T) {
		o := new(Object)
		for range rapid.IntRange(0, 5).Draw(t, "keys") {
			if rapid.Bool().Draw(t, "vector") {
				v := new(Object)
				for range rapid.IntRange(0, 3).Draw(t, "members") {
					v.Set(name.Draw(t, "member"), rapid.String().Draw(t, "value"))
				}
				repeat(o, name.Draw(t, "key"), []any{v})
			} else {
				repeat(o, name.Draw(t, "key"), rapid.String().Draw(t, "value"))
			}
		}
		text, err := PrintText(o)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseText(text)
		if err != nil || !Equal(o, again) {
			t.Fatalf("%s printed as %q is %v: %v", scalar(o), text, again, err)
		}
	})
}

func TestPrintTextRefusesKeysThatWouldBreakOut(t *testing.T) {
	for _, key := range []string{"", "A=1\nB", "A B]", " A", `"`} {
		o := new(Object)
		o.Set(key, "x")
		if _, err := PrintText(o); err == nil && key != "A B" {
			t.Errorf("%q was printed", key)
		}
	}
}

func FuzzParseText(f *testing.F) {
	for _, s := range []string{"A=1", "NIC = [\n A = \"x\",\n B=2 ]\n", "A=\"x\\\"y\"", "# c\nA=[", "A=1\nA=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := ParseText(text)
		if err != nil {
			return
		}
		printed, err := PrintText(o)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := ParseText(printed)
		if err != nil || !Equal(o, again) {
			t.Fatalf("%q printed as %q: %v", text, printed, err)
		}
	})
}
