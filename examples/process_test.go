package examples

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/app/apptest"
	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver/process"
)

// The test program is the supervisor of its own machines, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		os.Exit(process.Supervise(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// prints is what an instance of each example says, sooner or later.
var prints = map[string]struct{ role, line string }{
	"shop.yaml":      {"web", "Hello from 127."},
	"batch.yaml":     {"worker", "item 4 done"},
	"stable-db.yaml": {"db", "primary, 1 runs so far"},
	"reactive.yaml":  {"worker", "reporting"},

	"oneflow-manual.json": {"front", "ready"},
}

// TestProcesses deploys each example as real processes, reads what one of them prints, and removes it.
func TestProcesses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := serve(ctx, t)
	inputs := map[string]map[string]string{"reactive.yaml": {"AGENT": buildAgent(ctx, t)}}
	for file, w := range want {
		if prints[file].role == "" {
			continue // it is not made of processes
		}
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d := client.Document{Source: string(text), File: file, Format: "native"}
			if strings.HasSuffix(file, ".json") {
				d.Format = "oneflow"
			}
			s, err := c.Services().Create(ctx, client.CreateService{Document: d, Inputs: inputs[file]})
			if err != nil {
				t.Fatal(err)
			}
			ref := s.Ref()
			if s, err = c.Services().WaitFor(ctx, ref, w.state.String()); err != nil {
				t.Fatal(err)
			}
			for _, r := range s.Roles {
				if r.Settled != w.instances[r.Name] {
					t.Errorf("role %s has %d instances, want %d", r.Name, r.Settled, w.instances[r.Name])
				}
			}
			until(ctx, t, c, ref, prints[file].role, prints[file].line)
			if _, err := c.Services().Remove(ctx, ref, client.Undeploy{Data: true}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Services().WaitFor(ctx, ref, client.Gone); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// until waits until the first instance of a role has printed a line with the text.
func until(ctx context.Context, t *testing.T, c *client.Client, ref, role, text string) {
	t.Helper()
	for i, err := range c.Services().Instances(ctx, ref, client.InstanceFilter{Role: role}) {
		if err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for said := ""; ; {
			r, err := c.Services().Logs(ctx, ref, i.Serial, client.LogOptions{})
			if err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil {
				t.Fatal(err)
			}
			if said = string(all); strings.Contains(said, text) {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("%s/%d does not print %q but %q", role, i.Number, text, said)
			}
		}
	}
	t.Fatalf("role %s has no instances", role)
}

// serve runs a server of its own and returns a client of its administrator.
func serve(ctx context.Context, t *testing.T, change ...func(*app.Options)) *client.Client {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // machines of root's server are nobody's
		t.Fatal(err)
	}
	o := app.Options{DataDir: dir, Listen: "127.0.0.1:0", Supervisor: []string{self, "supervise"}}
	for _, f := range change {
		f(&o)
	}
	return apptest.Start(t, o).Client()
}
