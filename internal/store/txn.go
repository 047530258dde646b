package store

import (
	"errors"
	"fmt"
)

// Bounds of one Txn: an external cluster's defaults. They hold on every kind of store.
const (
	MaxOps   = 128     // puts and deletes, and guards, each
	MaxBytes = 1 << 20 // keys and values together
)

// A Txn is a change that happens as a whole or not at all.
type Txn struct {
	// Order names a sequence: of transactions with the same Order, a later one is sent only after
	// the earlier was answered. "" for none.
	Order   string
	Guards  []Guard // all must hold
	Puts    []Put
	Deletes []string // a key that is absent is no error
	// Vital says that the transaction is to be sent even when the database has reached its quota,
	// as long as the reserve lasts. The engine sets it for services that are leaving, as their
	// removal makes room; what deletes more than it puts needs no mark.
	Vital bool
	// Lease binds the puts to a lease of the server; only the store itself uses it.
	lease int64
}

// A Put writes one key.
type Put struct {
	Key   string
	Value []byte
}

// A Guard is a condition on one key.
type Guard struct {
	Key string
	// Revision of the key's last change; 0: the key is absent; negative: it is present.
	Revision int64
}

// At holds while the key was last changed at the revision.
func At(key string, revision int64) Guard { return Guard{key, revision} }

// Absent holds while there is no such key.
func Absent(key string) Guard { return Guard{key, 0} }

// Present holds while the key exists.
func Present(key string) Guard { return Guard{key, -1} }

func (g Guard) holds(revision int64) bool {
	return g.Revision == revision || g.Revision < 0 && revision > 0
}

// Errors of the store; find them with errors.Is.
var (
	// ErrConflict: a guard did not hold, nothing was written. Read again, decide again.
	ErrConflict = errors.New("changed by another")
	// ErrAmbiguous: etcd did not answer; the transaction may have happened or may still happen.
	// Read what it concerns again before going on.
	ErrAmbiguous = errors.New("commit not answered; it may have happened")
	// ErrTooLarge: the transaction is beyond MaxOps or MaxBytes. Split it.
	ErrTooLarge = errors.New("transaction too large")
	// ErrNoSpace: the database reached its quota. Nothing was written, unless it comes together
	// with ErrAmbiguous.
	ErrNoSpace = errors.New("the database has reached its quota; raise it or remove services; space is won back by itself within a minute")
	// ErrCompacted: a watch or load asked for history that is gone. Load again.
	ErrCompacted = errors.New("history is no longer kept")
	// ErrClosed: the store was closed, nothing was written.
	ErrClosed = errors.New("store is closed")
	// ErrUnavailable: etcd cannot be reached or has no leader; nothing was written.
	ErrUnavailable = errors.New("etcd does not answer; check that it runs and that a majority of its members is up")
	// ErrDenied: etcd refuses this server's credentials.
	ErrDenied = errors.New("etcd refuses the credentials; check its user, password and certificate, and that the user may read and write under the prefix")
	// ErrReadOnly: the data folder cannot be written.
	ErrReadOnly = errors.New("cannot be written")
	// ErrInUse: another process holds the data folder.
	ErrInUse = errors.New("in use")
	// ErrExists: a backup is not restored over a database.
	ErrExists = errors.New("it holds a database already")
	// ErrDamaged: the database cannot be read.
	ErrDamaged = errors.New("damaged")
	// ErrDiskFull: the file system of the data folder is full.
	ErrDiskFull = errors.New("disk full")
	// ErrNewer: the state was written by a newer Troupe.
	ErrNewer = errors.New("state was written by a newer version")
	// ErrWrongKey: the master key does not open this state's secrets.
	ErrWrongKey = errors.New("wrong master key")
)

// A ConflictError says which guard failed. It is an ErrConflict.
type ConflictError struct {
	Guard Guard
	Found int64 // the key's revision, 0 when it is absent
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s: %v (at revision %d, expected %d)", e.Guard.Key, ErrConflict, e.Found, e.Guard.Revision)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// needsRoom reports whether t has to wait for room in the database.
func (t *Txn) needsRoom() bool { return !t.Vital && len(t.Puts) > 0 && len(t.Deletes) <= len(t.Puts) }

// weigh returns the operations and bytes of t.
func (t *Txn) weigh() (ops, bytes int) {
	ops = len(t.Puts) + len(t.Deletes)
	for i := range t.Puts {
		bytes += len(t.Puts[i].Key) + len(t.Puts[i].Value)
	}
	for _, k := range t.Deletes {
		bytes += len(k)
	}
	for i := range t.Guards {
		bytes += len(t.Guards[i].Key)
	}
	return ops, bytes
}

// check refuses what etcd would refuse, so that it never spoils a group.
func (t *Txn) check() error {
	ops, bytes := t.weigh()
	if ops > MaxOps || len(t.Guards) > MaxOps || bytes > MaxBytes {
		return fmt.Errorf("%w: %d writes, %d guards, %d bytes; at most %d, %d and %d: split it", ErrTooLarge, ops, len(t.Guards), bytes, MaxOps, MaxOps, MaxBytes)
	}
	guarded := make(map[string]bool, len(t.Guards))
	for _, g := range t.Guards {
		if guarded[g.Key] {
			return fmt.Errorf("store: key %s has two guards in one transaction", g.Key)
		}
		guarded[g.Key] = true
	}
	written := make(map[string]bool, ops)
	for _, k := range t.keys() {
		if k == "" {
			return errors.New("store: empty key in a transaction")
		}
		if written[k] {
			return fmt.Errorf("store: key %s is written twice in one transaction", k)
		}
		written[k] = true
	}
	return nil
}

// keys returns the keys that t writes.
func (t *Txn) keys() []string {
	keys := make([]string, 0, len(t.Puts)+len(t.Deletes))
	for i := range t.Puts {
		keys = append(keys, t.Puts[i].Key)
	}
	return append(keys, t.Deletes...)
}
