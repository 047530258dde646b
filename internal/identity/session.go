package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// SessionLife is how long a session lasts. Clients of Keystone renew theirs by themselves.
const SessionLife = time.Hour

// delegatedLife is how long a session lasts that a delegation opens: whoever works in a user's name has it once, and it ends with the
// delegation in any case.
const delegatedLife = 10 * 365 * 24 * time.Hour

const (
	sessionPrefix  = "trs_"
	sessionPurpose = "session"
	maxSessionText = 1024
	maxEnded       = 100 // sessions of one user that were ended before their time, and whose time has not come
)

// Issued reports whether a text has the form of a token or session of this directory; others may know those that have not.
func Issued(text string) bool {
	return strings.HasPrefix(text, tokenPrefix) || strings.HasPrefix(text, sessionPrefix)
}

// A Sealer encrypts and authenticates small texts: store.Vault.
type Sealer interface {
	Seal(secret []byte, context string) []byte
	Open(sealed []byte, context string) ([]byte, error)
}

// A Session is a login that lasts for an hour at most, in one group. Nothing is stored about it: its text says all, sealed.
// It ends early with what it was opened by: when the password changes, the token ends or the user leaves the group.
type Session struct {
	ID      string    `json:"i"`
	User    int       `json:"u"`
	Group   int       `json:"g"`
	Scopes  Scopes    `json:"s"`
	Token   string    `json:"t,omitempty"` // id of the token that it was opened by; "" for a password
	Issued  time.Time `json:"a"`
	Expires time.Time `json:"e"`
	// Proof is a digest of the password's hash: another password ends the session.
	Proof []byte `json:"p,omitempty"`
}

// SealSessions gives the directory what sessions are sealed with, before its first use. Without it there are none.
func (d *Directory) SealSessions(s Sealer) { d.sealer = s }

// OpenSession makes a session of somebody who was authenticated just now, in one group: their own, or any for
// administrators. A session that opens another passes on no more than its own life and scopes.
func (d *Directory) OpenSession(who *Caller, group int) (text string, s Session, err error) {
	if d.sealer == nil {
		return "", s, fmt.Errorf("%w: this server has no sessions", ErrDenied)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	s = Session{ID: randomLetters(tokenID), User: who.User, Group: group, Scopes: who.Scopes, Token: who.Token, Issued: now, Expires: now.Add(SessionLife)}
	d.mu.RLock()
	defer d.mu.RUnlock()
	u := d.users[who.User]
	if u == nil {
		return "", s, noUser(who.User)
	}
	switch {
	case d.groups[group] == nil || !d.mayWork(who, u, group):
		return "", s, fmt.Errorf("group %d: %w: user %s is no member", group, ErrDenied, u.Name)
	case who.Session != nil:
		s.Token, s.Proof, s.Expires = who.Session.Token, who.Session.Proof, who.Session.Expires
	case who.Token == "":
		s.Proof = proofOf(u.password)
	default:
		t := d.tokens[who.Token]
		if t != nil && t.Delegated {
			s.Expires = now.Add(delegatedLife)
		}
		if t != nil && !t.Expires.IsZero() && t.Expires.Before(s.Expires) {
			s.Expires = t.Expires
		}
	}
	text, err = d.seal(s)
	return text, s, err
}

func (d *Directory) seal(s Session) (string, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encode session: %w", err)
	}
	return sessionPrefix + base64.RawURLEncoding.EncodeToString(d.sealer.Seal(plain, sessionPurpose)), nil
}

// Introduce makes a session by which this server shows others that it speaks for a group: they can have it validated, and it is
// good for nothing else. It bears the group's first user. It is an error of class ErrNotFound when there is none.
func (d *Directory) Introduce(group int) (string, error) {
	if d.sealer == nil {
		return "", fmt.Errorf("%w: this server has no sessions", ErrDenied)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	var first *user
	for _, u := range d.users {
		if u.In(group) && !u.Disabled && (first == nil || u.ID < first.ID) {
			first = u
		}
	}
	if first == nil || d.groups[group] == nil {
		return "", fmt.Errorf("group %d: no user who could speak for it: %w", group, ErrNotFound)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	return d.seal(Session{ID: randomLetters(tokenID), User: first.ID, Group: group, Issued: now, Expires: now.Add(SessionLife), Proof: proofOf(first.password)})
}

// mayWork reports whether somebody may have a session in a group. A session leads to the user's other groups, unless it was opened by
// a token of one group. d.mu is held.
func (d *Directory) mayWork(who *Caller, u *user, group int) bool {
	if who.Session != nil {
		if t := d.tokens[who.Session.Token]; t != nil && t.Group != nil {
			return *t.Group == group
		}
		who = d.caller(u, who.Scopes, who.Source)
	}
	return who.In(group) || who.Administers()
}

func proofOf(hash string) []byte {
	sum := sha256.Sum256([]byte("session of " + hash))
	return sum[:16]
}

// authenticateSession says whose session the text is.
func (d *Directory) authenticateSession(text string, source netip.Addr) (*Caller, error) {
	s, err := d.unseal(text)
	if err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	u := d.users[s.User]
	if u == nil || u.Disabled || d.groups[s.Group] == nil || !time.Now().Before(s.Expires) {
		return nil, ErrBadCredentials
	}
	if _, ended := d.ended[s.ID]; ended {
		return nil, ErrBadCredentials
	}
	if s.Token != "" {
		t := d.tokens[s.Token]
		if t == nil || t.User != u.ID || t.expired(time.Now()) || t.Group != nil && *t.Group != s.Group {
			return nil, ErrBadCredentials
		}
		s.Scopes &= t.Scopes
	} else if subtle.ConstantTimeCompare(s.Proof, proofOf(u.password)) != 1 {
		return nil, ErrBadCredentials
	}
	whole := d.caller(u, s.Scopes, source)
	if !whole.In(s.Group) && !whole.Administers() {
		return nil, ErrBadCredentials
	}
	c := d.confine(whole, u, s.Group)
	c.Token, c.Session = s.ID, &s
	return c, nil
}

// confine bounds a caller to one group. d.mu is held.
func (d *Directory) confine(c *Caller, u *user, group int) *Caller {
	c.Group, c.Groups = group, []int{group}
	c.Admin = group == AdminGroup && c.Admin
	c.Host = c.Admin || d.granted(u, GrantHost, c.Groups)
	return c
}

func (d *Directory) unseal(text string) (s Session, err error) {
	raw, ok := strings.CutPrefix(text, sessionPrefix)
	if !ok || d.sealer == nil || len(text) > maxSessionText {
		return s, ErrBadCredentials
	}
	sealed, err := base64.RawURLEncoding.DecodeString(raw)
	if err != nil {
		return s, ErrBadCredentials
	}
	plain, err := d.sealer.Open(sealed, sessionPurpose)
	if err != nil || json.Unmarshal(plain, &s) != nil {
		return s, ErrBadCredentials
	}
	return s, nil
}

// endedRecord is what is kept of a session that was ended before its time.
type endedRecord struct {
	Version int       `json:"v"`
	User    int       `json:"user"`
	Expires time.Time `json:"expires"`
}

type endedSession struct {
	user     int
	expires  time.Time
	revision int64
}

// EndSession ends a session before its time. It is an error of class ErrInvalid when the user has ended a hundred others that
// would still run: changing the password ends all.
func (d *Directory) EndSession(ctx context.Context, s *Session) error {
	return d.change(ctx, func(*serial) ([]Record, error) {
		d.mu.RLock()
		defer d.mu.RUnlock()
		if _, ended := d.ended[s.ID]; ended {
			return nil, nil
		}
		records := []Record{encode(endedKeys+s.ID, endedRecord{recordVersion, s.User, s.Expires})}
		live := 0
		for id, e := range d.ended {
			switch {
			case !time.Now().Before(e.expires):
				if len(records) <= maxEnded {
					records = append(records, Record{Key: endedKeys + id})
				}
			case e.user == s.User:
				live++
			}
		}
		if live >= maxEnded {
			return nil, fmt.Errorf("%w: %d sessions of the user were ended within the hour; change the password to end all", ErrInvalid, live)
		}
		return records, nil
	})
}

func (d *Directory) applyEnded(r Record) error {
	id := strings.TrimPrefix(r.Key, endedKeys)
	if old, known := d.ended[id]; known && old.revision > r.Revision {
		return nil
	}
	if r.Value == nil {
		delete(d.ended, id)
		return nil
	}
	var rec endedRecord
	if err := decode(r, &rec, &rec.Version); err != nil {
		return err
	}
	d.ended[id] = endedSession{rec.User, rec.Expires, r.Revision}
	return nil
}
