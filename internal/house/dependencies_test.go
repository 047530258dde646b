package house

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	required = regexp.MustCompile(`(?m)^(?:require )?[ \t]*([a-z][^ \t/]*\.[^ \t]+) v[^ \n]+`)
	listed   = regexp.MustCompile("`([^`]+)`")
)

// TestDependencies: docs/dependencies.md says what each module is for that is used directly, and of no other.
func TestDependencies(t *testing.T) {
	used := map[string]bool{}
	modules := modulesOf(t, "../../go.mod")
	for _, s := range sources(t) {
		for _, i := range s.imports {
			if m := moduleOf(i, modules); m != "" {
				used[m] = true
			}
		}
	}
	tools := modulesOf(t, "../../tools/go.mod")
	doc, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for line := range strings.Lines(string(doc)) {
		cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !ok || !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, m := range listed.FindAllStringSubmatch(cell, -1) {
			told[m[1]] = true
			if !used[m[1]] && !slices.Contains(tools, m[1]) {
				t.Errorf("docs/dependencies.md lists %s, which nothing imports", m[1])
			}
		}
	}
	for m := range used {
		if !told[m] {
			t.Errorf("docs/dependencies.md does not say what %s is for", m)
		}
	}
}

// modulesOf returns the modules that a go.mod requires.
func modulesOf(t *testing.T, file string) (out []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range required.FindAllStringSubmatch(string(text), -1) {
		out = append(out, m[1])
	}
	return out
}

// moduleOf returns the module that a package belongs to, "" for the standard library and ourselves.
func moduleOf(pkg string, modules []string) string {
	found := ""
	for _, m := range modules {
		if (pkg == m || strings.HasPrefix(pkg, m+"/")) && len(m) > len(found) {
			found = m
		}
	}
	return found
}
