package occopus_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/occopus"
)

// TestDialogues plays the files of testdata: lines "METHOD PATH [SECTION]", whose section is the body, and below each
// "< STATUS BODY". "until" before a request repeats it until that is the answer; "as USER" changes who asks ("as" alone: nobody).
// In a body, $X is any id where it first stands and the same one after that, $IP any address, and $* anything.
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(text)
			d := &dialogue{stage: newStage(t, occopus.Settings{StatusCodes: strings.Contains(file, "status")}), sections: map[string]string{}, known: map[string]string{}}
			d.User("bob", "")
			for _, f := range archive.Files {
				d.sections[f.Name] = string(f.Data)
			}
			lines := strings.Split(string(archive.Comment), "\n")
			for n := 0; n < len(lines); n++ {
				line := strings.TrimSpace(lines[n])
				switch {
				case line == "" || line[0] == '#':
				case line == "as" || strings.HasPrefix(line, "as "):
					d.user = strings.TrimSpace(strings.TrimPrefix(line, "as"))
				case n+1 < len(lines) && strings.HasPrefix(lines[n+1], "< "):
					d.at = fmt.Sprintf("%s:%d: %s", file, n+1, line)
					d.exchange(line, lines[n+1][2:])
					n++
				default:
					t.Fatalf("%s:%d: what is the answer?", file, n+1)
				}
			}
		})
	}
}

type dialogue struct {
	*stage
	sections, known map[string]string
	at              string
}

func (d *dialogue) exchange(request, answer string) {
	d.t.Helper()
	request, repeat := strings.CutPrefix(request, "until ")
	words := strings.Fields(request)
	for name, value := range d.known {
		words[1] = strings.ReplaceAll(words[1], "$"+name, value)
	}
	body := ""
	if len(words) > 2 {
		body = d.sections[words[2]]
	}
	var r apitest.Reply
	ask := func() bool {
		r = d.send(words[0], words[1], body)
		return d.matches(answer, fmt.Sprintf("%d %s", r.Status, strings.TrimSpace(r.Text)))
	}
	switch {
	case repeat:
		d.Within(d.at, ask)
	case !ask():
		d.t.Errorf("%s\nanswer %d %s\nwant   %s", d.at, r.Status, r.Text, answer)
	}
	if kind := r.Header.Get("Content-Type"); kind != "application/json" {
		d.t.Errorf("%s\nContent-Type %s", d.at, kind)
	}
}

var variable = regexp.MustCompile(`\\\$(\\\*|[A-Z]+)`)

// matches holds an answer against a pattern, and learns its ids.
func (d *dialogue) matches(pattern, answer string) bool {
	var names []string
	text := variable.ReplaceAllStringFunc(regexp.QuoteMeta(pattern), func(m string) string {
		switch name := m[2:]; {
		case name == `\*`:
			return ".*"
		case name == "IP":
			return "[0-9.]+"
		case d.known[name] != "":
			return regexp.QuoteMeta(d.known[name])
		default:
			names = append(names, name)
			return "([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"
		}
	})
	found := regexp.MustCompile("^" + text + "$").FindStringSubmatch(answer)
	for n, name := range names {
		if found != nil {
			d.known[name] = found[n+1]
		}
	}
	return found != nil
}
