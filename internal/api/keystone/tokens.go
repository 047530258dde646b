package keystone

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/identity"
)

// What POST /v3/auth/tokens is sent.
type tokenRequest struct {
	Auth *struct {
		Identity struct {
			Methods  []string
			Password struct{ User userRef }
			Token    struct{ ID string }
			// Credential is by its id, or by its name and user; the secret alone says which it is.
			Credential struct {
				ID, Name, Secret string
				User             userRef
			} `json:"application_credential"`
		}
		Scope scope
	}
}

type domain struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type userRef struct {
	ID, Name, Password string
	Domain             domain
}

// A scope is an object, or the text "unscoped".
type scope struct {
	Project *struct {
		ID, Name string
		Domain   domain
	}
	System, Domain, Trust any
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *scope) UnmarshalJSON(text []byte) error {
	if string(text) == `"unscoped"` {
		return nil
	}
	type plain scope
	return api.UnmarshalJSON(text, (*plain)(s))
}

// login reads who wants to work in which project.
func (k *Keystone) login(r *http.Request) (l login, err error) {
	var body tokenRequest
	if err := api.DecodeJSON(r, &body); err != nil {
		return l, err
	}
	if body.Auth == nil {
		return l, malformed(`send {"auth": {"identity": …}}`)
	}
	id := &body.Auth.Identity
	foreign := false // another domain than the one that there is: nobody lives there
	switch {
	case slices.Contains(id.Methods, "password"):
		user := id.Password.User
		l.credentials = identity.Credentials{User: user.Name, Password: user.Password}
		if user.ID != "" {
			l.credentials.User = k.userOf(user.ID)
		} else if user.Name == "" {
			return l, malformed("auth.identity.password.user has neither name nor id")
		}
		foreign = !user.Domain.isDefault()
	case slices.Contains(id.Methods, "token"):
		l.credentials.Token = id.Token.ID
	case slices.Contains(id.Methods, "application_credential"):
		c := id.Credential
		l.credentials.Token = c.Secret
		if c.ID == "" && c.Name == "" {
			return l, malformed("auth.identity.application_credential has neither name nor id")
		}
		if c.ID != "" && !identity.TokenIs(c.Secret, c.ID) {
			l.credentials = identity.Credentials{User: nobody, Password: c.Secret}
		}
	default:
		return l, malformed("auth.identity.methods must name password, token or application_credential")
	}
	if len(id.Methods) != 1 {
		return l, malformed("auth.identity.methods must be one of password, token and application_credential")
	}
	s := &body.Auth.Scope
	switch {
	case s.System != nil || s.Domain != nil || s.Trust != nil:
		return l, malformed("auth.scope must be a project")
	case s.Project == nil:
	case s.Project.ID != "":
		l.project, err = k.projectByID(s.Project.ID)
	case s.Project.Name == "":
		return l, malformed("auth.scope.project has neither name nor id")
	default:
		l.project = s.Project.Name
		foreign = foreign || !s.Project.Domain.isDefault()
	}
	if foreign {
		l.credentials = identity.Credentials{User: nobody, Password: l.credentials.Password}
	}
	return l, err
}

func (k *Keystone) createToken(w http.ResponseWriter, r *http.Request) error {
	l, err := k.login(r)
	if err != nil {
		return err
	}
	text, s, err := k.open(w, r, l)
	if err != nil {
		return err
	}
	w.Header().Set("X-Subject-Token", text)
	return writeJSON(w, http.StatusCreated, object{"token": k.token(r, &s)})
}

func (k *Keystone) showToken(w http.ResponseWriter, r *http.Request) error {
	text := r.Header.Get("X-Subject-Token")
	s, err := k.session(r, text)
	if err != nil {
		return err
	}
	w.Header().Set("X-Subject-Token", text)
	return writeJSON(w, http.StatusOK, object{"token": k.token(r, s)})
}

func (k *Keystone) deleteToken(w http.ResponseWriter, r *http.Request) error {
	return k.end(w, r, r.Header.Get("X-Subject-Token"))
}

var theDomain = domain{"default", "Default"}

// token shows a session.
func (k *Keystone) token(r *http.Request, s *identity.Session) object {
	users := k.Control.Directory()
	methods := []string{"password"}
	if s.Token != "" {
		methods = []string{"token"}
	}
	var held []object
	for _, name := range roles(s) {
		held = append(held, object{"id": name, "name": name})
	}
	return object{"methods": methods, "issued_at": stamp(s.Issued), "expires_at": stamp(s.Expires), "audit_ids": []string{s.ID}, "is_domain": false,
		"user":    object{"id": strconv.Itoa(s.User), "name": users.UserName(s.User), "domain": theDomain, "password_expires_at": nil},
		"project": project(s.Group, users.GroupName(s.Group)), "roles": held, "catalog": k.catalog(r, s.Group)}
}

func project(id int, name string) object {
	return object{"id": strconv.Itoa(id), "name": name, "domain": theDomain}
}

// catalog tells where the services of a project are.
func (k *Keystone) catalog(r *http.Request, group int) []object {
	var list []object
	for _, s := range k.services(r, group, self(r)) {
		var points []object
		for _, side := range []string{"public", "internal", "admin"} {
			points = append(points, object{"id": s.Name + "-" + side, "interface": side, "region": region, "region_id": region, "url": s.URL})
		}
		list = append(list, object{"id": s.Name, "type": s.Type, "name": s.Name, "endpoints": points})
	}
	return list
}

func (k *Keystone) showCatalog(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, object{"catalog": k.catalog(r, api.Caller(r.Context()).Group), "links": object{"self": self(r) + "/v3/auth/catalog"}})
}

func (k *Keystone) listProjects(w http.ResponseWriter, r *http.Request) error {
	list := []object{}
	for _, g := range k.Control.Groups(api.Caller(r.Context())) {
		id := strconv.Itoa(g.ID)
		list = append(list, object{"id": id, "name": g.Name, "domain_id": theDomain.ID, "parent_id": theDomain.ID, "description": "", "enabled": true, "is_domain": false,
			"tags": []string{}, "options": object{}, "links": object{"self": self(r) + "/v3/projects/" + id}})
	}
	return writeJSON(w, http.StatusOK, object{"projects": list, "links": object{"self": self(r) + "/v3/auth/projects", "previous": nil, "next": nil}})
}
