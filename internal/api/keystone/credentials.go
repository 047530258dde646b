package keystone

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/identity"
)

// Application credentials are Troupe's tokens: their secret logs in by itself, and also as the password of their user, for
// programs that know nothing but names and passwords (monasca-setup).

// What POST /v3/users/{user}/application_credentials is sent.
type credentialRequest struct {
	Credential *struct {
		Name, Description, Secret string
		Roles                     []struct{ ID, Name string }
		ExpiresAt                 string `json:"expires_at"`
		Unrestricted              bool
		AccessRules               []any `json:"access_rules"`
	} `json:"application_credential"`
}

// roleScopes are what roles allow.
var roleScopes = map[string]identity.Scopes{
	"monasca-agent":          identity.ScopePush,
	"monasca-read-only-user": identity.ScopeRead,
	"reader":                 identity.ScopeRead,
	"monasca-user":           identity.ScopeRead | identity.ScopeOperate | identity.ScopePush,
	"member":                 identity.ScopeRead | identity.ScopeOperate | identity.ScopePush,
	"admin":                  identity.ScopeAll,
}

// ownCredentials returns the caller, whose credentials a path names: nobody sees another's.
func ownCredentials(r *http.Request) (*identity.Caller, error) {
	who := api.Caller(r.Context())
	if r.PathValue("user") != strconv.Itoa(who.User) {
		return nil, &api.Problem{Status: http.StatusForbidden, Detail: "application credentials are their user's alone"}
	}
	return who, nil
}

func (k *Keystone) createCredential(w http.ResponseWriter, r *http.Request) error {
	who, err := ownCredentials(r)
	if err != nil {
		return err
	}
	var body credentialRequest
	if err := api.DecodeJSON(r, &body); err != nil {
		return err
	}
	c := body.Credential
	switch {
	case c == nil || c.Name == "":
		return malformed("application_credential.name is missing")
	case c.Secret != "":
		return malformed("application_credential.secret: leave it out; the answer has one")
	case len(c.AccessRules) > 0:
		return malformed("application_credential.access_rules are not supported: give roles")
	}
	n := identity.NewToken{User: who.User, Name: c.Name, Scopes: who.Scopes &^ identity.ScopeAdmin}
	if who.Session != nil {
		n.Group = &who.Session.Group
	}
	for i, role := range c.Roles {
		name := role.Name
		if name == "" {
			name = role.ID
		}
		scopes, ok := roleScopes[name]
		if !ok {
			return malformed("application_credential.roles[%d]: no role %.100q", i, name)
		}
		if i == 0 {
			n.Scopes = 0
		}
		n.Scopes |= scopes
	}
	if c.ExpiresAt != "" {
		at, err := time.Parse("2006-01-02T15:04:05", strings.TrimSuffix(c.ExpiresAt, "Z")) // fractions are taken, too
		if err != nil || time.Until(at) <= 0 {
			return malformed("application_credential.expires_at: %.50q is no time to come, such as 2030-01-02T15:04:05Z", c.ExpiresAt)
		}
		n.Expires = time.Until(at)
	}
	secret, t, err := k.Control.AddToken(r.Context(), who, n)
	if err != nil {
		return err
	}
	shown := k.credential(r, &t)
	shown["secret"] = secret
	return writeJSON(w, http.StatusCreated, object{"application_credential": shown})
}

// credential shows a token as application credential.
func (k *Keystone) credential(r *http.Request, t *identity.Token) object {
	group := 0
	if t.Group != nil {
		group = *t.Group
	} else if u, err := k.Control.Directory().User(t.User); err == nil {
		group = u.Group
	}
	var held []object
	for _, name := range roles(&identity.Session{Scopes: t.Scopes, Group: group}) {
		held = append(held, object{"id": name, "name": name})
	}
	var expires any
	if !t.Expires.IsZero() {
		expires = stamp(t.Expires)
	}
	at := self(r) + "/v3/users/" + strconv.Itoa(t.User) + "/application_credentials/" + t.ID
	return object{"id": t.ID, "name": t.Name, "description": nil, "project_id": strconv.Itoa(group), "roles": held, "expires_at": expires,
		"unrestricted": false, "links": object{"self": at}}
}

func (k *Keystone) listCredentials(w http.ResponseWriter, r *http.Request) error {
	who, err := ownCredentials(r)
	if err != nil {
		return err
	}
	tokens, err := k.Control.Tokens(who, "")
	if err != nil {
		return err
	}
	all := make([]object, len(tokens))
	for i := range tokens {
		all[i] = k.credential(r, &tokens[i])
	}
	return writeJSON(w, http.StatusOK, object{"application_credentials": all, "links": object{"self": self(r) + r.URL.Path, "next": nil, "previous": nil}})
}

func (k *Keystone) showCredential(w http.ResponseWriter, r *http.Request) error {
	who, err := ownCredentials(r)
	if err != nil {
		return err
	}
	tokens, err := k.Control.Tokens(who, "")
	if err != nil {
		return err
	}
	for i := range tokens {
		if tokens[i].ID == r.PathValue("id") {
			return writeJSON(w, http.StatusOK, object{"application_credential": k.credential(r, &tokens[i])})
		}
	}
	return &api.Problem{Status: http.StatusNotFound, Detail: "there is no such application credential"}
}

func (k *Keystone) deleteCredential(w http.ResponseWriter, r *http.Request) error {
	who, err := ownCredentials(r)
	if err != nil {
		return err
	}
	if err := k.Control.RemoveToken(r.Context(), who, r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
