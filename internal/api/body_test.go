package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestBodies(t *testing.T) {
	f := serve(t, Options{}, nil, native)
	tests := []struct {
		name, body string
		status     int
		answer     string // part of it
	}{
		{"good", `{"Roles":[{"Cardinality":2}]}`, 200, `"Cardinality":2`},
		{"good with white space", " {\n}\n", 200, "null"},
		{"none", "", 400, "no body"},
		{"too large", `{"x":"` + strings.Repeat("x", maxBody) + `"}`, 413, "larger than 8 MiB"},
		{"too deep", strings.Repeat("[", 1e6), 400, "line 1, column 65: nested deeper than 64 levels"},
		{"deep text is no depth", `{"x":"` + strings.Repeat(`[{\"`, 1000) + `"}`, 200, ""},
		{"wrong type", `{"x":1,"Roles":[{"Cardinality":1},{"Cardinality":"two"}]}`, 400, `"location":"body.Roles[1].Cardinality","message":"a string cannot be used here; give an integer"`},
		{"wrong type of a whole", `{"Roles":[{"Cardinality":1}, [7]]}`, 400, `"location":"body.Roles[1]"`},
		{"wrong type at the top", `[]`, 400, `"location":"body","message":"an array cannot`},
		{"syntax", "{\n  \"a\": 1,\n  b\n}", 400, "line 3, column 3: invalid character 'b'"},
		{"cut off", `{"a":`, 400, "unexpected end"},
		{"trailing", `{} {}`, 400, "line 1, column 4: more text after the end"},
		{"one byte", `x`, 400, "line 1, column 1"},
		{"broken UTF-8", "{\"a\":\"\xff\"}", 400, "line 1, column 7: broken UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := f.do(t, "POST", "/v1/echo", "ann", tt.body, "Content-Type", "application/x-www-form-urlencoded")
			if got.status != tt.status || !strings.Contains(got.body, tt.answer) {
				t.Errorf("%d %s", got.status, got.body)
			}
			if tt.status >= 400 && got.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("Content-Type %q", got.header.Get("Content-Type"))
			}
		})
	}
}

func FuzzUnmarshalJSON(f *testing.F) {
	for _, seed := range []string{`{"roles":[{"n":1},{"n":"x"}]}`, `{"a\"b":{"n":[]}}`, `[[[`, `{"n":1}x`, "\xff", `{"roles":{}}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v struct {
			N     int
			Roles []struct{ N uint8 }
			M     map[string][]float64
		}
		err := UnmarshalJSON(data, &v)
		if ok := json.Unmarshal(data, &v) == nil; err == nil && !ok {
			t.Error("accepted what encoding/json refuses")
		}
		var p *Problem
		if err != nil && (!errors.As(err, &p) || p.Status != 400 || len(p.Errors) != 1) {
			t.Errorf("error %#v", err)
		}
	})
}

// However deep a value lies, its place is found from its offset.
func TestPlaceAt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, place := "@", "" // each level wraps the one before, with its step in front of the place
		for range rapid.IntRange(0, 12).Draw(t, "levels") {
			if rapid.Bool().Draw(t, "array") {
				n := rapid.IntRange(0, 3).Draw(t, "index")
				text = "[ " + strings.Repeat(`{"x":[1,"]",{}]},`, n) + text + `, [2] ]`
				place = fmt.Sprintf("[%d]%s", n, place)
				continue
			}
			key := rapid.StringMatching(`[a-z"{,]{1,5}`).Draw(t, "key")
			quoted, _ := json.Marshal(key)
			text = `{"before": ["a,b", {"y":"z"}], ` + string(quoted) + " :\n" + text + `, "after":"}"}`
			place = "." + key + place
		}
		place = strings.TrimPrefix(place, ".")
		offset := strings.Index(text, "@")
		if got := placeAt([]byte(strings.Replace(text, "@", "7", 1)), offset); got != place {
			t.Fatalf("%s: %q, want %q", text, got, place)
		}
	})
}
