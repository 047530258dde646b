package identity

import (
	"fmt"
	"strings"
)

// A Right is what a caller wants to do with an object (OneFlow specification, section 5).
type Right uint8

// The rights, from the weakest to the strongest.
const (
	Use    Right = 4 // read, list, instantiate, clone
	Manage Right = 2 // change, delete, act
	Admin  Right = 1 // change admin bits
)

// String returns the right's name.
func (r Right) String() string {
	switch r {
	case Use:
		return "use"
	case Manage:
		return "manage"
	case Admin:
		return "admin"
	}
	return "none"
}

// ParseRight reads "use", "manage" or "admin".
func ParseRight(text string) (Right, error) {
	for _, r := range []Right{Use, Manage, Admin} {
		if strings.EqualFold(text, r.String()) {
			return r, nil
		}
	}
	return 0, fmt.Errorf("%w: no right %q (use, manage, admin)", ErrInvalid, text)
}

// Bits are the permissions of an object: three octal digits for owner, group and others, each the
// sum of use 4, manage 2 and admin 1.
type Bits uint16

// DefaultBits are those of a new object: its owner may use and manage it.
const DefaultBits Bits = 0o600

// ParseBits reads one to three octal digits; missing ones on the left are zeros, so "40" is 040.
func ParseBits(text string) (Bits, error) {
	if text == "" || len(text) > 3 {
		return 0, fmt.Errorf("%w: permissions %q: give three octal digits such as 640", ErrInvalid, text)
	}
	var b Bits
	for _, c := range []byte(text) {
		if c < '0' || c > '7' {
			return 0, fmt.Errorf("%w: permissions %q: %q is no octal digit; give three such as 640", ErrInvalid, text, c)
		}
		b = b<<3 | Bits(c-'0')
	}
	return b, nil
}

// String returns three octal digits.
func (b Bits) String() string { return fmt.Sprintf("%03o", uint16(b)) }

// Owner, Group and Other report whether the bits give them the right.
func (b Bits) Owner(r Right) bool { return b>>6&Bits(r) != 0 }

// Group reports whether members of the object's group have the right.
func (b Bits) Group(r Right) bool { return b>>3&Bits(r) != 0 }

// Other reports whether everybody has the right.
func (b Bits) Other(r Right) bool { return b&Bits(r) != 0 }

// AdminChanged reports whether any of the three admin bits differs, which needs the admin right.
func (b Bits) AdminChanged(to Bits) bool { return (b^to)&0o111 != 0 }

// An Object is what permission checks see of a service, template or machine definition.
type Object struct {
	Owner int
	Group int
	Bits  Bits
	// Lock refuses its own right and all stronger ones to everybody but administrators; 0 for none.
	Lock Right
}

// Allowed reports whether the caller has the right on the object. Any source of the right is enough
// (owner, group or other bits: a union, not the first that matches); administrators pass. A token
// must cover the right besides: use needs read, manage needs operate, admin needs admin.
func Allowed(c *Caller, o Object, r Right) bool {
	if !c.Can(scopeFor(r)) {
		return false
	}
	if c.Admin {
		return true
	}
	if r <= o.Lock { // stronger rights have smaller values
		return false
	}
	return o.Bits.Other(r) ||
		o.Bits.Owner(r) && c.User == o.Owner ||
		o.Bits.Group(r) && c.In(o.Group)
}

// Authorize is Allowed with words: nil, or an error of class ErrDenied that says what is missing.
func Authorize(c *Caller, o Object, r Right) error {
	switch {
	case Allowed(c, o, r):
		return nil
	case !c.Can(scopeFor(r)):
		return fmt.Errorf("%w: the token %s has no scope %q", ErrDenied, c.Token, scopeFor(r))
	case r <= o.Lock:
		return fmt.Errorf("%w: locked against %s; unlock it first", ErrDenied, o.Lock)
	}
	return fmt.Errorf("%w: user %s lacks the right to %s it (permissions %s, owner %d, group %d)",
		ErrDenied, c.Name, r, o.Bits, o.Owner, o.Group)
}

func scopeFor(r Right) Scopes {
	switch r {
	case Use:
		return ScopeRead
	case Manage:
		return ScopeOperate
	}
	return ScopeAdmin
}
