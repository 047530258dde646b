//go:build linux

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/drivertest"
)

// TestMain is also the supervisor that the tests' machines get, and the servers that are killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervise":
			unix.Exit(Supervise(os.Args[2:])) // os.Exit waits a second under the race detector
		case "server":
			os.Exit(doomedServer(os.Args[2:]))
		}
	}
	goleak.VerifyTestMain(m)
}

// config returns an account in a folder that the machines' user may pass through.
func config(t testing.TB) driver.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "troupe-process-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return driver.Config{Dir: filepath.Join(dir, "process"), Supervisor: []string{"/proc/self/exe", "supervise"}}
}

func command(text string) map[string]any { return map[string]any{"command": text} }

func harness() drivertest.Harness {
	last := ""
	return drivertest.Harness{
		Kind:    Kind(),
		Config:  func(t testing.TB) driver.Config { c := config(t); last = c.Dir; return c },
		Options: command("exec sleep 1000"),
		Exits:   func(code int) map[string]any { return command(fmt.Sprintf("exit %d", code)) },
		Prints: func(line string) map[string]any {
			return command(fmt.Sprintf("echo '%s'; exec sleep 1000", line))
		},
		Refused: []map[string]any{
			{}, {"command": "a", "args": []string{"b"}}, {"command": "a", "dir": "../x"}, {"command": "a", "limits": map[string]any{"nofil": 3}},
			{"command": "a", "umask": "9"}, {"command": "a", "nice": 40}, {"command": "a", "log_size": "1"}, {"command": "a", "stop_signal": "NONE"},
		},
		Kill: func(t testing.TB, m driver.Machine) {
			r, err := folder(filepath.Join(last, "machines", m.Native)).run()
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Main.signal(unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		},
		Echo:  []string{"echo", "troupe"},
		Three: []string{"sh", "-c", "exit 3"},
	}
}

func TestContract(t *testing.T) { drivertest.Run(t, harness()) }

func BenchmarkContract(b *testing.B) { drivertest.Bench(b, harness()) }
