package identity

import "context"

// KeyPrefix is where all records of this package live.
const KeyPrefix = "identity/"

// Records is the durable store below a Directory. Revisions grow with every accepted Put and are
// the same for all servers that share the store.
type Records interface {
	// Load returns every record whose key starts with prefix, as a linearizable read.
	Load(ctx context.Context, prefix string) ([]Record, error)
	// Put makes all changes or none, and returns their revision. It returns an error of class
	// ErrConflict, and changes nothing, when the guard of any change does not hold.
	Put(ctx context.Context, changes []Change) (revision int64, err error)
}

// A Record is one stored value and the revision that wrote it. A nil value says that the key was
// removed at that revision.
type Record struct {
	Key      string
	Value    []byte
	Revision int64
}

// A Change writes or, with a nil value, removes one key. Guard is the revision that the key must
// have, 0 if it must not exist.
type Change struct {
	Key   string
	Value []byte
	Guard int64
}
