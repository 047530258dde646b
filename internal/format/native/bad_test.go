package native

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/troupe-dev/troupe/internal/service"
)

var update = flag.Bool("update", false, "write the expected errors of testdata/bad anew")

// Each file of testdata/bad holds a document and the errors that it must be answered with.
func TestBad(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	if len(files) < 80 {
		t.Fatalf("%d cases", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			document := archive.Files[0]
			_, err = Parse(document.Name, document.Data, options(Dir("testdata/files")))
			if err == nil {
				t.Fatal("the document was accepted")
			}
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("the error is a %T", err)
			}
			got := err.Error() + "\n"
			if *update {
				archive.Files = []txtar.File{document, {Name: "errors", Data: []byte(got)}}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// What is too large, too deep or too many is refused, and soon.
func TestLimits(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 10; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	merges := "a0: &a0 {k: v}\n"
	for i := 1; i < 80; i++ {
		merges += fmt.Sprintf("a%d: &a%d {<<: *a%d, x: *a%d}\n", i, i, i-1, i-1)
	}
	roles := func(n int) string {
		var b strings.Builder
		b.WriteString("name: a\nroles:\n")
		for i := range n {
			fmt.Fprintf(&b, "  r%d: {run: x}\n", i)
		}
		return b.String()
	}
	for name, c := range map[string]struct{ file, text, want string }{
		"bomb":             {"x.yaml", bomb, "too many values"},
		"merge bomb":       {"x.yaml", merges, "too"},
		"deep flow":        {"x.yaml", "name: " + strings.Repeat("[", 1_000_000), "too"},
		"deep maps":        {"x.yaml", "name: " + strings.Repeat("{a: ", 100_000), "too"},
		"deep dashes":      {"x.yaml", strings.Repeat("- ", 200_000) + "a", "too"},
		"deep questions":   {"x.yaml", strings.Repeat("? ", 100_000) + "a", "too"},
		"deep indentation": {"x.yaml", indented(100), "too deep"},
		"deep JSON":        {"x.json", strings.Repeat("[", 1_000_000), "too deep"},
		"deep JSON maps":   {"x.json", strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000), "too deep"},
		"long JSON list":   {"x.json", `{"a": [` + strings.Repeat("1,", 300_000) + "1]}", "too many values"},
		"many keys":        {"x.yaml", strings.Repeat("a: b\n", 300_000), "too many values"},
		"many anchors":     {"x.yaml", "name: " + strings.Repeat("&a ", 1000) + "b", ""},
		"10,000 roles":     {"x.yaml", roles(10_000), "the service has 10000 roles; 1000 is the most"},
		"10 MB name":       {"x.yaml", "name: " + strings.Repeat("a", 10<<20), "the file has 10485766 bytes; 8388608 is the most"},
		"8 MB name":        {"x.yaml", "roles: {a: {run: x}}\nname: " + strings.Repeat("a", 8<<20-100), "the name has 8388508 characters"},
		"broken UTF-8":     {"x.yaml", "name: a\nä: b\xff", "x.yaml:2:5: the text is not UTF-8"},
		"broken JSON text": {"x.json", "{\"name\": \"\xff\"}", "x.json:1:11: the text is not UTF-8"},
		"many mistakes":    {"x.yaml", strings.ReplaceAll(roles(30), "run: x", "rnu: x"), "unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Parse(c.file, []byte(c.text), options(nil))
			if err == nil {
				t.Fatal("accepted")
			}
			if text := err.Error(); !strings.Contains(text, c.want) || len(text) > 10_000 {
				t.Errorf("got %.300s\nwant %s", text, c.want)
			}
			var all Errors
			if errors.As(err, &all); len(all) > service.MaxProblems {
				t.Errorf("%d errors", len(all))
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func indented(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}
