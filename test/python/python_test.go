// Package python tests the Python client against a live server.
package python

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/app/apptest"
)

func TestModule(t *testing.T) {
	// Debian's own, which another in the path may hide.
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		if python, err = exec.LookPath("python3"); err != nil {
			t.Skip("needs Python 3 (Debian's package python3)")
		}
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "socket")
	a := apptest.Start(t, app.Options{DataDir: filepath.Join(dir, "data"), Socket: socket, Accounts: []app.Account{{Driver: "sim"}}})
	cmd := exec.CommandContext(t.Context(), python, "-B", "-m", "unittest", "-v", "test_troupe")
	cmd.Dir = filepath.Join("..", "..", "clients", "python")
	cmd.Env = append(os.Environ(), "TROUPE_URL="+a.URL(), "TROUPE_USER=oneadmin", "TROUPE_PASSWORD="+a.Password(),
		"TROUPE_TOKEN=", "TROUPE_TEST_SOCKET="+socket)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
