package identity_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
)

func bubble(t *testing.T, f func(*testing.T)) { t.Helper(); synctest.Test(t, f) }

var (
	here  = netip.MustParseAddr("192.0.2.1")
	there = netip.MustParseAddr("198.51.100.7")
)

func basic(user, password string, source netip.Addr) identity.Credentials {
	return identity.Credentials{User: user, Password: password, Source: source}
}

func TestAuthenticate(t *testing.T) {
	d, _ := started(t)
	tests := []struct {
		name string
		c    identity.Credentials
		want error
	}{
		{"right", basic("ann", "ann's own", here), nil},
		{"right again", basic("ann", "ann's own", here), nil},
		{"nothing", identity.Credentials{}, identity.ErrNoCredentials},
		{"password without user", basic("", "x", here), identity.ErrNoCredentials},
		{"wrong", basic("ann", "ann's 0wn", here), identity.ErrBadCredentials},
		{"empty", basic("ann", "", here), identity.ErrBadCredentials},
		{"another's", basic("ann", firstPassword, here), identity.ErrBadCredentials},
		{"unknown user", basic("bob", "ann's own", here), identity.ErrBadCredentials},
		{"boundary moved", basic("annann'", "s own", here), identity.ErrBadCredentials},
		{"endless", basic("ann", strings.Repeat("x", 1<<20), here), identity.ErrBadCredentials},
		{"no token", identity.Credentials{Token: "x"}, identity.ErrBadCredentials},
	}
	for _, tt := range tests {
		if _, err := d.Authenticate(t.Context(), tt.c); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestRememberedLoginsEnd(t *testing.T) {
	d, _ := started(t)
	ctx := t.Context()
	old, next := basic("ann", "ann's own", here), basic("ann", "another one", here)
	must := func(c identity.Credentials, want error) {
		t.Helper()
		if _, err := d.Authenticate(ctx, c); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	must(old, nil)
	if err := d.SetPassword(ctx, 1, next.Password); err != nil {
		t.Fatal(err)
	}
	must(old, identity.ErrBadCredentials)
	must(next, nil)
	disable := func(to bool) {
		if _, err := d.ChangeUser(ctx, 1, func(u *identity.User) error { u.Disabled = to; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	disable(true)
	must(next, identity.ErrBadCredentials)
	disable(false)
	must(next, nil)
	if err := d.RemoveUser(ctx, 1); err != nil {
		t.Fatal(err)
	}
	must(next, identity.ErrBadCredentials)
}

// After enough failures a source has to wait for that user, others not; even the right password is
// not looked at meanwhile, and the wait ends.
func TestThrottle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d, _ := started(t)
		ctx := t.Context()
		var throttled *identity.ThrottledError
		for i := 0; throttled == nil; i++ {
			_, err := d.Authenticate(ctx, basic("ann", fmt.Sprintf("guess %d", i), here))
			if !errors.As(err, &throttled) && !errors.Is(err, identity.ErrBadCredentials) {
				t.Fatal(err)
			}
			if i > 20 {
				t.Fatal("20 guesses without a wait")
			}
		}
		if _, err := d.Authenticate(ctx, basic("ann", "ann's own", here)); !errors.As(err, &throttled) {
			t.Errorf("the right password during the wait: %v", err)
		}
		if _, err := d.Authenticate(ctx, basic("ann", "ann's own", there)); err != nil {
			t.Errorf("locked out elsewhere: %v", err)
		}
		if _, err := d.Authenticate(ctx, basic("oneadmin", firstPassword, here)); err != nil {
			t.Errorf("another user from the same source: %v", err)
		}
		time.Sleep(throttled.After)
		if _, err := d.Authenticate(ctx, basic("ann", "ann's own", here)); err != nil {
			t.Errorf("after the wait: %v", err)
		}
	})
}

// A thousand guesses at once gain no more than one after the other.
func TestThrottleOfManyAtOnce(t *testing.T) {
	d, _ := started(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	looked := 0
	for i := range 200 {
		wg.Go(func() {
			_, err := d.Authenticate(context.Background(), basic("ann", fmt.Sprintf("guess %d", i), here))
			if errors.Is(err, identity.ErrBadCredentials) {
				mu.Lock()
				looked++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if looked > 8 {
		t.Errorf("%d of 200 guesses at once were looked at", looked)
	}
}

// Many requests with the same right password at once cost one verification, and none is refused.
func TestManyLoginsAtOnce(t *testing.T) {
	d, _ := started(t)
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, err := d.Authenticate(context.Background(), basic("ann", "ann's own", here)); err != nil {
				t.Error(err)
			}
		})
	}
	begin := time.Now()
	wg.Wait()
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %v: each was verified", took)
	}
}

func TestRememberedLoginExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d, _ := started(t)
		for range 4 { // at once, within the five minutes, and after
			if _, err := d.Authenticate(t.Context(), basic("ann", "ann's own", here)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(4 * time.Minute)
		}
	})
}

func TestCancelledLogin(t *testing.T) {
	d, _ := started(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // none counts as a failure
		if _, err := d.Authenticate(ctx, basic("ann", "ann's own", here)); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if _, err := d.Authenticate(t.Context(), basic("ann", "ann's own", here)); err != nil {
		t.Error(err)
	}
}

func TestTokenExpiry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d, _ := started(t)
		text, tok, err := d.AddToken(t.Context(), identity.NewToken{User: 1, Expires: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - time.Second)
		if _, err := d.Authenticate(t.Context(), identity.Credentials{Token: text}); err != nil {
			t.Errorf("a second before: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := d.Authenticate(t.Context(), identity.Credentials{Token: text}); !errors.Is(err, identity.ErrBadCredentials) {
			t.Errorf("afterwards: %v", err)
		}
		if _, _, err := d.AddToken(t.Context(), identity.NewToken{User: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Token(tok.ID); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("the expired token is still there: %v", err)
		}
	})
}

func BenchmarkBasicRemembered(b *testing.B) {
	d, _ := started(b)
	c := basic("ann", "ann's own", here)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Authenticate(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkToken(b *testing.B) {
	d, _ := started(b)
	text, _, err := d.AddToken(b.Context(), identity.NewToken{User: 1})
	if err != nil {
		b.Fatal(err)
	}
	c := identity.Credentials{Token: text}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Authenticate(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAllowed(b *testing.B) {
	c := &identity.Caller{User: 4, Groups: []int{1, 7}, Scopes: identity.ScopeAll}
	o := identity.Object{Owner: 5, Group: 7, Bits: 0o640}
	b.ReportAllocs()
	for b.Loop() {
		if !identity.Allowed(c, o, identity.Use) {
			b.Fatal("refused")
		}
	}
}
