// Package python tests the Python client against a live server.
package python

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/troupe-dev/troupe/app"
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
	a, err := app.New(t.Context(), app.Options{DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Socket: socket, Accounts: []app.Account{{Driver: "sim"}}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		<-done
	})
	select {
	case <-a.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-B", "-m", "unittest", "-v", "test_troupe")
	cmd.Dir = filepath.Join("..", "..", "clients", "python")
	cmd.Env = append(os.Environ(), "TROUPE_URL="+a.Addrs()["main"], "TROUPE_USER=oneadmin", "TROUPE_PASSWORD="+a.Password(),
		"TROUPE_TOKEN=", "TROUPE_TEST_SOCKET="+socket)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
