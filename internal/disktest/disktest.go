//go:build linux

// Package disktest makes small disks for tests of what happens when they are full.
package disktest

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Mount puts a disk of so many bytes on a folder, which it makes, until the test ends. The test is skipped where nothing can be mounted.
func Mount(t testing.TB, dir string, size int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=711,size="+strconv.Itoa(size)); err != nil {
		t.Skip("a small disk cannot be mounted here, as root can: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// Fill fills the disk that a folder is on, but for so many bytes, and returns what makes room again.
func Fill(t testing.TB, dir string, leave int64) (empty func()) {
	t.Helper()
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || f.Truncate(max(0, info.Size()-leave)) != nil {
		t.Fatal("the ballast cannot be cut to size: ", err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}
