package identity_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
)

// A delegation acts as its user in one group, within the rights that were shown; nobody can show it, and what it has opened ends with it.
func TestDelegation(t *testing.T) {
	l := sessions(t)
	ctx := t.Context()
	ann, err := l.UserNamed("ann")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := l.As(ann.ID)
	if err != nil {
		t.Fatal(err)
	}
	group := ann.Groups[len(ann.Groups)-1]
	who, err := l.Within(whole, group)
	if err != nil || who.Group != group || len(who.Groups) != 1 {
		t.Fatalf("%+v %v", who, err)
	}
	if _, err := l.Within(whole, identity.AdminGroup); !errors.Is(err, identity.ErrDenied) {
		t.Errorf("in a group of others: %v", err)
	}
	who.Scopes = identity.ScopeRead | identity.ScopeOperate
	id, err := l.Delegate(ctx, who, "work")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.Delegate(ctx, who, "work"); err != nil || again != id {
		t.Errorf("the same again: %s %v", again, err)
	}
	for _, text := range []string{"trp_" + id + "_", "trp_" + id + "_" + string(slices.Repeat([]byte("a"), 52))} {
		if _, err := l.Authenticate(ctx, identity.Credentials{Token: text}); !errors.Is(err, identity.ErrBadCredentials) {
			t.Errorf("a delegation is shown: %v", err)
		}
	}
	lent, err := l.Delegated(id)
	if err != nil || lent.User != ann.ID || lent.Group != group || lent.In(ann.Groups[0]) && ann.Groups[0] != group || lent.Can(identity.ScopeAdmin) || !lent.Can(identity.ScopeOperate) {
		t.Fatalf("%+v %v", lent, err)
	}
	text, s, err := l.OpenSession(lent, lent.Group)
	if err != nil || time.Until(s.Expires) < 365*24*time.Hour {
		t.Fatalf("%+v %v", s, err)
	}
	if c, err := l.Authenticate(ctx, identity.Credentials{Token: text}); err != nil || c.Group != group || c.Can(identity.ScopeAdmin) {
		t.Errorf("%+v %v", c, err)
	}
	for _, other := range ann.Groups {
		if _, _, err := l.OpenSession(lent, other); other != group && err == nil {
			t.Errorf("it leads to group %d", other)
		}
	}
	if err := l.RemoveToken(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Delegated(id); !errors.Is(err, identity.ErrDenied) {
		t.Errorf("it outlives its end: %v", err)
	}
	if _, err := l.Authenticate(ctx, identity.Credentials{Token: text}); !errors.Is(err, identity.ErrBadCredentials) {
		t.Errorf("its session outlives it: %v", err)
	}
}
