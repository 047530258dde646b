//go:build linux

package process

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// openHost opens an account whose machines are removed at the end of the test.
func openHost(t testing.TB, cfg driver.Config) *host {
	t.Helper()
	if cfg.Installation == "" {
		cfg.Installation = "test"
	}
	d, err := Kind().New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := d.(*host)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		ids, err := h.list()
		if err != nil {
			t.Error(err)
		}
		for _, id := range ids {
			if err := h.Destroy(ctx, driver.Ref{ID: id}, driver.Hard); err != nil {
				t.Error(err)
			}
		}
	})
	return h
}

func request(n int, options map[string]any) driver.Request {
	return driver.Request{
		ID: driver.MachineID(fmt.Sprintf("7-%d-1", n)), Name: fmt.Sprintf("app-%d", n), Project: "users", Service: "7",
		Role: "app", Number: n, Options: options,
	}
}

func create(t testing.TB, h *host, req driver.Request) driver.Machine {
	t.Helper()
	m, err := h.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func destroy(t testing.TB, h *host, id driver.MachineID, mode driver.Shutdown) {
	t.Helper()
	if err := h.Destroy(t.Context(), driver.Ref{ID: id}, mode); err != nil {
		t.Fatal(err)
	}
}

// mainOf returns the machine's main program.
func mainOf(t testing.TB, h *host, id driver.MachineID) process {
	t.Helper()
	r, err := h.folder(id).run()
	if err != nil {
		t.Fatal(err)
	}
	return r.Main
}

// watching watches for the time of the test.
func watching(t testing.TB, h *host, emit func(driver.Machine)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.Watch(ctx, emit)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	until(t, "the watch stands", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.watches) > 0
	})
}

// until polls for what must come true.
func until(t testing.TB, what string, true func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(15 * time.Second); !true(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// processes returns what the process table holds of a machine: the processes that bear its tag.
func processes(id driver.MachineID) []int {
	return tagged(tagMachine+"="+string(id), tagInstallation+"=test")
}

func lookAt(t testing.TB, h *host, id driver.MachineID) driver.Machine {
	t.Helper()
	m, ok := h.look(id)
	if !ok {
		m.State = driver.Gone
	}
	return m
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mkdir(dir string) error { return os.Mkdir(dir, 0o700) }
