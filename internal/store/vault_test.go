package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func testVault(t testing.TB) *Vault {
	v, err := newVault(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSeal(t *testing.T) {
	v := testVault(t)
	for _, secret := range []string{"", "x", strings.Repeat("long", 10_000)} {
		sealed := v.Seal([]byte(secret), "a")
		if got, err := v.Open(sealed, "a"); err != nil || string(got) != secret {
			t.Errorf("%d bytes: %v", len(secret), err)
		}
		if bytes.Equal(sealed, v.Seal([]byte(secret), "a")) {
			t.Error("the same secret looks the same twice")
		}
		if _, err := v.Open(sealed, "b"); !errors.Is(err, ErrDamaged) {
			t.Errorf("another context: %v", err)
		}
		for i := range min(len(sealed), 60) {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			if _, err := v.Open(bad, "a"); err == nil {
				t.Fatalf("byte %d flipped, and it opens", i)
			}
		}
	}
}

func TestMasterKeyFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "new", "key")
	first, err := masterKey(file, true)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	again, err := masterKey(file, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Open(first.Seal([]byte("x"), ""), ""); err != nil {
		t.Error("a second start makes another key")
	}
	if _, err := masterKey(filepath.Join(dir, "none"), false); !errors.Is(err, ErrWrongKey) {
		t.Errorf("no file: %v", err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := masterKey(file, true); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by others: %v", err)
	}
	for _, text := range []string{"", "x", keyHeader, keyHeader + "eA==", keyHeader + "!", "troupe-master-key-2:" + strings.Repeat("A", 43) + "=", strings.Repeat("x", 5000)} {
		bad := filepath.Join(dir, "bad")
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := masterKey(bad, true); !errors.Is(err, ErrWrongKey) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func FuzzVaultOpen(f *testing.F) {
	v := testVault(f)
	f.Add(v.Seal([]byte("secret"), "c"), "c")
	f.Add([]byte{}, "")
	f.Add([]byte{sealVersion}, "c")
	f.Fuzz(func(t *testing.T, sealed []byte, context string) {
		secret, err := v.Open(sealed, context)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
		if err == nil && (string(secret) != "secret" || context != "c") {
			t.Errorf("opened %q in %q", secret, context)
		}
	})
}
