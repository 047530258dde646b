package keystone

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/identity"
)

// A login is what both versions ask for: who, and in which project.
type login struct {
	credentials identity.Credentials
	project     string // as calls take it; "" for the user's own
}

// refused is an answer that tells nobody whether it was the user, the password or the project.
func refused(cause error) error {
	if errors.Is(cause, identity.ErrNotFound) || errors.Is(cause, identity.ErrDenied) {
		cause = identity.ErrBadCredentials
	}
	return cause
}

func malformed(text string, args ...any) error {
	return &api.Problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf(text, args...)}
}

// nobody is a user name that nobody can have: a login by an unknown id takes as long as any other.
const nobody = "\x00"

// userOf returns the name of the user with an id.
func (k *Keystone) userOf(id string) string {
	n, err := strconv.Atoi(id)
	if err != nil {
		return nobody
	}
	u, err := k.Control.Directory().User(n)
	if err != nil {
		return nobody
	}
	return u.Name
}

// open makes a session of whoever logs in.
func (k *Keystone) open(w http.ResponseWriter, r *http.Request, l login) (text string, s identity.Session, err error) {
	who, err := api.Authenticate(r, l.credentials)
	if err != nil {
		return "", s, api.LoginProblem(w, r, err)
	}
	text, s, err = k.Control.OpenSession(who, l.project)
	return text, s, refused(err)
}

// projectByID returns a project as calls take it.
func (k *Keystone) projectByID(id string) (string, error) {
	name, err := k.Control.ProjectNumbered(id)
	return name, refused(err)
}

// session reads the token that a request is about, if its caller may: one's own, or any for administrators.
func (k *Keystone) session(r *http.Request, text string) (*identity.Session, error) {
	unknown := &api.Problem{Status: http.StatusNotFound, Detail: "Failed to validate token"}
	if text == "" {
		return nil, malformed("the header X-Subject-Token is missing")
	}
	subject, err := api.Authenticate(r, identity.Credentials{Token: text})
	who := api.Caller(r.Context())
	if err != nil || subject.Session == nil || subject.User != who.User && !who.Administers() {
		return nil, unknown
	}
	return subject.Session, nil
}

// end ends a session before its time.
func (k *Keystone) end(w http.ResponseWriter, r *http.Request, text string) error {
	s, err := k.session(r, text)
	if err != nil {
		return err
	}
	if err := k.Control.EndSession(r.Context(), api.Caller(r.Context()), s); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// roles are those that clients of Monasca look for, by the scopes of a session.
func roles(s *identity.Session) []string {
	var out []string
	has := func(scope identity.Scopes) bool { return s.Scopes&scope == scope }
	if has(identity.ScopeAdmin) && s.Group == identity.AdminGroup {
		out = append(out, "admin")
	}
	switch {
	case has(identity.ScopeOperate):
		out = append(out, "monasca-user")
	case has(identity.ScopeRead):
		out = append(out, "monasca-read-only-user")
	}
	if has(identity.ScopePush) && !has(identity.ScopeOperate) {
		out = append(out, "monasca-agent")
	}
	return out
}

// isDefault reports whether a domain is the one that there is.
func (d domain) isDefault() bool {
	return (d.ID == "" || d.ID == "default") && (d.Name == "" || strings.EqualFold(d.Name, "default"))
}

const region = "RegionOne"
