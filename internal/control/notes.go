package control

import (
	"context"
	"fmt"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/store"
)

// Notes are what a face keeps of its own, beside services and definitions: words of its protocol that nothing else here
// has a place for. They are sealed like everything else, and no other face sees them.

func notePrefix(face string) string { return "face/" + face + "/" }

// Notes calls each for all notes of a face, in the order of their keys. read fills what the note was made from.
func (c *Control) Notes(ctx context.Context, face string, each func(key string, read func(v any) error) error) error {
	prefix := notePrefix(face)
	_, err := c.store.Load(ctx, prefix, func(kv store.KV) error {
		return each(kv.Key[len(prefix):], func(v any) error { return c.unseal(kv, v) })
	})
	if err != nil {
		return fmt.Errorf("load the notes of %s: %w", face, err)
	}
	return nil
}

// A Note is what a face keeps under a key of its own.
type Note struct {
	Key   string
	Value any // becomes JSON
}

const (
	notesATime = 100       // changes that a transaction holds
	noteBytes  = 512 << 10 // of values in it
)

// PutNotes keeps notes in place of those with the same keys: all or none, up to a hundred notes or half a megabyte; of more, the first
// may be kept when there is an error. The face has authorised it, and puts no key twice at a time. Errors are identity.ErrInvalid for
// a note that is too long, and the store's.
func (c *Control) PutNotes(ctx context.Context, face string, all ...Note) error {
	txn, size := store.Txn{Order: notePrefix(face)}, 0
	for i, n := range all {
		key := notePrefix(face) + n.Key
		text, err := c.seal(key, n.Value)
		if err != nil {
			return fmt.Errorf("keep a note of %s: %w", face, err)
		}
		if len(text) > noteBytes {
			return fmt.Errorf("%w: a note has %d bytes; %d are the most", identity.ErrInvalid, len(text), noteBytes)
		}
		if len(txn.Puts) == notesATime || size+len(text) > noteBytes {
			if _, err := c.store.Commit(ctx, txn); err != nil {
				return fmt.Errorf("keep notes of %s: %w", face, err)
			}
			txn.Puts, size = nil, 0
		}
		txn.Puts = append(txn.Puts, store.Put{Key: key, Value: text})
		if size += len(text); i < len(all)-1 {
			continue
		}
		if _, err := c.store.Commit(ctx, txn); err != nil {
			return fmt.Errorf("keep notes of %s: %w", face, err)
		}
	}
	return nil
}

// RemoveNotes forgets notes. Those that are not there are no error.
func (c *Control) RemoveNotes(ctx context.Context, face string, keys ...string) error {
	for len(keys) > 0 {
		n := min(len(keys), notesATime)
		txn := store.Txn{Order: notePrefix(face)}
		for _, key := range keys[:n] {
			txn.Deletes = append(txn.Deletes, notePrefix(face)+key)
		}
		if _, err := c.store.Commit(ctx, txn); err != nil {
			return fmt.Errorf("forget notes of %s: %w", face, err)
		}
		keys = keys[n:]
	}
	return nil
}
