package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func (f *folder) database() string { return filepath.Join(f.etcd(), "member", "snap", "db") }
func (f *folder) log() string      { return filepath.Join(f.etcd(), "member", "wal") }

// inspect refuses what etcd would choke on or, worse, start on: it ends the program over a page that it does not
// expect, and cuts off a log where that cannot be read any more. It changes nothing.
func (f *folder) inspect() error {
	free, err := f.free()
	if err != nil {
		return fmt.Errorf("store: data folder %s: %w", f.path, err)
	}
	if free < reserve {
		return fmt.Errorf("store: data folder %s: %w", f.path, f.full(free))
	}
	db := f.database()
	_, missing := os.Stat(db)
	logged := wal.Exist(f.log())
	if missing != nil && !logged {
		return nil // a new one
	}
	s := databaseState{}
	if missing == nil {
		if err := checkPages(db); err != nil {
			return f.damaged("file "+db, err)
		}
		if s, err = readDatabase(db); err != nil {
			return f.damaged("file "+db, err)
		}
	}
	if !logged {
		if s.used { // else the first start was cut short
			return f.damaged("its log, folder "+f.log(), errors.New("it is missing"))
		}
		return nil
	}
	first, last, err := readLog(f.etcd())
	switch {
	case err != nil:
		return f.damaged("its log, folder "+f.log(), err)
	case s.applied > last:
		return f.damaged("its log, folder "+f.log(), fmt.Errorf("it ends at entry %d, and the database holds entry %d", last, s.applied))
	case s.applied < first:
		return f.damaged("file "+db, fmt.Errorf("it ends at entry %d, and its log begins at entry %d", s.applied, first))
	}
	return nil
}

// A databaseState is what an etcd database says of itself.
type databaseState struct {
	used    bool   // it has held a key
	applied uint64 // the last entry of the log that it holds
}

func readDatabase(path string) (s databaseState, err error) {
	if fi, err := os.Stat(path); err != nil || fi.Size() == 0 {
		return s, err
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return s, err
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		if b := tx.Bucket([]byte("key")); b != nil {
			k, _ := b.Cursor().First()
			s.used = k != nil
		}
		if b := tx.Bucket([]byte("meta")); b != nil {
			if v := b.Get([]byte("consistent_index")); len(v) == 8 {
				s.applied = binary.BigEndian.Uint64(v)
			}
		}
		return nil
	})
	return s, err
}

// readLog returns the entry after which etcd will read the log, and the last entry in it.
func readLog(etcd string) (first, last uint64, err error) {
	defer func() { // the decoder panics on some damage
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	quiet := zap.New(nil, zap.WithFatalHook(zapcore.WriteThenPanic))
	dir := filepath.Join(etcd, "member", "wal")
	known, err := wal.ValidSnapshotEntries(quiet, dir)
	if err != nil {
		return 0, 0, err
	}
	start := newestSnapshot(quiet, filepath.Join(etcd, "member", "snap"), known)
	log, err := wal.OpenForRead(quiet, dir, start)
	if err != nil {
		return 0, 0, err
	}
	defer log.Close()
	_, _, entries, err := log.ReadAll()
	if err != nil {
		return 0, 0, err
	}
	first = start.GetIndex()
	if n := len(entries); n > 0 {
		return first, entries[n-1].GetIndex(), nil
	}
	return first, first, nil
}

// newestSnapshot returns the newest snapshot that can be read and that the log knows; the zero one if there is none.
func newestSnapshot(log *zap.Logger, dir string, known []*walpb.Snapshot) *walpb.Snapshot {
	files, _ := os.ReadDir(dir) // in the order of their index
	for _, e := range slices.Backward(files) {
		if !strings.HasSuffix(e.Name(), ".snap") {
			continue
		}
		s, err := snap.Read(log, filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		for _, k := range known {
			if k.GetIndex() == s.GetMetadata().GetIndex() && k.GetTerm() == s.GetMetadata().GetTerm() {
				return k
			}
		}
	}
	return &walpb.Snapshot{}
}
