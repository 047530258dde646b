package identity

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A token reads trp_<id>_<secret>: a prefix that scanners of leaked secrets find, an id that may be
// shown, and 260 random bits. The expression for scanners is trp_[a-z2-7]{13}_[a-z2-7]{52}.
const (
	tokenPrefix  = "trp_"
	tokenID      = 13
	tokenSecret  = 52
	tokenLength  = len(tokenPrefix) + tokenID + 1 + tokenSecret
	maxTokens    = 100 // of one user; removing the user is one transaction
	maxTokenName = 128
)

// A Token lets a program act as its user, within its scopes and until it expires.
type Token struct {
	ID     string `json:"id"`
	User   int    `json:"user"`
	Name   string `json:"name"`
	Scopes Scopes `json:"scopes"`
	Group  *int   `json:"group,omitempty"` // acts in this group only; nil for all of the user's
	// Delegated: it has no secret, and stands for work that goes on in the user's name; see Directory.Delegate.
	Delegated bool      `json:"delegated,omitempty"`
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires,omitzero"` // zero: never
	// Used is when it was last seen, to the minute; written down within the hour.
	Used     time.Time `json:"used,omitzero"`
	Revision int64     `json:"-"`
}

type tokenRecord struct {
	Version int `json:"v"`
	Token
	Hash []byte `json:"hash"` // SHA-256 of the secret: 260 random bits need nothing slower
}

type token struct {
	Token
	hash []byte
	used atomic.Int64 // minutes since 1970
}

func (t *token) view() Token {
	v := t.Token
	v.Group = copyOf(v.Group)
	if m := t.used.Load(); m > 0 {
		v.Used = time.Unix(m*60, 0).UTC()
	}
	return v
}

func (t *token) record() Record {
	return encode(tokenKeys+t.ID, tokenRecord{recordVersion, t.view(), t.hash})
}

func (d *Directory) applyToken(r Record) error {
	id := strings.TrimPrefix(r.Key, tokenKeys)
	old := d.tokens[id]
	if old != nil && old.Revision > r.Revision {
		return nil
	}
	if r.Value == nil {
		delete(d.tokens, id)
		return nil
	}
	var rec tokenRecord
	if err := decode(r, &rec, &rec.Version); err != nil {
		return err
	}
	t := &token{Token: rec.Token, hash: rec.Hash}
	t.ID, t.Revision = id, r.Revision
	t.used.Store(max(t.Used.Unix()/60, 0))
	if old != nil {
		t.used.Store(max(t.used.Load(), old.used.Load()))
	}
	d.tokens[id] = t
	return nil
}

// NewToken says what AddToken makes.
type NewToken struct {
	User    int
	Name    string
	Scopes  Scopes        // 0 means read
	Group   *int          // to act in this group only
	Expires time.Duration // from now; 0 for never
}

// AddToken makes a token and returns its text, which cannot be seen again. Expired tokens of the
// same user are removed on the way. Whether the scopes go beyond those of whoever asks is the
// caller's to check.
func (d *Directory) AddToken(ctx context.Context, n NewToken) (text string, t Token, err error) {
	if len(n.Name) > maxTokenName || strings.ContainsFunc(n.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", Token{}, fmt.Errorf("token name: %w: at most %d printable bytes", ErrInvalid, maxTokenName)
	}
	if n.Expires < 0 || n.Scopes&^ScopeAll != 0 {
		return "", Token{}, fmt.Errorf("token %q: %w: expiry in the past or unknown scope", n.Name, ErrInvalid)
	}
	id, secret := randomLetters(tokenID), randomLetters(tokenSecret)
	now := time.Now().UTC()
	made := &token{Token: Token{ID: id, User: n.User, Name: n.Name, Scopes: n.Scopes.full(), Group: copyOf(n.Group), Created: now}, hash: hashSecret(secret)}
	if n.Expires > 0 {
		made.Expires = now.Add(n.Expires)
	}
	err = d.change(ctx, func(*serial) ([]Record, error) {
		d.mu.RLock()
		defer d.mu.RUnlock()
		u := d.users[n.User]
		if u == nil {
			return nil, noUser(n.User)
		}
		if n.Group != nil && !u.In(*n.Group) {
			return nil, fmt.Errorf("%w: user %s is no member of group %d", ErrInvalid, u.Name, *n.Group)
		}
		records := []Record{made.record()}
		live := 0
		for _, t := range d.tokens {
			switch {
			case t.User != n.User:
			case t.expired(now):
				records = append(records, Record{Key: tokenKeys + t.ID})
			default:
				live++
			}
		}
		if live >= maxTokens {
			return nil, fmt.Errorf("%w: user %s has %d tokens already; remove one", ErrInvalid, u.Name, live)
		}
		return records, nil
	})
	if err != nil {
		return "", Token{}, fmt.Errorf("add token %q: %w", n.Name, err)
	}
	t, err = d.Token(id)
	return tokenPrefix + id + "_" + secret, t, err
}

// Tokens returns the tokens of a user, oldest first.
func (d *Directory) Tokens(user int) []Token {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []Token
	for _, t := range d.tokens {
		if t.User == user {
			out = append(out, t.view())
		}
	}
	slices.SortFunc(out, func(a, b Token) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return out
}

// Token returns one token by its id.
func (d *Directory) Token(id string) (Token, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if t := d.tokens[id]; t != nil {
		return t.view(), nil
	}
	return Token{}, noToken(id)
}

// RemoveToken ends a token at once.
func (d *Directory) RemoveToken(ctx context.Context, id string) error {
	return d.change(ctx, func(*serial) ([]Record, error) {
		if _, err := d.Token(id); err != nil {
			return nil, err
		}
		return []Record{{Key: tokenKeys + id}}, nil
	})
}

// authenticateToken says whose token the text is. With a name the token must be that user's.
func (d *Directory) authenticateToken(name, text string, source netip.Addr) (*Caller, error) {
	id, secret, ok := splitToken(text)
	if !ok {
		return nil, ErrBadCredentials
	}
	var buf [tokenSecret]byte
	copy(buf[:], secret)
	sum := sha256.Sum256(buf[:])
	now := time.Now()

	d.mu.RLock()
	defer d.mu.RUnlock()
	t := d.tokens[id]
	if t == nil || subtle.ConstantTimeCompare(sum[:], t.hash) != 1 || t.expired(now) {
		return nil, ErrBadCredentials
	}
	u := d.users[t.User]
	if u == nil || u.Disabled || name != "" && name != u.Name {
		return nil, ErrBadCredentials
	}
	c := d.caller(u, t.Scopes, source)
	if t.Group != nil {
		if !u.In(*t.Group) {
			return nil, ErrBadCredentials
		}
		d.confine(c, u, *t.Group)
	}
	c.Token = t.ID
	if minute := now.Unix() / 60; t.used.Load() < minute {
		t.used.Store(minute)
	}
	return c, nil
}

func (t *Token) expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// saveUse writes down when tokens were last used, if the store is an hour behind. A conflict means
// that another server wrote meanwhile; the next round sees to it.
func (d *Directory) saveUse(ctx context.Context) error {
	var stale []Record
	d.mu.RLock()
	for _, t := range d.tokens {
		if t.used.Load()*60-t.Used.Unix() > 3600 && t.used.Load() > 0 {
			stale = append(stale, t.record())
		}
	}
	d.mu.RUnlock()
	for batch := range slices.Chunk(stale, maxTokens) {
		err := d.put(ctx, batch)
		if errors.Is(err, ErrConflict) {
			return d.reload(ctx)
		}
		if err != nil {
			return fmt.Errorf("write down the last use of tokens: %w", err)
		}
	}
	return nil
}

// TokenIs reports whether a text is that of the token with an id, as far as the text says. It says nothing of whether it is good.
func TokenIs(text, id string) bool {
	got, _, ok := splitToken(text)
	return ok && got == id
}

func splitToken(text string) (id, secret string, ok bool) {
	const secretAt = len(tokenPrefix) + tokenID + 1
	if len(text) != tokenLength || text[:len(tokenPrefix)] != tokenPrefix || text[secretAt-1] != '_' {
		return "", "", false
	}
	return text[len(tokenPrefix) : secretAt-1], text[secretAt:], true
}

func hashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// randomLetters returns n random lower-case letters of base32, five bits each.
func randomLetters(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(strings.ToLower(rand.Text()))
	}
	return b.String()[:n]
}

func noToken(id string) error { return fmt.Errorf("token %.20q: %w", id, ErrNotFound) }
