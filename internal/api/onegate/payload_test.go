package onegate

import (
	"maps"
	"testing"

	format "github.com/troupe-dev/troupe/internal/format/oneflow"
)

func TestSamples(t *testing.T) {
	for body, want := range map[string]string{
		"CPU = 12.5":                      "CPU=12.5\n",
		"LOAD=\"3\"\nNAME=x\nREADY=YES":   "LOAD=3\n",
		"cpu.user_perc=90":                "cpu.user_perc=90\n",
		"V=[A=1]\nX=\"1\nCPU=2\"":         "",
		"VERSION=1.2.3\nS = 12abc\nE=1e3": "E=1e3\n",
	} {
		p, err := parsePayload(body)
		if err != nil || string(p.samples) != want {
			t.Errorf("%q: samples %q, want %q (%v)", body, p.samples, want, err)
		}
	}
	p, err := parsePayload("cpu.user_perc=90\nplain=1")
	if want := map[string]string{"PLAIN": "1"}; err != nil || !maps.Equal(p.attributes, want) {
		t.Errorf("attributes %v, want %v (%v)", p.attributes, want, err)
	}
}

func FuzzPayload(f *testing.F) {
	for _, seed := range []string{"READY=YES", "A=1\nB=\"x\\\"y\"\n", `V=[a=1,b="x, y"]`, `D=4\nE=5`, "cpu.user_perc=90", "a=\"", "=", "[", "A=[B=[C"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		p, err := parsePayload(body)
		if err != nil {
			return
		}
		for name, value := range p.attributes {
			if !attributeName.MatchString(name) {
				t.Errorf("%q: name %q", body, name)
			}
			if vector, ok := format.ParseVector(value); ok {
				if again, err := format.PrintVector(vector); err == nil && again != value && value[0] == '[' {
					if v, ok := format.ParseVector(again); !ok || len(v.Keys()) != len(vector.Keys()) {
						t.Errorf("%q: vector %q becomes %q", body, value, again)
					}
				}
			}
		}
	})
}
