package dns_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/dns"
	"github.com/troupe-dev/troupe/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a control plane with the face at the root of a listener, as its clients expect it, and a name server.
type stage struct {
	*apitest.Stage
	t     testing.TB
	url   string
	token string // who sends requests
	names string // where the name server is
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{Stage: apitest.New(t), t: t}
	s.token = s.tokenOf(s.User("ann", "research"))
	s.url = s.Mount(dns.New(dns.Options{Control: s.Control}).Face(""))
	s.names = s.Names()
	return s
}

func (s *stage) tokenOf(who *identity.Caller) string {
	s.t.Helper()
	token, _, err := s.Control.AddToken(s.t.Context(), who, identity.NewToken{User: who.User, Name: "dns", Scopes: identity.ScopeRead | identity.ScopeOperate})
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// send sends a request as the stage's user.
func (s *stage) send(method, path, body string) apitest.Reply {
	s.t.Helper()
	req := apitest.Request(s.t, method, s.url+path, body, "Accept", "application/json", "Content-Type", "application/json; charset=UTF-8")
	if s.token != "" {
		req.Header.Set("X-auth-token", s.token)
	}
	return apitest.Do(s.t, nil, req)
}

// good sends a request that is answered by 1.
func (s *stage) good(method, path, body string) {
	s.t.Helper()
	if r := s.send(method, path, body); r.Status != 200 || r.Text != "1" {
		s.t.Errorf("%s %s %s: %d %s", method, path, body, r.Status, r.Text)
	}
}

// ask asks the name server and returns the data of the answer's records in order, or the code where there are none.
func (s *stage) ask(name, typ string) string {
	s.t.Helper()
	r, _, err := (&miekg.Client{Timeout: 5 * time.Second}).Exchange(new(miekg.Msg).SetQuestion(name, miekg.StringToType[typ]), s.names)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, rr := range r.Answer {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	if out == nil {
		return miekg.RcodeToString[r.Rcode]
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// expect asks and compares.
func (s *stage) expect(name, typ, want string) {
	s.t.Helper()
	if got := s.ask(name, typ); got != want {
		s.t.Errorf("%s %s is %s, want %s", name, typ, got, want)
	}
}
