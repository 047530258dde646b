package app

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/identity"
)

// The Occopus face is at both listeners. At its own, who sends no credentials is the guest.
func TestOccopusGuest(t *testing.T) {
	o := options(t.TempDir())
	first := o
	var said bytes.Buffer
	first.OccopusListen, first.Occopus.Guest, first.Announce = "127.0.0.1:0", "autoscaler", &said
	a, err := New(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "troupe user add") || said.Len() > 0 {
		t.Errorf("without such a user: %v, said %q", err, said.String())
	}

	a, stop := serve(t, o)
	awaitReady(t, a)
	user, err := a.directory.AddUser(t.Context(), identity.NewUser{Name: "autoscaler"})
	if err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	o.OccopusListen, o.Occopus.Guest, o.Admin = "127.0.0.1:0", "autoscaler", "oneadmin"
	a, _ = serve(t, o)
	awaitReady(t, a)
	main, own := a.Addrs()["main"], a.Addrs()["occopus"]
	expect := func(what, url string, code int, text string) {
		t.Helper()
		if got, body := get(t, url, "", ""); got != code || !strings.Contains(body, text) {
			t.Errorf("%s: %d %s", what, got, body)
		}
	}
	expect("guest", own+"/infrastructures/", 200, `"infrastuctures":[]`)
	expect("main listener", main+"/occopus/infrastructures/", 401, "status_code")
	expect("its list without a slash", main+"/occopus/infrastructures", 401, "status_code")

	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, own+"/infrastructures/", nil)
	req.Header.Set("Origin", "http://evil.example")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != 403 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a page of another site: %s", resp.Status)
	}

	change := func(edit func(u *identity.User) error) {
		t.Helper()
		if _, err := a.directory.ChangeUser(t.Context(), user.ID, edit); err != nil {
			t.Fatal(err)
		}
	}
	change(func(u *identity.User) error { u.Grants = []identity.Grant{identity.GrantHost}; return nil })
	expect("granted the host meanwhile", own+"/infrastructures/", 403, `without the grant \"host\"`)
	change(func(u *identity.User) error { u.Grants = nil; return nil })
	expect("no longer", own+"/infrastructures/", 200, "")
	change(func(u *identity.User) error { u.Groups = append(u.Groups, identity.AdminGroup); return nil })
	expect("an administrator meanwhile", own+"/infrastructures/", 403, "administrators need credentials")
}

func TestOccopusOptions(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*Options)
		text string
	}{
		"guest without a listener": {func(o *Options) { o.Occopus.Guest = "ann" }, "--occopus-listen"},
		"guests from afar":         {func(o *Options) { o.Occopus.Guest, o.OccopusListen, o.Insecure = "ann", "0.0.0.0:0", true }, "listener occopus"},
	} {
		o := options(t.TempDir())
		c.edit(&o)
		if err := o.Check(); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
