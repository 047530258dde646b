package local

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Open(dir, app.Options{Accounts: []app.Account{{Driver: "sim", Values: map[string]any{"persist": true}}}, Supervisor: []string{"false"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// The first command holds the server, others share it, the next takes over; nobody shows a password.
func TestHandOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "own")
	first, second := open(t, dir), open(t, dir)
	if first.Holds() {
		t.Error("a server runs before anybody asked")
	}
	made, err := first.Client().Services().Create(ctx, client.CreateService{Document: client.Document{Source: "name: web\nroles: {app: {count: 2, machine: {driver: sim}}}"}})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := second.Client().Services().WaitFor(ctx, made.Ref(), "RUNNING")
	if err != nil || seen.Owner.ID != 0 {
		t.Fatalf("the second command sees %+v, %v", seen, err)
	}
	if !first.Holds() || second.Holds() {
		t.Errorf("held by the first: %v, by the second: %v", first.Holds(), second.Holds())
	}
	for _, name := range []string{"socket", "socket.lock"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if seen, err = second.Client().Services().Get(ctx, made.Ref()); err != nil || seen.State != "RUNNING" || !second.Holds() {
		t.Fatalf("after the first ended: %+v, %v, held by the second: %v", seen, err, second.Holds())
	}
}

// Of many commands that begin at once, one holds the server and all are answered.
func TestManyAtOnce(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "own")
	servers := make([]*Server, 8)
	var wg sync.WaitGroup
	for n := range servers {
		servers[n] = open(t, dir)
		wg.Go(func() {
			if _, err := servers[n].Client().Status(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	held := 0
	for _, s := range servers {
		if s.Holds() {
			held++
		}
	}
	if held != 1 {
		t.Errorf("%d hold the server", held)
	}
}

// A socket that a killed command has left behind does no harm.
func TestLeftOver(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "socket"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if _, err := s.Client().Status(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestLongName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a-folder-with-quite-a-long-name-indeed-so-that-its-socket-cannot-have-one-a-folder-with-a-long-name")
	if _, err := Open(dir, app.Options{}); err == nil {
		t.Error("a folder whose socket cannot be named is taken")
	}
}
