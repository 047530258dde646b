package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Directory holds all users, groups and tokens in memory, and changes them in the store. It is
// safe for concurrent use.
type Directory struct {
	records  Records
	hasher   *hasher
	logins   *logins
	throttle *throttle
	nobody   string // a hash that no password has, for users that do not exist

	changing chan struct{} // held by the one change at a time

	mu         sync.RWMutex
	users      map[int]*user
	userNames  map[string]*user
	groups     map[int]*Group
	groupNames map[string]*Group
	tokens     map[string]*token
	ended      map[string]endedSession // by id
	serial     serial

	sealer Sealer // of sessions; nil when there are none
}

// user and token are never changed once they are in the maps: a change puts a new one in. Only
// token.used moves by itself.
type user struct {
	User
	password string // PHC string; "" for a user with tokens only
}

// serial counts ids up, so that none is ever used again. Every change writes it, and is refused if
// another server changed anything meanwhile: names stay unique, and what was checked stays true.
type serial struct {
	Version  int   `json:"v"`
	Users    int   `json:"users"`
	Groups   int   `json:"groups"`
	Revision int64 `json:"-"`
}

const (
	recordVersion = 1
	serialKey     = KeyPrefix + "serial"
	userPrefix    = KeyPrefix + "user/"
	groupPrefix   = KeyPrefix + "group/"
	tokenKeys     = KeyPrefix + "token/"
	endedKeys     = KeyPrefix + "ended/"
)

// Open reads the directory from the store.
func Open(ctx context.Context, records Records) (*Directory, error) {
	d := &Directory{records: records, hasher: newHasher(), logins: newLogins(), throttle: newThrottle(),
		nobody: unmatchable(), changing: make(chan struct{}, 1)}
	if err := d.reload(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Bootstrap makes the first user and groups if there are none: user 0 with that name in group 0
// "oneadmin", and group 1 "users". With an empty password it generates one and returns it: that
// is the only time it can be seen. It returns "" when there was nothing to do or to generate.
func (d *Directory) Bootstrap(ctx context.Context, name, password string) (generated string, err error) {
	if err := CheckBootstrap(name, password); err != nil {
		return "", err
	}
	if d.present() {
		return "", nil
	}
	if password == "" {
		generated = GeneratePassword()
		password = generated
	}
	hash, err := d.hasher.hash(ctx, password)
	if err != nil {
		return "", err
	}
	now := time.Now().UTC()
	err = d.change(ctx, func(next *serial) ([]Record, error) {
		if d.present() { // another server was first
			generated = ""
			return nil, nil
		}
		next.Users, next.Groups = 1, 2
		return []Record{
			encodeUser(&user{User: User{ID: AdminUser, Name: name, Group: AdminGroup, Groups: []int{AdminGroup}, Created: now}, password: hash}),
			encodeGroup(&Group{ID: AdminGroup, Name: "oneadmin", Created: now}),
			encodeGroup(&Group{ID: UsersGroup, Name: "users", Created: now}),
		}, nil
	})
	if err != nil {
		return "", fmt.Errorf("make the first user: %w", err)
	}
	return generated, nil
}

// CheckBootstrap says what Bootstrap would refuse: a name or, unless it is empty, a password.
func CheckBootstrap(name, password string) error {
	if err := checkName("user", name); err != nil {
		return err
	}
	if password == "" {
		return nil
	}
	return checkPassword(password)
}

func (d *Directory) present() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.users[AdminUser] != nil
}

// Run keeps house until ctx ends: it forgets old logins and failures, and writes down when tokens
// were last used. A store that fails meanwhile is logged; the next round tries again.
func (d *Directory) Run(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(5 * time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			d.logins.sweep(now)
			d.throttle.sweep(now)
			if err := d.saveUse(ctx); err != nil && ctx.Err() == nil {
				log.Warn("tokens", "error", err)
			}
		}
	}
}

// Apply takes over records that the store's watch has seen, in the order of their revisions and all
// those of one revision together. What is older than what the directory holds changes nothing.
func (d *Directory) Apply(records ...Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, r := range records {
		if err := d.apply(r); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// reload replaces everything by what the store holds now.
func (d *Directory) reload(ctx context.Context) error {
	records, err := d.records.Load(ctx, KeyPrefix)
	if err != nil {
		return fmt.Errorf("read users and groups: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.tokens
	d.users, d.userNames = map[int]*user{}, map[string]*user{}
	d.groups, d.groupNames = map[int]*Group{}, map[string]*Group{}
	d.tokens, d.ended, d.serial = map[string]*token{}, map[string]endedSession{}, serial{}
	slices.SortFunc(records, func(a, b Record) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, r := range records {
		if err := d.apply(r); err != nil {
			return fmt.Errorf("read users and groups: %w", err)
		}
	}
	for id, t := range d.tokens {
		if was, ok := old[id]; ok {
			t.used.Store(max(t.used.Load(), was.used.Load()))
		}
	}
	return nil
}

// apply takes over one record. d.mu is held.
func (d *Directory) apply(r Record) error {
	// Every change writes the serial too, and only with all before it known: what is older than the
	// serial is in already, or was undone since.
	if r.Revision < d.serial.Revision {
		return nil
	}
	switch {
	case r.Key == serialKey:
		return d.applySerial(r)
	case strings.HasPrefix(r.Key, userPrefix):
		return d.applyUser(r)
	case strings.HasPrefix(r.Key, groupPrefix):
		return d.applyGroup(r)
	case strings.HasPrefix(r.Key, tokenKeys):
		return d.applyToken(r)
	case strings.HasPrefix(r.Key, endedKeys):
		return d.applyEnded(r)
	}
	return fmt.Errorf("record %s: %w: unknown kind; a newer Troupe may have written it", r.Key, ErrInvalid)
}

func (d *Directory) applySerial(r Record) error {
	var s serial
	if r.Revision <= d.serial.Revision || r.Value == nil {
		return nil
	}
	if err := decode(r, &s, &s.Version); err != nil {
		return err
	}
	s.Revision = r.Revision
	d.serial = s
	return nil
}

// change runs decide on the newest state until the store accepts what it returns: records without
// revision, a nil value to remove. The guard of each is the revision that this directory holds.
func (d *Directory) change(ctx context.Context, decide func(next *serial) ([]Record, error)) error {
	select {
	case d.changing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.changing }()
	for {
		d.mu.RLock()
		next := d.serial
		d.mu.RUnlock()
		records, err := decide(&next)
		if err != nil || len(records) == 0 {
			return err
		}
		next.Version = recordVersion
		records = append(records, encode(serialKey, next))
		err = d.put(ctx, records)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		if err := d.reload(ctx); err != nil {
			return err
		}
	}
}

// put writes the records and takes them over.
func (d *Directory) put(ctx context.Context, records []Record) error {
	changes := make([]Change, len(records))
	d.mu.RLock()
	for i, r := range records {
		changes[i] = Change{Key: r.Key, Value: r.Value, Guard: d.revision(r.Key)}
	}
	d.mu.RUnlock()
	revision, err := d.records.Put(ctx, changes)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range records {
		r.Revision = revision
		if err := d.apply(r); err != nil {
			return err
		}
	}
	return nil
}

// revision returns the revision of the record that this directory holds, 0 for none. d.mu is held.
func (d *Directory) revision(key string) int64 {
	kind, name, _ := strings.Cut(strings.TrimPrefix(key, KeyPrefix), "/")
	switch kind {
	case "serial":
		return d.serial.Revision
	case "token":
		if t := d.tokens[name]; t != nil {
			return t.Revision
		}
		return 0
	case "ended":
		return d.ended[name].revision
	}
	id, _ := strconv.Atoi(name)
	if u := d.users[id]; kind == "user" && u != nil {
		return u.Revision
	}
	if g := d.groups[id]; kind == "group" && g != nil {
		return g.Revision
	}
	return 0
}

func encode(key string, v any) Record {
	value, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of this package always marshal
	}
	return Record{Key: key, Value: value}
}

func decode(r Record, v any, version *int) error {
	if err := json.Unmarshal(r.Value, v); err != nil {
		return fmt.Errorf("record %s: %w", r.Key, err)
	}
	if *version > recordVersion {
		return fmt.Errorf("record %s: %w: version %d is newer than this Troupe knows (%d); upgrade this server", r.Key, ErrInvalid, *version, recordVersion)
	}
	return nil
}

func keyID(r Record, prefix string) (int, error) {
	id, err := strconv.Atoi(strings.TrimPrefix(r.Key, prefix))
	if err != nil {
		return 0, fmt.Errorf("record %s: %w: not a number", r.Key, ErrInvalid)
	}
	return id, nil
}
