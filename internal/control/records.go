package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/store"
)

// Records keeps the identities in the store.
type Records struct{ Store *store.Store }

// Load implements identity.Records.
func (r Records) Load(ctx context.Context, prefix string) ([]identity.Record, error) {
	var out []identity.Record
	_, err := r.Store.Load(ctx, prefix, func(kv store.KV) error {
		out = append(out, identity.Record{Key: kv.Key, Value: kv.Value, Revision: kv.Revision})
		return nil
	})
	return out, err
}

// Put implements identity.Records.
func (r Records) Put(ctx context.Context, changes []identity.Change) (int64, error) {
	t := store.Txn{Order: identity.KeyPrefix}
	for _, c := range changes {
		t.Guards = append(t.Guards, store.At(c.Key, c.Guard))
		if c.Value == nil {
			t.Deletes = append(t.Deletes, c.Key)
		} else {
			t.Puts = append(t.Puts, store.Put{Key: c.Key, Value: c.Value})
		}
	}
	revision, err := r.Store.Commit(ctx, t)
	if errors.Is(err, store.ErrConflict) {
		return 0, fmt.Errorf("%w: %w", identity.ErrConflict, err)
	}
	return revision, err
}

// Follow feeds what other servers change to the directory, until ctx ends.
func (r Records) Follow(ctx context.Context, d *identity.Directory, from int64) error {
	for batch, err := range r.Store.Watch(ctx, identity.KeyPrefix, from) {
		if err != nil {
			return err
		}
		records := make([]identity.Record, 0, len(batch.Events))
		for _, e := range batch.Events {
			v := e.Value
			if e.Deleted {
				v = nil
			}
			records = append(records, identity.Record{Key: e.Key, Value: v, Revision: batch.Revision})
		}
		if err := d.Apply(records...); err != nil {
			return err
		}
	}
	return nil
}
