package identity

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHash(t *testing.T) {
	h := newHasher()
	a, err := h.hash(t.Context(), "secret words")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := h.hash(t.Context(), "secret words"); a == b {
		t.Error("two hashes of one password are equal: no salt")
	}
	if !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %s", a)
	}
	// A hash with other parameters still verifies.
	weak := phc{memory: 64, time: 1, threads: 2, salt: []byte("somesalt"), key: make([]byte, 24)}
	weak.key = weak.derive("secret words")
	for _, hash := range []string{a, weak.String()} {
		if ok, err := h.verify(t.Context(), hash, "secret words"); !ok || err != nil {
			t.Errorf("right password: %v, %v", ok, err)
		}
		if ok, err := h.verify(t.Context(), hash, "secret word"); ok || err != nil {
			t.Errorf("wrong password: %v, %v", ok, err)
		}
	}
}

// Logins of users that do not exist must cost what others cost: the same parameters, run once.
func TestUnmatchable(t *testing.T) {
	h := newHasher()
	stored, err := h.hash(t.Context(), "secret words")
	if err != nil {
		t.Fatal(err)
	}
	a, err := parsePHC(stored)
	if err != nil {
		t.Fatal(err)
	}
	b, err := parsePHC(unmatchable())
	if err != nil {
		t.Fatal(err)
	}
	if a.memory != b.memory || a.time != b.time || a.threads != b.threads || len(a.salt) != len(b.salt) || len(a.key) != len(b.key) {
		t.Errorf("%+v and %+v differ in cost", a, b)
	}
	if ok, err := h.verify(t.Context(), unmatchable(), ""); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func FuzzParsePHC(f *testing.F) {
	for _, seed := range []string{
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA",
		"$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA",
		"$argon2id$v=19$m=64,t=1,p=1x$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA",
		"$argon2i$v=19$m=64,t=1,p=1$$", "$2y$10$abc", "", "$$$$$",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePHC(text)
		if err == nil && p.String() != text {
			t.Errorf("%q became %q", text, p.String())
		}
		if err == nil && (p.memory > maxArgonMemory || p.time > maxArgonTime) {
			t.Errorf("%q asks for too much", text)
		}
		if err != nil && len(text) > 20 && strings.Contains(err.Error(), text) {
			t.Error("the error holds the hash")
		}
	})
}

func FuzzSplitToken(f *testing.F) {
	f.Add("trp_" + strings.Repeat("a", 13) + "_" + strings.Repeat("b", 52))
	f.Add("trp_")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		id, secret, ok := splitToken(text)
		if ok && tokenPrefix+id+"_"+secret != text {
			t.Errorf("%q became %q and %q", text, id, secret)
		}
	})
}

func TestGenerated(t *testing.T) {
	pattern := regexp.MustCompile(`^([0-9a-hjkmnp-tv-z]{4}-){6}[0-9a-hjkmnp-tv-z]{4}$`)
	seen := map[string]bool{}
	for range 1000 {
		p := GeneratePassword()
		if !pattern.MatchString(p) || seen[p] || checkPassword(p) != nil {
			t.Fatalf("generated %q", p)
		}
		seen[p] = true
	}
	if s := randomLetters(tokenSecret); len(s) != tokenSecret || !regexp.MustCompile(`^[a-z2-7]+$`).MatchString(s) {
		t.Errorf("secret %q", s)
	}
}

func TestPaceDelay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pace{free: rapid.IntRange(0, 50).Draw(t, "free"), cap: time.Duration(rapid.IntRange(1, 600).Draw(t, "cap")) * time.Second}
		n := rapid.IntRange(0, 1<<30).Draw(t, "failures")
		d := p.delay(n)
		if d < 0 || d > p.cap || d > p.delay(n+1) || (n <= p.free) != (d == 0) {
			t.Fatalf("%d failures: %v, then %v", n, d, p.delay(n+1))
		}
	})
}

// Any number of sources keeps the table within its bound, and the one that guesses on is not the
// one that is forgotten.
func TestThrottleIsBounded(t *testing.T) {
	th := newThrottle()
	now := time.Now()
	guesser := netip.MustParseAddr("192.0.2.1")
	for i := range 3 * throttleEntries {
		now = now.Add(time.Millisecond)
		source := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)})
		th.begin(source, "ann", now)
		if i%100 == 0 {
			th.begin(guesser, "ann", now)
		}
	}
	if n := len(th.entries); n > throttleEntries {
		t.Errorf("%d entries", n)
	}
	if th.begin(guesser, "ann", now) == 0 {
		t.Error("the guesser was forgotten")
	}
	th.sweep(now.Add(throttleForget + time.Second))
	if n := len(th.entries); n != 0 {
		t.Errorf("%d entries after the sweep", n)
	}
}

func TestNetworkOf(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := networkOf(netip.MustParseAddr(in)); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
	}
}
