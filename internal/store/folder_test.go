package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/store/storetest"
)

// used returns a data folder with some state in it.
func used(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 50 {
		if _, err := s.Commit(t.Context(), storetest.Put(fmt.Sprint("k/", i), strings.Repeat("v", 1000))); err != nil {
			t.Fatal(err)
		}
	}
}

func holds(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 0
	if _, err := s.Load(t.Context(), "k/", func(store.KV) error { n++; return nil }); err != nil || n != 50 {
		t.Errorf("%d keys, %v", n, err)
	}
}

// fingerprint sums up etcd's log, which holds what was answered last.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(filepath.Join(dir, "etcd", "member"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".wal" {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&out, "%s %x\n", path, sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func refuses(t *testing.T, dir string, kind error, words ...string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DataDir: dir})
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want %v", err, kind)
	}
	for _, w := range append(words, dir) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	t.Log(err)
}

func TestFolderInUse(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, store.ErrInUse, fmt.Sprintf("pid %d", os.Getpid()))
	s.Close()
	used(t, dir)
}

// mount mounts a small file system, or skips.
func mount(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Skip("cannot mount a file system here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFolderReadOnly(t *testing.T) {
	dir := mount(t, 400)
	used(t, dir)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skip("cannot remount: ", err)
	}
	refuses(t, dir, store.ErrReadOnly)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	holds(t, dir)
}

func TestFolderNotOurs(t *testing.T) {
	if !storetest.Unprivileged(t) {
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, store.ErrReadOnly)
}

func TestDiskFullAtStart(t *testing.T) {
	refuses(t, mount(t, 50), store.ErrDiskFull, "MiB")
	dir := mount(t, 400)
	used(t, dir)
	ballast(t, dir, 0)
	refuses(t, dir, store.ErrDiskFull)
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	holds(t, dir)
}

// ballast fills a disk until so much is left.
func ballast(t *testing.T, dir string, left int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	for n := int64(st.Bavail)*st.Bsize - left; n > 0; n -= 1 << 20 {
		if _, err := f.Write(make([]byte, min(n, 1<<20))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskFills: writes are refused before etcd would meet its end, and accepted again when there
// is room.
func TestDiskFills(t *testing.T) {
	t.Parallel()
	dir := mount(t, 400)
	s, err := store.Open(t.Context(), store.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	until := func(what string, ok func(error) bool) {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		deadline := time.After(20 * time.Second)
		for {
			_, err := s.Commit(t.Context(), storetest.Put("k", what))
			if ok(err) {
				return
			}
			if err != nil && !errors.Is(err, store.ErrDiskFull) {
				t.Fatal(err)
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("not %s: %v", what, err)
			}
		}
	}
	ballast(t, dir, 32<<20)
	until("refused", func(err error) bool { return errors.Is(err, store.ErrDiskFull) && !errors.Is(err, store.ErrAmbiguous) })
	if kv, err := s.Get(t.Context(), "k"); err != nil || string(kv.Value) != "refused" && kv.Revision != 0 {
		t.Errorf("%+v, %v", kv, err)
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	until("accepted", func(err error) bool { return err == nil })
	select {
	case <-s.Failed():
		t.Error(s.Err())
	default:
	}
}

func TestFolderDamaged(t *testing.T) {
	t.Parallel()
	damage := func(f func(dir string)) string {
		dir := t.TempDir()
		used(t, dir)
		f(dir)
		return dir
	}
	only := func(dir, pattern string) string {
		files, err := filepath.Glob(filepath.Join(dir, "etcd", "member", pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, files, err)
		}
		return files[0]
	}
	overwrite := func(path string, at, n int) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copy(b[at:at+n], bytes.Repeat([]byte{0xa5}, n))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		dir  string
	}{
		{"log overwritten", damage(func(dir string) { overwrite(only(dir, "wal/*.wal"), 20_000, 200) })},
		{"log missing", damage(func(dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "etcd", "member", "wal")); err != nil {
				t.Fatal(err)
			}
		})},
		{"database overwritten", damage(func(dir string) { overwrite(only(dir, "snap/db"), 0, 8192) })},
		{"database cut", damage(func(dir string) {
			if err := os.Truncate(only(dir, "snap/db"), 1000); err != nil {
				t.Fatal(err)
			}
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := fingerprint(t, c.dir)
			refuses(t, c.dir, store.ErrDamaged, "backup")
			if after := fingerprint(t, c.dir); after != before {
				t.Errorf("files changed from\n%s to\n%s", before, after)
			}
		})
	}
	t.Run("database older than its log", func(t *testing.T) {
		dir := t.TempDir()
		s, err := store.Open(t.Context(), store.Options{DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		old, err := os.ReadFile(only(dir, "snap/db"))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; ; i++ { // until etcd has dropped the beginning of its log
			if _, err := s.Commit(t.Context(), storetest.Put("k", fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			if files, _ := filepath.Glob(filepath.Join(dir, "etcd", "member", "snap", "*.snap")); len(files) > 0 {
				break
			}
		}
		s.Close()
		used(t, dir)
		holds(t, dir)
		db := only(dir, "snap/db")
		now, err := os.ReadFile(db)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range [][]byte{old, {}} {
			if err := os.WriteFile(db, text, 0o600); err != nil {
				t.Fatal(err)
			}
			refuses(t, dir, store.ErrDamaged, "snap/db: it ends at entry", "its log begins at entry")
		}
		if err := os.Remove(db); err != nil {
			t.Fatal(err)
		}
		refuses(t, dir, store.ErrDamaged, "snap/db: it ends at entry")
		if err := os.WriteFile(db, now, 0o600); err != nil {
			t.Fatal(err)
		}
		holds(t, dir)
	})
	t.Run("first start cut short", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "etcd", "member", "snap"), 0o700); err != nil {
			t.Fatal(err)
		}
		used(t, dir)
		holds(t, dir)
	})
	t.Run("log ends in the middle of a write", func(t *testing.T) {
		dir := damage(func(dir string) {
			path := only(dir, "wal/*.wal")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			end := len(bytes.TrimRight(b, "\x00"))
			if err := os.Truncate(path, int64(end)+3); err != nil {
				t.Fatal(err)
			}
		})
		holds(t, dir)
	})
}
