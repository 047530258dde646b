package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/store"
)

// ErrKeyReused: the idempotency key came before, with another request.
var ErrKeyReused = errors.New("the idempotency key was used for another request; take a new one")

const (
	keyPrefix = "key/"
	// keyLife is how long an idempotency key is remembered.
	keyLife = 24 * time.Hour
	// keysOfUser is how many keys of a user are remembered; beyond that the oldest are forgotten early.
	keysOfUser = 1000
	// keysAtOnce is how many outdated keys one creation clears away.
	keysAtOnce = 8
)

// A keyRecord is what is kept under key/<user>/<key>.
type keyRecord struct {
	Service uint64    `json:"service"`
	Made    time.Time `json:"made"`
	Body    []byte    `json:"body"` // digest of the request
}

// parseKey reads a record. Those of earlier versions are the bare number of a service; they count from now.
func parseKey(value []byte, now time.Time) (r keyRecord, err error) {
	if id, err := strconv.ParseUint(string(value), 10, 64); err == nil {
		return keyRecord{Service: id, Made: now}, nil
	}
	if err = json.Unmarshal(value, &r); err != nil {
		err = fmt.Errorf("idempotency key: %w", err)
	}
	return r, err
}

// A keyring knows which keys are kept, so that outdated ones are found without reading all.
type keyring struct {
	mu   sync.Mutex
	kept []keptKey // oldest first
	of   map[string]int
}

type keptKey struct {
	name string
	user string
	made time.Time
}

func keyName(user int, key string) string { return keyPrefix + strconv.Itoa(user) + "/" + key }

func userOfKey(name string) string {
	user, _, _ := strings.Cut(strings.TrimPrefix(name, keyPrefix), "/")
	return user
}

func (k *keyring) load(ctx context.Context, st *store.Store) error {
	now := time.Now()
	k.of = make(map[string]int)
	_, err := st.Load(ctx, keyPrefix, func(kv store.KV) error {
		r, err := parseKey(kv.Value, now)
		if err != nil {
			r.Made = time.Time{} // of no use: it goes with the outdated ones
		}
		k.add(kv.Key, r.Made)
		return nil
	})
	if err != nil {
		return fmt.Errorf("load idempotency keys: %w", err)
	}
	slices.SortStableFunc(k.kept, func(a, b keptKey) int { return a.made.Compare(b.made) })
	return nil
}

func (k *keyring) add(name string, made time.Time) {
	k.kept = append(k.kept, keptKey{name, userOfKey(name), made})
	k.of[userOfKey(name)]++
}

// outdated returns keys that are to go when the user makes a new one at that time.
func (k *keyring) outdated(user string, now time.Time) (names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	beyond := k.of[user] + 1 - keysOfUser
	for _, x := range k.kept {
		if len(names) == keysAtOnce || (now.Sub(x.made) < keyLife && beyond <= 0) {
			break
		}
		if now.Sub(x.made) >= keyLife || x.user == user {
			names = append(names, x.name)
			if x.user == user {
				beyond--
			}
		}
	}
	return names
}

// swap notes a key that is kept from now on, and those that are kept no more.
func (k *keyring) swap(name string, made time.Time, gone []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = slices.DeleteFunc(k.kept, func(x keptKey) bool {
		out := x.name == name || slices.Contains(gone, x.name)
		if out {
			if k.of[x.user]--; k.of[x.user] == 0 {
				delete(k.of, x.user)
			}
		}
		return out
	})
	k.add(name, made)
}

// A keyed creation is one that counts once.
type keyed struct {
	name  string
	user  string
	body  []byte
	guard store.Guard
	gone  []string
}

// keyed looks an idempotency key up: the service that an earlier request with it made (0 for none), or what
// makes the key known together with the service that is to be made.
func (c *Control) keyed(ctx context.Context, who *identity.Caller, d *Deployment) (*keyed, uint64, error) {
	if d.Key == "" {
		return nil, 0, nil
	}
	if len(d.Key) > 255 {
		return nil, 0, fmt.Errorf("%w: an idempotency key has at most 255 characters", identity.ErrInvalid)
	}
	body := sha256.Sum256(d.Body)
	k := &keyed{name: keyName(who.User, d.Key), user: strconv.Itoa(who.User), body: body[:]}
	id, err := c.lookUpKey(ctx, k)
	return k, id, err
}

func (c *Control) lookUpKey(ctx context.Context, k *keyed) (uint64, error) {
	kv, err := c.store.Get(ctx, k.name)
	if err != nil {
		return 0, fmt.Errorf("look the idempotency key up: %w", err)
	}
	k.guard = store.At(k.name, kv.Revision)
	now := time.Now()
	if kv.Revision == 0 {
		return 0, nil
	}
	r, err := parseKey(kv.Value, now)
	switch {
	case err != nil, now.Sub(r.Made) >= keyLife:
		return 0, nil // it is written anew
	case r.Body != nil && !bytes.Equal(r.Body, k.body):
		return 0, ErrKeyReused
	}
	return r.Service, nil
}

// with is what a creation stores together with its service.
func (c *Control) with(k *keyed, id uint64, now time.Time) store.Txn {
	if k == nil {
		return store.Txn{}
	}
	k.gone = slices.DeleteFunc(c.keys.outdated(k.user, now), func(name string) bool { return name == k.name })
	value, _ := json.Marshal(keyRecord{Service: id, Made: now.UTC(), Body: k.body}) // plain data
	return store.Txn{Guards: []store.Guard{k.guard}, Puts: []store.Put{{Key: k.name, Value: value}}, Deletes: k.gone}
}
