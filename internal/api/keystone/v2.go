package keystone

import (
	"net/http"
	"strconv"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/identity"
)

// What POST /v2.0/tokens is sent.
type tokenRequestV2 struct {
	Auth *struct {
		PasswordCredentials *struct {
			Username, UserID, Password string
		}
		Token                *struct{ ID string }
		TenantName, TenantID string
	}
}

func (k *Keystone) loginV2(r *http.Request) (l login, err error) {
	var body tokenRequestV2
	if err := api.DecodeJSON(r, &body); err != nil {
		return l, err
	}
	switch a := body.Auth; {
	case a == nil:
		return l, malformed(`send {"auth": {"passwordCredentials": …}}`)
	case a.PasswordCredentials != nil:
		c := a.PasswordCredentials
		l.credentials = identity.Credentials{User: c.Username, Password: c.Password}
		if c.UserID != "" {
			l.credentials.User = k.userOf(c.UserID)
		}
	case a.Token != nil:
		l.credentials.Token = a.Token.ID
	default:
		return l, malformed("auth has neither passwordCredentials nor token")
	}
	l.project = body.Auth.TenantName
	if body.Auth.TenantID != "" {
		l.project, err = k.projectByID(body.Auth.TenantID)
	}
	return l, err
}

func (k *Keystone) createTokenV2(w http.ResponseWriter, r *http.Request) error {
	l, err := k.loginV2(r)
	if err != nil {
		return err
	}
	text, s, err := k.open(w, r, l)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, k.access(r, text, &s))
}

func (k *Keystone) showTokenV2(w http.ResponseWriter, r *http.Request) error {
	text := r.PathValue("token")
	s, err := k.session(r, text)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, k.access(r, text, s))
}

func (k *Keystone) deleteTokenV2(w http.ResponseWriter, r *http.Request) error {
	return k.end(w, r, r.PathValue("token"))
}

// access shows a session in v2.0's shape.
func (k *Keystone) access(r *http.Request, text string, s *identity.Session) object {
	users := k.Control.Directory()
	names := roles(s)
	held := []object{}
	for _, name := range names {
		held = append(held, object{"name": name})
	}
	var catalog []object
	for _, x := range k.services(r, s.Group, self(r)+"/v2.0") {
		catalog = append(catalog, object{"type": x.Type, "name": x.Name, "endpoints_links": []string{},
			"endpoints": []object{{"id": x.Name, "region": region, "publicURL": x.URL, "internalURL": x.URL, "adminURL": x.URL}}})
	}
	user := users.UserName(s.User)
	return object{"access": object{
		"token": object{"id": text, "expires": stampV2(s.Expires), "issued_at": stamp(s.Issued), "audit_ids": []string{s.ID},
			"tenant": tenant(s.Group, users.GroupName(s.Group))},
		"user":           object{"id": strconv.Itoa(s.User), "name": user, "username": user, "roles": held, "roles_links": []string{}},
		"serviceCatalog": catalog,
		"metadata":       object{"is_admin": 0, "roles": names},
	}}
}

func tenant(id int, name string) object {
	return object{"id": strconv.Itoa(id), "name": name, "enabled": true, "description": ""}
}

func (k *Keystone) listTenants(w http.ResponseWriter, r *http.Request) error {
	list := []object{}
	for _, g := range k.Control.Groups(api.Caller(r.Context())) {
		list = append(list, tenant(g.ID, g.Name))
	}
	return writeJSON(w, http.StatusOK, object{"tenants": list, "tenants_links": []string{}})
}
