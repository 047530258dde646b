package identity_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/internal/identity"
)

const all = identity.ScopeAll

func TestAllowed(t *testing.T) {
	ann := &identity.Caller{User: 4, Name: "ann", Group: 1, Groups: []int{1, 7}, Scopes: all}
	admin := &identity.Caller{User: 0, Admin: true, Groups: []int{0}, Scopes: all}
	reader := &identity.Caller{User: 0, Admin: true, Groups: []int{0}, Scopes: identity.ScopeRead, Token: "abc"}
	tests := []struct {
		name   string
		caller *identity.Caller
		object identity.Object
		rights string // those allowed
	}{
		{"owner by default", ann, identity.Object{Owner: 4, Group: 1, Bits: 0o600}, "use manage"},
		{"stranger by default", ann, identity.Object{Owner: 5, Group: 2, Bits: 0o600}, ""},
		{"first group", ann, identity.Object{Owner: 5, Group: 1, Bits: 0o640}, "use"},
		{"any group", ann, identity.Object{Owner: 5, Group: 7, Bits: 0o660}, "use manage"},
		{"others", ann, identity.Object{Owner: 5, Group: 2, Bits: 0o604}, "use"},
		{"other bits serve the owner too", ann, identity.Object{Owner: 4, Group: 2, Bits: 0o004}, "use"},
		{"group bits serve the owner too", ann, identity.Object{Owner: 4, Group: 7, Bits: 0o020}, "manage"},
		{"union", ann, identity.Object{Owner: 4, Group: 7, Bits: 0o421}, "use manage admin"},
		{"administrator", admin, identity.Object{Owner: 5, Group: 2}, "use manage admin"},
		{"administrator with a reading token", reader, identity.Object{Owner: 5, Group: 2}, "use"},
		{"locked at use", ann, identity.Object{Owner: 4, Bits: 0o777, Lock: identity.Use}, ""},
		{"locked at manage", ann, identity.Object{Owner: 4, Bits: 0o777, Lock: identity.Manage}, "use"},
		{"locked at admin", ann, identity.Object{Owner: 4, Bits: 0o777, Lock: identity.Admin}, "use manage"},
		{"administrators pass locks", admin, identity.Object{Owner: 4, Lock: identity.Use}, "use manage admin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, r := range []identity.Right{identity.Use, identity.Manage, identity.Admin} {
				err := identity.Authorize(tt.caller, tt.object, r)
				if allowed := identity.Allowed(tt.caller, tt.object, r); allowed != (err == nil) {
					t.Errorf("%s: Allowed says %v, Authorize says %v", r, allowed, err)
				}
				if err == nil {
					got = append(got, r.String())
				} else if !errors.Is(err, identity.ErrDenied) {
					t.Errorf("%s: %v is not ErrDenied", r, err)
				}
			}
			if g := strings.Join(got, " "); g != tt.rights {
				t.Errorf("allowed %q, want %q", g, tt.rights)
			}
		})
	}
}

// More bits, more groups or more scopes never take a right away; a lock never gives one.
func TestAllowedIsMonotonic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.IntRange(0, 3)
		c := identity.Caller{User: small.Draw(t, "user"), Groups: rapid.SliceOfN(small, 0, 3).Draw(t, "groups"),
			Admin: rapid.Bool().Draw(t, "admin"), Scopes: identity.Scopes(rapid.IntRange(0, int(all)).Draw(t, "scopes"))}
		o := identity.Object{Owner: small.Draw(t, "owner"), Group: small.Draw(t, "group"),
			Bits: identity.Bits(rapid.IntRange(0, 0o777).Draw(t, "bits")),
			Lock: rapid.SampledFrom([]identity.Right{0, identity.Use, identity.Manage, identity.Admin}).Draw(t, "lock")}
		r := rapid.SampledFrom([]identity.Right{identity.Use, identity.Manage, identity.Admin}).Draw(t, "right")
		if !identity.Allowed(&c, o, r) {
			return
		}
		wider, open := c, o
		wider.Groups = append([]int{9}, c.Groups...)
		wider.Scopes = all
		wider.Admin = true
		open.Bits |= identity.Bits(rapid.IntRange(0, 0o777).Draw(t, "more bits"))
		open.Lock = 0
		if !identity.Allowed(&wider, o, r) || !identity.Allowed(&c, open, r) {
			t.Fatalf("%v on %+v was allowed, with more it is not", r, o)
		}
	})
}

func TestBits(t *testing.T) {
	for text, want := range map[string]identity.Bits{"640": 0o640, "40": 0o040, "0": 0, "777": 0o777, "007": 7} {
		got, err := identity.ParseBits(text)
		if err != nil || got != want {
			t.Errorf("ParseBits(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "8", "790", "0640", "-1", "u+x", " 64", "６４０"} {
		if b, err := identity.ParseBits(text); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("ParseBits(%q) = %v, %v; want an error", text, b, err)
		}
	}
	for b := identity.Bits(0); b <= 0o777; b++ {
		if got, err := identity.ParseBits(b.String()); err != nil || got != b {
			t.Fatalf("%v does not survive printing: %v, %v", b, got, err)
		}
		if b.AdminChanged(b^0o111) != true || b.AdminChanged(b^0o666) {
			t.Fatalf("%v: AdminChanged", b)
		}
	}
}

func FuzzParseBits(f *testing.F) {
	for _, seed := range []string{"640", "40", "", "999", "0o640"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if b, err := identity.ParseBits(text); err == nil && b.String() != fmt.Sprintf("%03s", text) {
			t.Errorf("%q became %s", text, b)
		}
	})
}

func TestQuota(t *testing.T) {
	two, cpus, mem := 2, 1.5, int64(4<<30)
	quota := identity.Quota{Services: &two, CPUs: &cpus, Memory: &mem}
	tests := []struct {
		name         string
		used, wanted identity.Usage
		want         string // "" for allowed
	}{
		{"fits", identity.Usage{Services: 1}, identity.Usage{Services: 1, Instances: 1e6, CPUs: 1.5, Memory: 4 << 30}, ""},
		{"services", identity.Usage{Services: 2}, identity.Usage{Services: 1}, "quota: services: limit 2, used 2, asked for 1 more"},
		{"memory", identity.Usage{Memory: 3 << 30}, identity.Usage{Memory: 2 << 30}, "quota: memory: limit 4 GiB, used 3 GiB, asked for 2 GiB more"},
		{"two at once", identity.Usage{Services: 2, CPUs: 1}, identity.Usage{Services: 1, CPUs: 1},
			"quota: services: limit 2, used 2, asked for 1 more\nquota: cpus: limit 1.5, used 1, asked for 1 more"},
		{"drift is forgiven", identity.Usage{CPUs: 0.1 + 0.2}, identity.Usage{CPUs: 1.2}, ""},
		{"above a lowered limit, shrinking", identity.Usage{Services: 9}, identity.Usage{Services: -1}, ""},
		{"above a lowered limit, asking for something else", identity.Usage{Services: 9}, identity.Usage{CPUs: 1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := quota.Check(tt.used, tt.wanted)
			if got := fmt.Sprint(err); tt.want == "" && err != nil || tt.want != "" && got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if err != nil && !errors.Is(err, identity.ErrDenied) {
				t.Error("not of class ErrDenied")
			}
		})
	}
	if err := (identity.Quota{}).Check(identity.Usage{Services: 1 << 60}, identity.Usage{Memory: 1 << 62}); err != nil {
		t.Errorf("no limit, yet: %v", err)
	}
}

func TestScopes(t *testing.T) {
	for names, want := range map[string]identity.Scopes{
		"": identity.ScopeRead, "read": identity.ScopeRead, "metrics": identity.ScopeMetrics, "admin": all,
		"operate": identity.ScopeOperate | identity.ScopeRead | identity.ScopePush,
	} {
		got, err := identity.ParseScopes(strings.Fields(names))
		if err != nil || got != want {
			t.Errorf("ParseScopes(%q) = %v, %v; want %v", names, got, err, want)
		}
		if again, err := identity.ParseScopes(got.Names()); err != nil || again != got {
			t.Errorf("%v does not survive printing: %v, %v", got, again, err)
		}
	}
	_, err := identity.ParseScopes([]string{"read", "oprate"})
	if err == nil || !strings.Contains(err.Error(), `scopes[1]`) || !strings.Contains(err.Error(), `did you mean "operate"?`) {
		t.Errorf("got %v", err)
	}
}
