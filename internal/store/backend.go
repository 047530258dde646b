package store

import (
	"context"
	"io"
	"iter"
	"time"
)

// A backend is a key-value database with revisions as etcd defines them. Keys are absolute.
// Errors are of this package's kinds.
type backend interface {
	get(ctx context.Context, key string, stale bool) (kv KV, revision int64, err error)
	// scan returns up to limit keys of [from, to) as they were at revision at (0: now,
	// linearizably), whether there are more, and the revision.
	scan(ctx context.Context, from, to string, limit int, at int64) (kvs []KV, more bool, revision int64, err error)
	// txn writes if all guards hold.
	txn(ctx context.Context, t *Txn) (outcome, error)
	// watch yields the changes from the revision on, all of one revision together, until ctx ends.
	watch(ctx context.Context, prefix string, from int64) iter.Seq2[Batch, error]

	grant(ctx context.Context, ttl time.Duration) (lease int64, err error)
	// renew reports ErrConflict when the lease is gone.
	renew(ctx context.Context, lease int64) error
	revoke(ctx context.Context, lease int64) error

	compact(ctx context.Context, revision int64) error
	// defragment gives free pages back to the file system and lifts the quota alarm when the
	// database is below its quota. It does nothing where that is not ours to do.
	defragment(ctx context.Context) error
	status(ctx context.Context) (dbStatus, error)
	// room returns ErrNoSpace while only vital transactions should be sent. It does not block.
	room() error
	snapshot(ctx context.Context, w io.Writer) error

	// limits of one merged transaction.
	limits() (ops, bytes int)
	failed() <-chan struct{}
	failure() error
	close()
}

// outcome is etcd's answer to a transaction.
type outcome struct {
	revision int64
	changed  bool            // the transaction made that revision
	failed   []ConflictError // the guards that did not hold; then nothing was written
}

// dbStatus is what a backend tells about itself.
type dbStatus struct {
	size, inUse int64 // bytes
	revision    int64
	full        bool // the quota is reached
	alarm       bool // etcd refuses every put
}

// A KV is a key with its value.
type KV struct {
	Key      string
	Value    []byte
	Revision int64 // of the last change; 0 when there is no such key
}

// An Event is a change of one key. Value is nil and Deleted true when the key went.
type Event struct {
	KV
	Deleted bool
}

// A Batch holds the changes of one revision.
type Batch struct {
	Revision int64
	// Own says that this store's own commit made them, so that an owner may skip its echo. It is
	// not set for commits that went unanswered or that lie far back.
	Own    bool
	Events []Event
}

// after returns the end of the range of all keys with the prefix.
func after(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return "\x00"
}
