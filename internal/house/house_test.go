// Package house holds the rules of the repository as tests.
package house

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/troupe-dev/troupe/"

// A source is one Go file of the tree.
type source struct {
	path    string // from the root, with slashes
	pkg     string // its folder
	test    bool
	doc     bool // has a package comment
	imports []string
	lines   int
}

func sources(t *testing.T) []source {
	t.Helper()
	root := "../.."
	var out []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata" || d.Name() == "tools" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{path: rel, pkg: filepath.ToSlash(filepath.Dir(rel)), test: strings.HasSuffix(rel, "_test.go"), doc: f.Doc != nil}
		for _, i := range f.Imports {
			s.imports = append(s.imports, strings.Trim(i.Path.Value, `"`))
		}
		text, err := os.ReadFile(path)
		s.lines = strings.Count(string(text), "\n")
		out = append(out, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("only %d Go files found", len(out))
	}
	return out
}

// TestImports: imports run downwards only (docs/design.md, section 2).
func TestImports(t *testing.T) {
	rules := []struct {
		from    string // a package or, with a slash at the end, all below it
		allowed []string
		denied  []string
	}{
		{from: "internal/service", allowed: []string{"driver", "internal/alarm", "internal/nearest", "internal/policy"}},
		{from: "internal/manager", allowed: []string{"internal/format/tree", "internal/nearest", "occi"}},
		{from: "internal/hurtle", allowed: []string{"internal/fifo", "internal/identity", "internal/manager", "internal/store", "internal/wake", "occi"}},
		{from: "internal/api/hurtle", denied: []string{"internal/engine", "internal/store", "driver/sim", "driver/process"}},
		{from: "internal/telemetry", allowed: []string{"internal/metric", "internal/nearest"}},
		{from: "internal/policy", allowed: []string{"internal/nearest"}},
		{from: "driver", allowed: []string{"internal/nearest"}},
		{from: "driver/sim", allowed: []string{"driver"}},
		// A driver that boots no machine carries user data out itself; what there is to do is the same for all.
		{from: "driver/process", allowed: []string{"driver", "driver/cloudinit", "internal/nearest"}},
		{from: "driver/docker", allowed: []string{"driver", "driver/cloudinit", "internal/egress"}}, // it fetches what users name
		{from: "driver/cloudinit", allowed: []string{"driver", "internal/format/tree"}},             // the guard before its parser
		{from: "internal/egress", allowed: []string{}},
		{from: "internal/dns", allowed: []string{"internal/nearest"}},
		{from: "internal/store", allowed: []string{}},
		{from: "client", allowed: []string{}},
		{from: "internal/notify", allowed: []string{"internal/egress", "internal/metric", "internal/nearest", "internal/store"}},
		{from: "internal/api/native", denied: []string{"internal/engine", "internal/store", "driver/sim", "driver/process"}},
		{from: "internal/api/oneflow", denied: []string{"internal/engine", "internal/store", "driver/sim", "driver/process"}},
		{from: "internal/cli", denied: []string{"internal/engine", "internal/control"}},
	}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, r := range rules {
			if s.pkg != r.from {
				continue
			}
			for _, i := range s.imports {
				ours, ok := strings.CutPrefix(i, module)
				if !ok {
					continue
				}
				if r.allowed != nil && !contains(r.allowed, ours) || contains(r.denied, ours) {
					t.Errorf("%s imports %s", s.path, ours)
				}
			}
		}
	}
}

// TestPureNotify: the store is known to the records alone.
func TestPureNotify(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg == "internal/notify" && !s.test && s.path != "internal/notify/records.go" && contains(s.imports, module+"internal/store") {
			t.Errorf("%s imports internal/store", s.path)
		}
	}
}

// TestUnwanted: modules that are no longer kept are not used directly.
func TestUnwanted(t *testing.T) {
	for _, s := range sources(t) {
		for _, i := range s.imports {
			for _, bad := range []string{"gopkg.in/yaml.v3", "github.com/robfig/cron", "github.com/mitchellh/mapstructure", "github.com/pkg/errors", "github.com/golang/protobuf", "github.com/stretchr/testify"} {
				if strings.HasPrefix(i, bad) {
					t.Errorf("%s imports %s", s.path, i)
				}
			}
		}
	}
}

// TestPackageDocs: every package says what it is for.
func TestPackageDocs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		documented[s.pkg] = documented[s.pkg] || s.doc
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment", pkg)
		}
	}
}

// TestFileSize: a file of more than 600 lines asks to be two.
func TestFileSize(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test && s.lines > 600 {
			t.Errorf("%s has %d lines", s.path, s.lines)
		}
	}
}

// TestFileNames: a file is named after what is in it.
func TestFileNames(t *testing.T) {
	for _, s := range sources(t) {
		switch filepath.Base(s.path) {
		case "types.go", "util.go", "utils.go", "common.go", "helpers.go", "misc.go":
			t.Errorf("%s says nothing about what is in it", s.path)
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
