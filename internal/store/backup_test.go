package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/store/storetest"
)

func TestBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	used(t, dir)
	s, err := store.Open(t.Context(), store.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	v, err := store.OpenVault(t.Context(), s, filepath.Join(dir, store.MasterKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), storetest.Put("secret", string(v.Seal([]byte("hunter2"), "s")))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "backup")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Backup(t.Context(), f), f.Close()); err != nil {
		t.Fatal(err)
	}
	rev, err := s.Commit(t.Context(), storetest.Put("later", "x"))
	if err != nil {
		t.Fatal(err)
	}
	old := s.Installation()
	s.Close()
	key, err := os.ReadFile(filepath.Join(dir, store.MasterKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	copied, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if secret := strings.TrimSpace(string(key)); bytes.Contains(copied, []byte(secret[strings.Index(secret, ":")+1:])) {
		t.Error("the backup holds the master key")
	}

	if _, err := store.Restore(t.Context(), file, store.Options{DataDir: dir}); !errors.Is(err, store.ErrExists) {
		t.Errorf("restore over a database: %v", err)
	}
	for name, damage := range map[string][]byte{
		"cut": copied[:len(copied)/2], "empty": nil, "flipped": bytes.Replace(copied, []byte("vvvv"), []byte("vvxv"), 1), "text": bytes.Repeat([]byte("no backup\n"), 1000),
	} {
		bad := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(bad, damage, 0o600); err != nil {
			t.Fatal(err)
		}
		into := t.TempDir()
		if _, err := store.Restore(t.Context(), bad, store.Options{DataDir: into}); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(into, "*")); len(left) != 1 {
			t.Errorf("%s leaves %v", name, left)
		}
	}

	restored := t.TempDir()
	installation, err := store.Restore(t.Context(), file, store.Options{DataDir: restored})
	if err != nil {
		t.Fatal(err)
	}
	if installation.ID != old.ID || installation.Generation <= old.Generation || installation.Origin != store.OriginRestore {
		t.Errorf("installation %+v after %+v", installation, old)
	}
	holds(t, restored)
	s, err = store.Open(t.Context(), store.Options{DataDir: restored})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Installation() != installation {
		t.Errorf("installation %+v, want %+v", s.Installation(), installation)
	}
	if kv, err := s.Get(t.Context(), "later"); err != nil || kv.Revision != 0 {
		t.Errorf("a key from after the backup: %+v, %v", kv, err)
	}
	if now, err := s.Revision(t.Context()); err != nil || now <= rev {
		t.Errorf("revision %d after %d, %v", now, rev, err)
	}
	for _, err := range s.Watch(t.Context(), "", rev) {
		if !errors.Is(err, store.ErrCompacted) {
			t.Errorf("watch from before the restore: %v", err)
		}
		break
	}
	if _, err := store.OpenVault(t.Context(), s, filepath.Join(restored, store.MasterKeyFile)); !errors.Is(err, store.ErrWrongKey) {
		t.Errorf("vault without its key: %v", err)
	}
	if err := os.WriteFile(filepath.Join(restored, store.MasterKeyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err = store.OpenVault(t.Context(), s, filepath.Join(restored, store.MasterKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	kv, err := s.Get(t.Context(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	if secret, err := v.Open(kv.Value, "s"); err != nil || string(secret) != "hunter2" {
		t.Errorf("%q, %v", secret, err)
	}
}
