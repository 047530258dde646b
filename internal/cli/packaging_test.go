package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The packaged configuration file holds nothing that a server does not know, its comments uncommented included.
func TestPackagedConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../packaging/server.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		setting := strings.TrimPrefix(line, "# ")
		if key, _, found := strings.Cut(setting, ":"); found && !strings.Contains(strings.TrimLeft(key, " -"), " ") {
			line = setting
		}
		all = append(all, line)
	}
	_, flags := serverFlagSet()
	c, err := parseConfig("server.yaml", text, flags)
	if err != nil || c.values["data-dir"] != "/var/lib/troupe" {
		t.Errorf("%v, %v", c, err)
	}
	whole := strings.Replace(strings.Join(all, ""), "listen: 127.0.0.1:7070\n", "", 1) // it is there twice
	if c, err = parseConfig("server.yaml", []byte(whole), flags); err != nil || len(c.accounts) == 0 || c.values["tls-cert"] == "" {
		t.Errorf("uncommented: %v, %v\n%s", c, err, whole)
	}
}

// systemd finds nothing wrong with the packaged unit.
func TestPackagedUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze on the PATH (Debian: systemd)")
	}
	text, err := os.ReadFile("../../packaging/troupe.service")
	if err != nil {
		t.Fatal(err)
	}
	// The program must be there: this one stands for it.
	unit := strings.Replace(string(text), "ExecStart=/usr/local/bin/troupe", "ExecStart="+os.Args[0], 1)
	if unit == string(text) {
		t.Fatal("the unit does not start /usr/local/bin/troupe")
	}
	for name, c := range map[string]struct {
		unit string
		bad  bool
	}{"troupe.service": {unit, false}, "broken.service": {unit + "Nonsense=1\n[Service]\nRestart=sometimes\n", true}} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(c.unit), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), analyze, "verify", file).CombinedOutput()
		told := false // of other units of the machine it tells, too
		for line := range strings.Lines(string(out)) {
			told = told || strings.Contains(line, name)
		}
		if bad := err != nil || told; bad != c.bad {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
