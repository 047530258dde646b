package control

import (
	"context"
	"fmt"

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

// PutNote keeps v, as JSON, in place of what the key had. The face has authorised it, and puts no key twice at a time.
func (c *Control) PutNote(ctx context.Context, face, key string, v any) error {
	key = notePrefix(face) + key
	text, err := c.seal(key, v)
	if err == nil {
		_, err = c.store.Commit(ctx, store.Txn{Order: key, Puts: []store.Put{{Key: key, Value: text}}})
	}
	if err != nil {
		return fmt.Errorf("keep a note of %s: %w", face, err)
	}
	return nil
}

// RemoveNotes forgets notes. Those that are not there are no error.
func (c *Control) RemoveNotes(ctx context.Context, face string, keys ...string) error {
	const most = 100 // a transaction
	for len(keys) > 0 {
		n := min(len(keys), most)
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
