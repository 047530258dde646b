package service

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVariablesOf(t *testing.T) {
	s := &Spec{Variables: Values{"g": "x", "n": map[string]any{"a": 1, "b": []any{"p", "q"}}, "m": "service"}}
	r := &RoleSpec{Variables: Values{"g": "y", "n": map[string]any{"a": 2}}, Machine: Machine{Variables: Values{"m": "machine", "k": true, "n": map[string]any{"c": nil}}}}
	want := Values{"g": "y", "m": "service", "k": true, "n": map[string]any{"a": 2, "b": []any{"p", "q"}, "c": nil}}
	if diff := cmp.Diff(want, s.VariablesOf(r)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if s.Variables["g"] != "x" || len(r.Machine.Variables["n"].(map[string]any)) != 1 {
		t.Error("what was merged has changed")
	}
	r = &RoleSpec{Variables: Values{"n": "flat"}}
	if got := s.VariablesOf(r)["n"]; got != "flat" {
		t.Errorf("a mapping under text gave %v", got)
	}
}

func TestValuesKeepKinds(t *testing.T) {
	v := Values{"i": int64(3), "f": 3.0, "e": 1e30, "l": []any{int64(1), 2.5, nil, true, "x"}, "m": map[string]any{"f": 1.0}, "big": int64(1) << 60}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var back Values
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v, back); diff != "" {
		t.Errorf("%s\n-want +got\n%s", text, diff)
	}
}
