package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// writeDatabase makes a bbolt file like etcd's: without a list of free pages, with branches, values over many pages,
// small buckets and removed keys.
func writeDatabase(tb testing.TB, path string) {
	tb.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType, PageSize: 4096})
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	for round := range 3 {
		err := db.Update(func(tx *bolt.Tx) error {
			for _, name := range []string{"key", "meta", "lease"} {
				b, err := tx.CreateBucketIfNotExists([]byte(name))
				if err != nil {
					return err
				}
				if name == "lease" {
					continue
				}
				for i := range 400 {
					key := fmt.Appendf(nil, "%s-%d-%05d", name, round, i)
					if err := b.Put(key, bytes.Repeat([]byte{byte(i)}, i%150)); err != nil {
						return err
					}
					if i%3 == 0 {
						if err := b.Delete(key); err != nil {
							return err
						}
					}
				}
				if err := b.Put([]byte("large"), make([]byte, 20_000)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// use opens a database as etcd does and reads all of it.
func use(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
			return b.ForEach(func(_, v []byte) error { return nil })
		})
	})
}

// TestDamagedPages: whatever was done to a file, it is refused, or bbolt can be let loose on it. A panic of bbolt's
// goroutines would end this test.
func TestDamagedPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	writeDatabase(t, path)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkPages(path); err != nil {
		t.Fatalf("a sound file: %v", err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for n := range 1500 {
		b := bytes.Clone(sound)
		page := rng.IntN(len(b)/4096) * 4096
		switch n % 5 {
		case 0:
			clear(b[page : page+4096])
		case 1:
			for i := range 4096 {
				b[page+i] = byte(rng.Uint32())
			}
		case 2: // in the header or the entries
			b[page+rng.IntN(200)] = byte(rng.Uint32())
		case 3:
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		case 4:
			b = b[:rng.IntN(len(b))]
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if checkPages(path) != nil {
			refused++
			continue
		}
		if err := use(path); err != nil {
			t.Errorf("damage %d: accepted, and bbolt says %v", n, err)
		}
	}
	t.Logf("%d of 1500 refused", refused)
	if refused < 500 {
		t.Errorf("only %d of 1500 are refused", refused)
	}
}

// FuzzPages: what is accepted, bbolt can open and read.
func FuzzPages(f *testing.F) {
	path := filepath.Join(f.TempDir(), "db")
	writeDatabase(f, path)
	sound, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(8), []byte{2, 0}, uint32(100), []byte{0xff})
	f.Add(uint32(4096*2+12), []byte{1}, uint32(4096*3), []byte{})
	f.Fuzz(func(t *testing.T, at uint32, text []byte, more uint32, other []byte) {
		b := bytes.Clone(sound)
		copy(b[int(at)%len(b):], text)
		copy(b[int(more)%len(b):], other)
		file := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if checkPages(file) == nil {
			_ = use(file)
		}
	})
}
