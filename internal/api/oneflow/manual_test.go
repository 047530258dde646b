package oneflow_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/identity"
)

// An example of the manual: a command, and what it answered there.
type example struct {
	command, status string
	answer          any  // nil for none
	cut             bool // the manual breaks the answer off
}

// readManual reads the examples of OneFlow's manual.
func readManual(t *testing.T) []example {
	t.Helper()
	text, err := os.ReadFile("testdata/manual.txt")
	check(t, err)
	var examples []example
	for block := range strings.SplitSeq(string(text), "\n\ncurl ") {
		if strings.HasPrefix(block, "#") {
			continue
		}
		command, rest, ok := strings.Cut("curl "+block, "\n< ")
		if !ok {
			t.Fatalf("no answer to %q", block)
		}
		status, answer, _ := strings.Cut(rest, "\n")
		e := example{command: command, status: strings.TrimSpace(status)}
		if answer = strings.TrimSpace(answer); answer != "" {
			whole, cut := complete(answer)
			e.cut = cut
			d := json.NewDecoder(strings.NewReader(whole))
			d.UseNumber()
			if err := d.Decode(&e.answer); err != nil {
				t.Fatalf("the answer to %q: %v\n%s", command, err, whole)
			}
		}
		examples = append(examples, e)
	}
	return examples
}

// complete closes what a broken-off JSON text leaves open. The outermost bracket does not count: the
// manual forgets it everywhere.
func complete(text string) (string, bool) {
	text = strings.TrimRight(strings.TrimSuffix(text, "..."), ", \n")
	var open []byte
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			open = append(open, '}')
		case c == '[':
			open = append(open, ']')
		case c == '}' || c == ']':
			open = open[:len(open)-1]
		}
	}
	cut := len(open) > 1
	slices.Reverse(open)
	return text + string(open), cut
}

// The examples of the manual run byte for byte, but for the address and the first one's password.
// Those that delete run on a stage of their own, prepared by the same commands.
func TestManual(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	examples := readManual(t)
	if len(examples) != 12 {
		t.Fatalf("%d examples, want 12", len(examples))
	}
	allowed := readExceptions(t)
	s := newManual(t)
	for n, e := range examples {
		on := s
		if strings.Contains(e.command, "DELETE") || strings.Contains(e.command, `"shutdown"`+"\n  }") {
			on = newManual(t)
			for _, before := range examples[:min(n, 5)] {
				on.curl(before.command)
			}
			on.UntilRunning(5)
		}
		if strings.Contains(e.command, "/service/5 ") {
			on.UntilRunning(5)
		}
		status, body := on.curl(e.command)
		on.compareManual(allowed, n, e, status, body)
	}
	if !t.Failed() {
		allowed.unused(t, func(scenario string) bool { return scenario == "manual" })
	}
}

// newManual has what the manual presumes: the next document gets the id 4, and there is a group 2.
func newManual(t *testing.T) *stage {
	t.Helper()
	s := newStage(t, sim.Options{})
	for n := 1; n < 4; n++ {
		s.template(fmt.Sprintf(`{"name":"earlier %d","roles":[]}`, n))
	}
	g, err := s.Directory.AddGroup(t.Context(), "second", identity.Quota{})
	check(t, err)
	if g.ID != 2 {
		t.Fatalf("the new group is %d, want 2", g.ID)
	}
	return s
}

var statusLine = regexp.MustCompile(`< HTTP/1\.1 (\d+)`) // curl's progress may stand before it

// curl runs a command of the manual.
func (s *stage) curl(command string) (status, body string) {
	s.t.Helper()
	command = strings.Replace(command, "http://127.0.0.1:2474", s.url, 1)
	command = strings.Replace(command, "'oneadmin:password'", "'"+apitest.Admin+":"+apitest.Password+"'", 1)
	var out, story bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", command)
	cmd.Stdout, cmd.Stderr = &out, &story
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s: %v\n%s", command, err, story.String())
	}
	found := statusLine.FindAllStringSubmatch(story.String(), -1)
	if len(found) == 0 {
		s.t.Fatalf("%s: no status\n%s", command, story.String())
	}
	return found[len(found)-1][1], out.String()
}

func (s *stage) compareManual(allowed *exceptions, n int, e example, status, body string) {
	s.t.Helper()
	differ := func(field, want, have string) {
		if !allowed.allows("manual", n, field) {
			s.t.Errorf("manual/%d %s\n%s: the manual says %s, we answer %s", n, e.command, field, want, have)
		}
	}
	if status != e.status {
		differ("status", e.status, status+" "+body)
		return
	}
	if e.answer == nil {
		return
	}
	p := &player{stage: s}
	recorded, ours := make(map[string]string), make(map[string]string)
	p.flatten(recorded, "", e.answer, nil)
	p.flatten(ours, "", apitest.Decode(body), nil)
	for _, field := range slices.Sorted(maps.Keys(recorded)) {
		if broken := e.cut && recorded[field] == "{}"; broken {
			continue
		}
		if have, ok := ours[field]; !ok || have != recorded[field] {
			differ(general(field), recorded[field], have)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(ours)) {
		if _, ok := recorded[field]; !ok && !e.cut && !strings.Contains(field, ".log<") {
			differ("+"+general(field), "nothing", ours[field])
		}
	}
}

// The error of the manual, word for word.
func TestManualError(t *testing.T) {
	s := newStage(t, sim.Options{})
	r := s.must(400, "POST", "/service_template", `{"name":"n","roles":[{"name":"worker","vm_template":0,"cardinality":1,"min_vms":2}]}`)
	want := "Role 'worker' 'cardinality' must be greater than or equal to 'min_vms'"
	if r.message() != want {
		t.Errorf("message %q, want %q", r.message(), want)
	}
	if ct := r.Header.Get("Content-Type"); ct != "application/json; charset=utf-8" {
		t.Errorf("Content-Type %q", ct)
	}
}
