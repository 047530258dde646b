package orchestrators

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// commands are those of a chapter of the README, as they stand there.
func commands(t *testing.T, chapter string) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+chapter+"\n")
	if !ok {
		t.Fatal("the README has no chapter ", chapter)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var script strings.Builder
	for line := range strings.Lines(rest) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			script.WriteString(code)
		}
	}
	return script.String()
}

var statusLine = regexp.MustCompile(`(?m)^< HTTP/1\.1 (\d+)`)

// TestREADME runs the README's commands against each of its orchestrators.
func TestREADME(t *testing.T) {
	s := newStage(t)
	script := commands(t, "Speak to it")
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3, which scripts/setup installs")
	}
	troupe := build(t, "../../cmd/troupe")
	for name, program := range map[string][]string{
		"sample": {build(t, "./sample")}, "declared": {troupe, "orchestrator", "run", "declared"}, "python": {python, "python/orchestrator.py"}, "runtime": {build(t, "./runtime")},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.of(t)
			s.start(program[0], program[1:]...)
			// The commands speak of port 8051 of localhost; the program is elsewhere, as others may be there.
			home := t.TempDir()
			if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("connect-to = localhost:8051:"+strings.TrimPrefix(s.url, "http://")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-e")
			cmd.Stdin = strings.NewReader(script)
			cmd.Env = append(os.Environ(), "CURL_HOME="+home, "HOME="+home, "PASSWORD="+s.password)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var got []string
			for _, m := range statusLine.FindAllStringSubmatch(string(out), -1) {
				got = append(got, m[1])
			}
			if strings.Join(got, " ") != "201 200 200 200 200 200" {
				t.Errorf("statuses %v:\n%s", got, out)
			}
			s.until("no machine is left", func() bool { _, machines := s.machines(); return len(machines) == 0 })
		})
	}
}
