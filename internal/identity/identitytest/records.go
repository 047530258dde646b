// Package identitytest gives tests a store of identity records that is kept in memory.
package identitytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/troupe-dev/troupe/internal/identity"
)

// Records is an identity.Records in memory. The zero value is empty and ready. Several directories
// over one Records stand for several servers.
type Records struct {
	mu       sync.Mutex
	revision int64
	values   map[string]identity.Record
	history  []identity.Record
}

// Load implements identity.Records.
func (r *Records) Load(ctx context.Context, prefix string) ([]identity.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []identity.Record
	for key, rec := range r.values {
		if strings.HasPrefix(key, prefix) {
			out = append(out, rec)
		}
	}
	slices.SortFunc(out, func(a, b identity.Record) int { return strings.Compare(a.Key, b.Key) })
	return out, ctx.Err()
}

// Put implements identity.Records.
func (r *Records) Put(ctx context.Context, changes []identity.Change) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for _, c := range changes {
		if r.values[c.Key].Revision != c.Guard {
			return 0, fmt.Errorf("%s: %w", c.Key, identity.ErrConflict)
		}
	}
	if r.values == nil {
		r.values = map[string]identity.Record{}
	}
	r.revision++
	for _, c := range changes {
		rec := identity.Record{Key: c.Key, Value: slices.Clone(c.Value), Revision: r.revision}
		if c.Value == nil {
			delete(r.values, c.Key)
		} else {
			r.values[c.Key] = rec
		}
		r.history = append(r.history, rec)
	}
	return r.revision, nil
}

// History returns every record ever written, oldest first: what a watcher would have seen.
func (r *Records) History() []identity.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.history)
}
