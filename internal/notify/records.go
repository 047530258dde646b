package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/troupe-dev/troupe/internal/store"
)

// Prefix is where the records of deliveries are.
const Prefix = "delivery/"

const recordVersion = 1

type record struct {
	Version int `json:"v"`
	Delivery
}

// Put returns the write that makes a delivery durable: part of the commit of the transition that causes
// it. Once that happened, Sender.Add takes it over.
func Put(d *Delivery) store.Put {
	return store.Put{Key: Prefix + d.ID, Value: encode(record{recordVersion, *d}, "")}
}

// StoreQueue keeps deliveries in the store.
type StoreQueue struct {
	Store *store.Store
	// Fence returns the guard that proves that a delivery is still this server's; nil for none.
	Fence func(*Delivery) store.Guard
	Log   *slog.Logger
}

// Load is a Queue's. A record that cannot be read is left where it is and told to the log; the others are
// served.
func (q *StoreQueue) Load(ctx context.Context, each func(Delivery) error) error {
	_, err := q.Store.Load(ctx, Prefix, func(kv store.KV) error {
		var r record
		if err := json.Unmarshal(kv.Value, &r); err != nil || r.Message == nil || Prefix+r.ID != kv.Key {
			q.Log.Error("notifications: a record cannot be read and is left alone; remove it or restore a backup", "key", kv.Key, "error", err)
			return nil
		}
		if r.Version > recordVersion {
			return fmt.Errorf("%s: %w", kv.Key, store.ErrNewer)
		}
		return each(r.Delivery)
	})
	return err
}

// Apply is a Queue's. What is too much for one transaction goes in several.
func (q *StoreQueue) Apply(ctx context.Context, write, remove []Delivery) error {
	b := batch{queue: q}
	for i := range write {
		p := Put(&write[i])
		if err := b.add(ctx, &write[i], len(p.Key)+len(p.Value)); err != nil {
			return err
		}
		b.txn.Puts = append(b.txn.Puts, p)
	}
	for i := range remove {
		key := Prefix + remove[i].ID
		if err := b.add(ctx, &remove[i], len(key)); err != nil {
			return err
		}
		b.txn.Deletes = append(b.txn.Deletes, key)
	}
	return b.commit(ctx)
}

// A batch is a transaction that is committed when no more fits in.
type batch struct {
	queue  *StoreQueue
	txn    store.Txn
	fences map[string]bool
	bytes  int
}

// add makes room for a change and guards it. What is not guarded is left half of the bytes.
func (b *batch) add(ctx context.Context, d *Delivery, bytes int) error {
	if b.bytes+bytes > store.MaxBytes/2 {
		if err := b.commit(ctx); err != nil {
			return err
		}
	}
	b.bytes += bytes
	if b.queue.Fence == nil {
		return nil
	}
	if g := b.queue.Fence(d); !b.fences[g.Key] {
		if b.fences == nil {
			b.fences = map[string]bool{}
		}
		b.fences[g.Key] = true
		b.txn.Guards = append(b.txn.Guards, g)
	}
	return nil
}

func (b *batch) commit(ctx context.Context) error {
	if len(b.txn.Puts)+len(b.txn.Deletes) == 0 {
		return nil
	}
	_, err := b.queue.Store.Commit(ctx, b.txn)
	b.txn, b.fences, b.bytes = store.Txn{}, nil, 0
	return err
}
