package hot

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/troupe-dev/troupe/driver/all"
)

func compileSample(t *testing.T, name, driver string, params map[string]any) {
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	tp, err := Parse(name, text, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	spec, warnings, err := tp.Compile(CompileOptions{Driver: driver, Kinds: all.Kinds().Find, Parameters: params})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		fmt.Println("W:", w)
	}
	spec.Document = nil
	out, _ := json.MarshalIndent(spec, "", " ")
	fmt.Println(string(out))
}

func TestSamples(t *testing.T) {
	compileSample(t, "sample-so-provision.yaml", "process", nil)
	compileSample(t, "wordpress_v1.yaml", "docker", nil)
	compileSample(t, "runtime-so-one-vm.yaml", "process", map[string]any{"username": "u", "password": "verysecret", "tenant": "t", "service_id": "id"})
}
