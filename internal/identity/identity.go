// Package identity knows who may do what: users, groups (which are the projects), passwords, tokens,
// permission bits and quotas.
//
// The rules (permission bits, quotas, names) are pure. A [Directory] keeps all users, groups and
// tokens in memory over a [Records] store, answers [Directory.Authenticate] from there, and changes
// them with optimistic concurrency. It authorises nobody by itself: whoever calls its commands has
// asked [Caller.Administers] or [Allowed] before.
package identity

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// The users and groups that exist from the first start. They cannot be removed.
const (
	AdminUser  = 0 // "oneadmin" unless named otherwise
	AdminGroup = 0 // "oneadmin": its members pass every permission check
	UsersGroup = 1 // "users": where a user without another group belongs
)

// Classes of error, to be found with errors.Is.
var (
	ErrNoCredentials  = errors.New("a user name and password, or a token, are needed")
	ErrBadCredentials = errors.New("invalid user name, password or token")
	ErrDenied         = errors.New("not permitted")
	ErrNotFound       = errors.New("not found")
	ErrExists         = errors.New("exists already")
	ErrInvalid        = errors.New("invalid")
	ErrInUse          = errors.New("still in use")
	// ErrConflict: a record was changed meanwhile. Records return it when a guard fails.
	ErrConflict = errors.New("changed meanwhile; read it again and repeat")
)

// A ThrottledError refuses a login because too many failed before. It is no verdict on the password.
type ThrottledError struct {
	After time.Duration // when the next attempt is looked at
}

// Error says when to try again.
func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many failed logins; try again in %s", (e.After + time.Second - 1).Truncate(time.Second))
}

// Credentials are what a request shows: a token or session (Bearer), or a name with a password (Basic), where
// the password may itself be a token of that user.
type Credentials struct {
	User     string
	Password string
	Token    string
	Source   netip.Addr // where the request came from; failed logins are counted by it
}

// A Caller is an authenticated user within one request. It is a snapshot and read-only.
type Caller struct {
	User   int
	Name   string
	Group  int   // effective group: new objects belong to it
	Groups []int // all groups that count, the effective one among them
	// Admin passes every permission check: user 0 or a member of group 0. A token that is bound
	// to another group does not carry it.
	Admin  bool
	Host   bool // may use definitions that run commands on the server's own host
	Scopes Scopes
	Token  string // id of the token or session used, "" for a password
	// Session is the session used, nil for none.
	Session *Session
	Source  netip.Addr
}

// Can reports whether the caller's token covers all of the scopes. A password covers everything.
func (c *Caller) Can(s Scopes) bool { return c.Scopes&s == s }

// In reports whether the caller acts as a member of the group.
func (c *Caller) In(group int) bool { return slices.Contains(c.Groups, group) }

// Administers reports whether the caller may manage users, groups and the server itself.
func (c *Caller) Administers() bool { return c.Admin && c.Can(ScopeAdmin) }

// MayUseHost reports whether the caller may store and start definitions that run commands on the
// server's own host.
func (c *Caller) MayUseHost() bool { return c.Host && c.Can(ScopeOperate) }

// Scopes bound what a token is good for. Its user's rights bound it further.
type Scopes uint8

// The scopes. Operate includes read and push; admin includes all.
const (
	ScopeRead    Scopes = 1 << iota // read what the user may use
	ScopeOperate                    // create, change and remove
	ScopeAdmin                      // change admin bits, users, groups and the server
	ScopeMetrics                    // read /metrics and nothing else
	ScopePush                       // send metrics and nothing else
	ScopeAll     = ScopeRead | ScopeOperate | ScopeAdmin | ScopeMetrics | ScopePush
)

var scopeNames = []string{"read", "operate", "admin", "metrics", "push"}

// ParseScopes reads names such as "read" and "operate". None at all means read.
func ParseScopes(names []string) (Scopes, error) {
	var s Scopes
	for i, name := range names {
		bit := slices.Index(scopeNames, name)
		if bit < 0 {
			return 0, fmt.Errorf("scopes[%d]: %w: no scope %q (%s)%s", i, ErrInvalid, name,
				strings.Join(scopeNames, ", "), nearest.Hint(name, scopeNames))
		}
		s |= 1 << bit
	}
	return s.full(), nil
}

// full adds what the scopes include.
func (s Scopes) full() Scopes {
	switch {
	case s&ScopeAdmin != 0:
		return ScopeAll
	case s&ScopeOperate != 0:
		return s | ScopeRead | ScopePush
	case s == 0:
		return ScopeRead
	}
	return s
}

// Names returns the scopes by name.
func (s Scopes) Names() []string {
	var names []string
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String returns the names, joined by commas.
func (s Scopes) String() string { return strings.Join(s.Names(), ",") }

// A Grant is a right on the installation itself, given to a user or to all members of a group.
type Grant string

// GrantHost lets its holder use definitions that run commands on the server's host (the process
// driver, exec checks). At first only administrators have it.
const GrantHost Grant = "host"

var grantNames = []string{string(GrantHost)}

func checkGrants(grants []Grant) error {
	for i, g := range grants {
		if !slices.Contains(grantNames, string(g)) {
			return fmt.Errorf("grants[%d]: %w: no grant %q (%s)%s", i, ErrInvalid, g,
				strings.Join(grantNames, ", "), nearest.Hint(string(g), grantNames))
		}
	}
	return nil
}
