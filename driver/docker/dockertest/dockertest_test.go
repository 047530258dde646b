//go:build linux

package dockertest

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestLife: a daemon starts, outlives being killed, and leaves nothing.
func TestLife(t *testing.T) {
	if err := able(); err != nil {
		t.Skip(err)
	}
	began := time.Now()
	d, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v", time.Since(began))
	for _, again := range []func() error{d.Kill, d.Run, d.Stop, d.Run, d.Freeze, d.Thaw, d.answers} {
		if err := again(); err != nil {
			t.Fatal(err)
		}
	}
	began = time.Now()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("ended in %v", time.Since(began))
	if rest := d.rest(); len(rest) > 0 {
		t.Errorf("processes %v are left", rest)
	}
	if _, err := os.Stat(d.dir); err == nil {
		t.Errorf("%s is left", d.dir)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), d.dir) {
		t.Errorf("mounts are left, or: %v", err)
	}
	if _, err := os.Stat("/sys/class/net/" + d.bridge); err == nil {
		t.Error("the bridge is left")
	}
}
