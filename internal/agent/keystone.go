package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// keystone gets tokens of version 3 by a password, and renews them before they expire.
type keystone struct {
	client   *http.Client
	config   *MonascaTarget
	password secret
	base     string // the address of version 3, once it is known
	current  *token
}

// A token is what Keystone gave.
type token struct {
	id      string
	renew   time.Time
	monasca string // the address in the catalogue
	fresh   bool   // not used yet
}

// early is how long before its end a token is replaced: as other clients of Keystone do.
const early = 120 * time.Second

// token returns one that is good for now.
func (k *keystone) token(ctx context.Context) (*token, error) {
	if t := k.current; t != nil && time.Now().Before(t.renew) {
		t.fresh = false
		return t, nil
	}
	t, err := k.fetch(ctx)
	if err != nil {
		// The old one is good for a while yet.
		if k.current != nil && time.Now().Before(k.current.renew.Add(early/2)) && !Denied(err) {
			return k.current, nil
		}
		return nil, err
	}
	k.current = t
	return t, nil
}

// forget drops the token. It is false when the token was new: another would be no better.
func (k *keystone) forget() bool {
	old := k.current != nil && !k.current.fresh
	k.current = nil
	return old
}

type (
	named struct {
		ID     string `json:"id,omitempty"`
		Name   string `json:"name,omitempty"`
		Domain *named `json:"domain,omitempty"`
	}
	keystoneUser struct {
		named
		Password string `json:"password"`
	}
	keystoneRequest struct {
		Auth struct {
			Identity struct {
				Methods  []string `json:"methods"`
				Password struct {
					User keystoneUser `json:"user"`
				} `json:"password"`
			} `json:"identity"`
			Scope *keystoneScope `json:"scope,omitempty"`
		} `json:"auth"`
	}
	keystoneScope struct {
		Project named `json:"project"`
	}
	keystoneToken struct {
		Token struct {
			IssuedAt  time.Time `json:"issued_at"`
			ExpiresAt time.Time `json:"expires_at"`
			Catalog   []struct {
				Type      string `json:"type"`
				Endpoints []struct {
					Interface string `json:"interface"`
					Region    string `json:"region"`
					RegionID  string `json:"region_id"`
					URL       string `json:"url"`
				} `json:"endpoints"`
			} `json:"catalog"`
		} `json:"token"`
	}
)

// request words the question for a token. Users and projects given by their ids need no domain.
func (k *keystone) request(password string) ([]byte, error) {
	c := k.config
	var r keystoneRequest
	r.Auth.Identity.Methods = []string{"password"}
	r.Auth.Identity.Password.User = keystoneUser{named{Name: c.Username, Domain: &named{Name: c.UserDomainName}}, password}
	switch {
	case c.ProjectID != "":
		r.Auth.Scope = &keystoneScope{named{ID: c.ProjectID}}
	case c.ProjectName != "":
		r.Auth.Scope = &keystoneScope{named{Name: c.ProjectName, Domain: &named{Name: c.ProjectDomainName}}}
	}
	return json.Marshal(&r)
}

func (k *keystone) fetch(ctx context.Context) (*token, error) {
	password, err := k.password.get()
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	if k.base == "" {
		if k.base, err = k.discover(ctx); err != nil {
			return nil, err
		}
	}
	body, err := k.request(password)
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	answer, text, err := exchange(ctx, k.client, http.MethodPost, k.base+"/auth/tokens", http.Header{}, body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusCreated {
		switch answer.StatusCode {
		case http.StatusNotFound:
			k.base = "" // perhaps it has moved
		case http.StatusUnauthorized:
			k.password.doubt()
		}
		return nil, fmt.Errorf("keystone, user %s: %w", k.config.Username, answerError(answer, text))
	}
	t := &token{id: answer.Header.Get("X-Subject-Token"), fresh: true}
	var content keystoneToken
	if err := json.Unmarshal(text, &content); err != nil || t.id == "" {
		return nil, errors.Join(fmt.Errorf("%s: the answer is no token of version 3", k.base), err)
	}
	// Both times are Keystone's, whose clock may differ from this one.
	life := content.Token.ExpiresAt.Sub(content.Token.IssuedAt)
	t.renew = asked.Add(max(life-early, life/2))
	if k.config.URL == "" {
		if t.monasca, err = k.pick(&content); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// pick finds Monasca in the catalogue.
func (k *keystone) pick(t *keystoneToken) (string, error) {
	for _, service := range t.Token.Catalog {
		if service.Type != "monitoring" {
			continue
		}
		for _, e := range service.Endpoints {
			region := k.config.RegionName
			if e.Interface == k.config.EndpointType && (region == "" || region == e.Region || region == e.RegionID) && e.URL != "" {
				return e.URL, nil
			}
		}
	}
	return "", fmt.Errorf("keystone's catalogue has no %s endpoint of the type monitoring%s; give Monasca's address as monasca.url",
		k.config.EndpointType, inRegion(k.config.RegionName))
}

func inRegion(name string) string {
	if name == "" {
		return ""
	}
	return " in region " + name
}

// discover finds the address of version 3 when the configured one does not name it. A server that does not tell has it at /v3.
func (k *keystone) discover(ctx context.Context) (string, error) {
	base := strings.TrimRight(k.config.KeystoneURL, "/")
	if strings.HasSuffix(base, "/v3") {
		return base, nil
	}
	base = strings.TrimSuffix(base, "/v2.0")
	_, text, err := exchange(ctx, k.client, http.MethodGet, base+"/", http.Header{}, nil)
	if err != nil {
		return "", fmt.Errorf("keystone: %w", err)
	}
	var list struct {
		Versions struct {
			Values []struct {
				ID    string `json:"id"`
				Links []struct{ Rel, Href string }
			} `json:"values"`
		} `json:"versions"`
	}
	if json.Unmarshal(text, &list) == nil {
		for _, v := range list.Versions.Values {
			for _, l := range v.Links {
				if strings.HasPrefix(v.ID, "v3") && l.Rel == "self" && sameHost(l.Href, base) {
					return strings.TrimRight(l.Href, "/"), nil
				}
			}
		}
	}
	return base + "/v3", nil
}

// sameHost keeps a password from going where a list of versions points to.
func sameHost(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	return errX == nil && errY == nil && x.Host == y.Host && x.Scheme == y.Scheme
}
