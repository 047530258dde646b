package identity_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/identity/identitytest"
	"github.com/troupe-dev/troupe/internal/store"
)

// A login is a directory with ann in groups 1 and 2 and sessions.
type login struct {
	*identity.Directory
	t *testing.T
	r *identitytest.Records
}

func sessions(t *testing.T) *login {
	d, r := started(t)
	v, err := store.EphemeralVault()
	if err != nil {
		t.Fatal(err)
	}
	d.SealSessions(v)
	return &login{d, t, r}
}

// open makes a session of whoever shows the credentials.
func (l *login) open(c identity.Credentials, group int) string {
	l.t.Helper()
	who, err := l.Authenticate(l.t.Context(), c)
	if err != nil {
		l.t.Fatal(err)
	}
	text, _, err := l.OpenSession(who, group)
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

func (l *login) as(text string) *identity.Caller {
	l.t.Helper()
	who, err := l.Authenticate(l.t.Context(), identity.Credentials{Token: text})
	if err != nil {
		l.t.Fatalf("session refused: %v", err)
	}
	return who
}

func (l *login) refused(what, text string) {
	l.t.Helper()
	if _, err := l.Authenticate(l.t.Context(), identity.Credentials{Token: text}); !errors.Is(err, identity.ErrBadCredentials) {
		l.t.Errorf("%s: %v", what, err)
	}
}

func TestSession(t *testing.T) {
	l := sessions(t)
	before := len(l.r.History())
	text := l.open(basic("ann", "ann's own", here), 2)
	who := l.as(text)
	if who.Name != "ann" || who.Group != 2 || len(who.Groups) != 1 || who.Admin || who.Token == "" || !who.Can(identity.ScopeOperate) {
		t.Errorf("the session speaks for %+v", who)
	}
	if n := len(l.r.History()); n != before {
		t.Errorf("a login wrote %d records", n-before)
	}
	ann, _ := l.Authenticate(t.Context(), basic("ann", "ann's own", here))
	if _, _, err := l.OpenSession(ann, identity.AdminGroup); !errors.Is(err, identity.ErrDenied) {
		t.Errorf("a session in another's group: %v", err)
	}
	for i := range text { // not one character may change
		wrong := byte('A')
		if text[i] == wrong {
			wrong = 'B'
		}
		if i == len(text)-1 { // whose low bits may be unused
			continue
		}
		l.refused("forged", text[:i]+string(wrong)+text[i+1:])
	}
	l.refused("long", text+strings.Repeat("x", 2000))
	other := sessions(t)
	other.refused("of another installation", text)
}

// A session of an administrator in a project has no more rights there than its members.
func TestSessionOfAdministrator(t *testing.T) {
	l := sessions(t)
	if who := l.as(l.open(basic("oneadmin", firstPassword, here), 2)); who.Admin || who.Administers() || who.Host || who.Group != 2 {
		t.Errorf("in a project, the administrator is %+v", who)
	}
	if who := l.as(l.open(basic("oneadmin", firstPassword, here), identity.AdminGroup)); !who.Administers() {
		t.Error("in group 0, the administrator is none")
	}
}

func TestSessionEnds(t *testing.T) {
	ends := map[string]func(*login, string){
		"password": func(l *login, _ string) { l.check(l.SetPassword(l.t.Context(), 1, "another one")) },
		"disabled": func(l *login, _ string) {
			_, err := l.ChangeUser(l.t.Context(), 1, func(u *identity.User) error { u.Disabled = true; return nil })
			l.check(err)
		},
		"left the group": func(l *login, _ string) {
			_, err := l.ChangeUser(l.t.Context(), 1, func(u *identity.User) error { u.Groups = []int{1}; return nil })
			l.check(err)
		},
		"gone": func(l *login, _ string) { l.check(l.RemoveUser(l.t.Context(), 1)) },
		"ended": func(l *login, text string) {
			l.check(l.EndSession(l.t.Context(), l.as(text).Session))
		},
	}
	for what, end := range ends {
		l := sessions(t)
		text, other := l.open(basic("ann", "ann's own", here), 2), l.open(basic("oneadmin", firstPassword, here), 2)
		end(l, text)
		l.refused(what, text)
		l.as(other)
	}
}

func (l *login) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// A session expires after its hour, that of a token with it, and a session hands on no more than it has.
func TestSessionExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := sessions(t)
		text := l.open(basic("ann", "ann's own", here), 2)
		time.Sleep(identity.SessionLife / 2)
		again := l.open(identity.Credentials{Token: text}, 2)
		group := 2
		token, _, err := l.AddToken(t.Context(), identity.NewToken{User: 1, Name: "agent", Scopes: identity.ScopePush, Group: &group, Expires: 10 * time.Minute})
		l.check(err)
		pushing := l.open(basic("ann", token, here), 2)
		if who := l.as(pushing); who.Can(identity.ScopeRead) || !who.Can(identity.ScopePush) {
			t.Errorf("the session of a token for metrics has the scopes %v", who.Scopes)
		}
		time.Sleep(11 * time.Minute)
		l.refused("after its token", pushing)
		l.as(again)
		time.Sleep(identity.SessionLife/2 - 11*time.Minute)
		l.refused("after its hour", text)
		l.refused("after the hour of the first", again)
	})
}

// What was ended stays ended after a start, and is forgotten when it would have expired.
func TestEndedSessionsAreKept(t *testing.T) {
	l := sessions(t)
	v, err := store.EphemeralVault()
	l.check(err)
	l.SealSessions(v)
	text := l.open(basic("ann", "ann's own", here), 2)
	l.check(l.EndSession(t.Context(), l.as(text).Session))
	next := &login{open(t, l.r), t, l.r}
	next.SealSessions(v)
	next.refused("after a start", text)
	var last error
	for range 200 {
		if last = next.EndSession(t.Context(), next.as(next.open(basic("ann", "ann's own", here), 2)).Session); last != nil {
			break
		}
	}
	if !errors.Is(last, identity.ErrInvalid) {
		t.Errorf("200 sessions were ended: %v", last)
	}
}

// What the server introduces itself with can be validated, and is good for nothing else.
func TestIntroduce(t *testing.T) {
	l := sessions(t)
	text, err := l.Introduce(1)
	if err != nil {
		t.Fatal(err)
	}
	who := l.as(text)
	if who.Name != "ann" || who.Group != 1 || who.Scopes != 0 || who.Administers() || who.MayUseHost() || who.Can(identity.ScopeRead) || who.Can(identity.ScopePush) {
		t.Errorf("it is %+v", who)
	}
	if again, _, err := l.OpenSession(who, 1); err == nil && l.as(again).Scopes != 0 {
		t.Error("it leads to more than it is")
	}
	if _, err := l.Introduce(77); !errors.Is(err, identity.ErrNotFound) {
		t.Errorf("a group that does not exist: %v", err)
	}
}
