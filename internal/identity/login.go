package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	rememberFor  = 5 * time.Minute
	maxLogins    = 10_000
	maxUserField = 256 // bytes of a user name in credentials
)

// Authenticate says who shows the credentials. Errors are of class ErrNoCredentials,
// ErrBadCredentials (for whatever reason: the caller is not told which) or *ThrottledError; any
// other error is a failure of the server.
func (d *Directory) Authenticate(ctx context.Context, c Credentials) (*Caller, error) {
	switch {
	case strings.HasPrefix(c.Token, sessionPrefix):
		return d.authenticateSession(c.Token, c.Source)
	case c.Token != "":
		return d.authenticateToken("", c.Token, c.Source)
	case c.User == "":
		return nil, ErrNoCredentials
	case len(c.User) > maxUserField || len(c.Password) > maxPassword:
		return nil, ErrBadCredentials
	case strings.HasPrefix(c.Password, tokenPrefix):
		return d.authenticateToken(c.User, c.Password, c.Source)
	}
	return d.authenticatePassword(ctx, c)
}

// As returns the user as a caller with everything that the user may: for work that goes on in a
// user's name. It is an error of class ErrNotFound when there is no such user; a disabled user's
// services go on.
func (d *Directory) As(id int) (*Caller, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	u, ok := d.users[id]
	if !ok {
		return nil, noUser(id)
	}
	return d.caller(u, ScopeAll, netip.Addr{}), nil
}

// caller makes the caller for a user with all groups. d.mu is held.
func (d *Directory) caller(u *user, scopes Scopes, source netip.Addr) *Caller {
	admin := u.ID == AdminUser || u.In(AdminGroup)
	return &Caller{User: u.ID, Name: u.Name, Group: u.Group, Groups: u.Groups, Admin: admin,
		Host: admin || d.granted(u, GrantHost, u.Groups), Scopes: scopes, Source: source}
}

// granted reports whether the user or one of the groups holds the grant. d.mu is held.
func (d *Directory) granted(u *user, g Grant, groups []int) bool {
	if holds(u.Grants, g) {
		return true
	}
	for _, id := range groups {
		if group := d.groups[id]; group != nil && holds(group.Grants, g) {
			return true
		}
	}
	return false
}

func holds(grants []Grant, g Grant) bool {
	for _, x := range grants {
		if x == g {
			return true
		}
	}
	return false
}

func (d *Directory) authenticatePassword(ctx context.Context, c Credentials) (*Caller, error) {
	key := d.logins.key(c.User, c.Password)
	for {
		if l, ok := d.logins.get(key, time.Now()); ok {
			if caller := d.remembered(l, c.Source); caller != nil {
				return caller, nil
			}
		}
		run, mine := d.logins.join(attempt{key, networkOf(c.Source)})
		if mine {
			run.err = d.verify(ctx, c, key)
			d.logins.leave(run)
			if run.err != nil {
				return nil, run.err
			}
			continue
		}
		select {
		case <-run.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if run.err != nil && !errors.Is(run.err, context.Canceled) && !errors.Is(run.err, context.DeadlineExceeded) {
			return nil, run.err
		}
	}
}

// remembered returns the caller of a login that still holds: the user is there, enabled, and has
// the very password that was verified.
func (d *Directory) remembered(l login, source netip.Addr) *Caller {
	d.mu.RLock()
	defer d.mu.RUnlock()
	u, ok := d.users[l.user]
	if !ok || u.Disabled || u.password != l.hash {
		return nil
	}
	return d.caller(u, ScopeAll, source)
}

// verify checks a password the slow way and remembers it. A user that does not exist, is disabled
// or has no password costs the same time.
func (d *Directory) verify(ctx context.Context, c Credentials, key loginKey) error {
	if wait := d.throttle.begin(c.Source, c.User, time.Now()); wait > 0 {
		return &ThrottledError{After: wait}
	}
	l := login{user: -1, hash: d.nobody}
	d.mu.RLock()
	u, ok := d.userNames[c.User]
	ok = ok && !u.Disabled && u.password != ""
	if ok {
		l = login{user: u.ID, hash: u.password}
	}
	d.mu.RUnlock()
	match, err := d.hasher.verify(ctx, l.hash, c.Password)
	if err != nil {
		d.throttle.abandon(c.Source, c.User)
		return err
	}
	if !match || !ok {
		return ErrBadCredentials
	}
	d.throttle.success(c.Source, c.User)
	l.expires = time.Now().Add(rememberFor)
	d.logins.put(key, l)
	return nil
}

// logins remembers verified passwords under a keyed hash, so that only one request in five minutes
// pays for argon2. The key is random and never leaves the process.
type logins struct {
	macs sync.Pool // of *keyedHash

	mu    sync.RWMutex
	known map[loginKey]login
	runs  map[attempt]*verification
}

type loginKey [sha256.Size]byte

// A login is a user id and the hash that the password was verified against.
type login struct {
	user    int
	hash    string
	expires time.Time
}

// An attempt is one password from one source. Equal ones at the same time share one verification.
type attempt struct {
	key    loginKey
	source netip.Addr
}

type verification struct {
	attempt
	done chan struct{}
	err  error // after done
}

type keyedHash struct {
	mac hash.Hash
	buf []byte
	sum loginKey
}

func newLogins() *logins {
	secret := make([]byte, 32)
	rand.Read(secret)
	l := &logins{known: map[loginKey]login{}, runs: map[attempt]*verification{}}
	l.macs.New = func() any { return &keyedHash{mac: hmac.New(sha256.New, secret), buf: make([]byte, 0, 128)} }
	return l
}

func (l *logins) key(user, password string) loginKey {
	k := l.macs.Get().(*keyedHash)
	defer l.macs.Put(k)
	// The length keeps "ab"+"c" and "a"+"bc" apart.
	k.buf = append(k.buf[:0], byte(len(user)), byte(len(user)>>8))
	k.buf = append(append(k.buf, user...), password...)
	k.mac.Reset()
	k.mac.Write(k.buf)
	clear(k.buf)
	k.mac.Sum(k.sum[:0])
	return k.sum
}

func (l *logins) get(key loginKey, now time.Time) (login, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	got, ok := l.known[key]
	return got, ok && now.Before(got.expires)
}

func (l *logins) put(key loginKey, v login) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= maxLogins {
		for any := range l.known { // a random one: it is verified again when it comes back
			delete(l.known, any)
			break
		}
	}
	l.known[key] = v
}

// join returns the verification of the same attempt that is going on, or a new one, which is the
// caller's to run and to leave.
func (l *logins) join(a attempt) (run *verification, mine bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if run, ok := l.runs[a]; ok {
		return run, false
	}
	run = &verification{attempt: a, done: make(chan struct{})}
	l.runs[a] = run
	return run, true
}

func (l *logins) leave(run *verification) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runs, run.attempt)
	close(run.done)
}

func (l *logins) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, v := range l.known {
		if !now.Before(v.expires) {
			delete(l.known, key)
		}
	}
}
