package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
)

// Origins of a generation.
const (
	OriginNew     = "new"     // an empty state
	OriginRestore = "restore" // a backup
)

// An Installation is what machines are tagged with, so that they are known to be ours.
type Installation struct {
	ID string `json:"id"` // random, kept for ever
	// Generation grows whenever the state may be behind the machines: an empty folder and a
	// restored backup mint a new one. It is the time of minting in Unix seconds or, where that
	// would not grow, one more than the last.
	Generation uint64    `json:"generation"`
	Origin     string    `json:"origin"` // of the generation
	Minted     time.Time `json:"minted"`
}

// mint returns the installation's next generation.
func (i Installation) mint(origin string, now time.Time) Installation {
	if i.ID == "" {
		i.ID = ulid.Make().String()
	}
	i.Generation = max(i.Generation+1, uint64(now.Unix()))
	i.Origin, i.Minted = origin, now.UTC()
	return i
}

// Installation returns this state's installation.
func (s *Store) Installation() Installation { return s.installation }

// schema is the record of the layout's version.
type schema struct {
	Version int `json:"version"`
}

// register reads the schema version and the installation, and writes them into a new state.
func (s *Store) register(ctx context.Context) error {
	for range 10 { // servers that start together may race
		done, err := s.tryRegister(ctx)
		if done || err != nil {
			return err
		}
	}
	return fmt.Errorf("store: write the installation: %w", ErrConflict)
}

func (s *Store) tryRegister(ctx context.Context) (bool, error) {
	var have schema
	kv, err := s.read(ctx, "schema", &have)
	if err != nil {
		return false, err
	}
	if have.Version > s.opts.Schema {
		return false, fmt.Errorf("store: %w: its layout is version %d, this program knows up to %d; start the newer program, or restore a backup that this one made", ErrNewer, have.Version, s.opts.Schema)
	}
	var t Txn
	if have.Version < s.opts.Schema {
		t.put("schema", kv.Revision, schema{s.opts.Schema})
	}
	kv, err = s.read(ctx, "installation", &s.installation)
	if err != nil {
		return false, err
	}
	if kv.Revision == 0 {
		s.installation = s.installation.mint(OriginNew, time.Now())
		t.put("installation", 0, s.installation)
	}
	if len(t.Puts) == 0 {
		return true, nil
	}
	_, err = s.Commit(ctx, t)
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// read decodes the JSON under one of the store's own keys; an absent one leaves v alone.
func (s *Store) read(ctx context.Context, key string, v any) (KV, error) {
	kv, err := s.Get(ctx, key)
	if err != nil || kv.Revision == 0 {
		return kv, err
	}
	if err := json.Unmarshal(kv.Value, v); err != nil {
		return kv, fmt.Errorf("store: key %s%s is %w: %w", s.opts.Prefix, key, ErrDamaged, err)
	}
	return kv, nil
}

// put adds the writing of a record that was read at the revision.
func (t *Txn) put(key string, revision int64, v any) {
	value, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types
	}
	t.Guards = append(t.Guards, At(key, revision))
	t.Puts = append(t.Puts, Put{key, value})
}
