// Package docs checks that the documents agree with the code.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages returns the documents, by their path from here.
func pages(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	if list = append(list, more...); len(list) < 10 {
		t.Fatalf("only %v", list)
	}
	return list
}

var (
	link    = regexp.MustCompile(`\]\(([^)]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	other   = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// TestLinks: links within the repository lead somewhere.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
				continue
			}
			if anchor == "" {
				continue
			}
			var anchors []string
			for _, h := range heading.FindAllStringSubmatch(read(t, path), -1) {
				anchors = append(anchors, strings.ReplaceAll(other.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
			}
			if !slices.Contains(anchors, anchor) {
				t.Errorf("%s: %s has no heading for #%s", page, path, anchor)
			}
		}
	}
}

// TestMetrics: docs/operations.md tells of every metric of the code, and of no other.
func TestMetrics(t *testing.T) {
	name := regexp.MustCompile(`"(troupe_[a-z_]+)"`)
	code := map[string]bool{}
	for _, root := range []string{"../app", "../internal", "../driver"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			for _, m := range name.FindAllStringSubmatch(read(t, path), -1) {
				code[m[1]] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(troupe_[a-z_]+)` \\|").FindAllStringSubmatch(read(t, "operations.md"), -1) {
		told[m[1]] = true
		if !code[m[1]] {
			t.Errorf("operations.md tells of %s, which nothing shows", m[1])
		}
	}
	for m := range code {
		if !told[m] {
			t.Errorf("operations.md lacks the metric %s", m)
		}
	}
}

// TestFlags: every flag that a document names is one of a command.
func TestFlags(t *testing.T) {
	known := map[string]bool{"help": true, "version": true}
	for _, m := range regexp.MustCompile("(?m)^\\| `(?:-., )?--([a-z-]+)").FindAllStringSubmatch(read(t, "cli.md"), -1) {
		known[m[1]] = true
	}
	flag := regexp.MustCompile("(?:^|[ `(])--([a-z][a-z-]+)")
	command := regexp.MustCompile("(?m)^.*\\btroupe\\b.*$|`--[^`]+`")
	for _, page := range []string{"../README.md", "tour.md", "oneflow.md", "monasca.md", "operations.md", "security.md", "api.md", "concepts.md", "hurtle.md"} {
		for _, line := range command.FindAllString(read(t, page), -1) {
			if strings.Contains(line, "systemctl") {
				continue
			}
			for _, m := range flag.FindAllStringSubmatch(line, -1) {
				if !known[m[1]] {
					t.Errorf("%s: no command has --%s: %s", page, m[1], line)
				}
			}
		}
	}
}

// TestExample: the Go of docs/api.md is that of the client's example, which the tests run.
func TestExample(t *testing.T) {
	example := read(t, "../client/example_test.go")
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "api.md"), -1)
	if len(blocks) == 0 {
		t.Error("api.md has no Go")
	}
	for _, m := range blocks {
		if !strings.Contains(example, m[1]) {
			t.Errorf("this is not in client/example_test.go:\n%s", m[1])
		}
	}
}
