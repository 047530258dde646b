package keystone_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/api/apitest"
)

func byCredential(id, secret string) string {
	return fmt.Sprintf(`{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":%q,"secret":%q}}}}`, id, secret)
}

// An application credential is good for what its roles say, in the project that it was made in, until it is removed; also as password.
func TestApplicationCredentials(t *testing.T) {
	s := newStage(t)
	ann := s.send("POST", "/v3/auth/tokens", apitest.KeystoneLogin(annByName, "ann's own", inWeb)).Header.Get("X-Subject-Token")
	other := s.send("POST", "/v3/auth/tokens", apitest.KeystoneLogin(`"name":"oneadmin"`, apitest.Password, "")).Header.Get("X-Subject-Token")
	at := fmt.Sprintf("/v3/users/%d/application_credentials", s.ann.ID)
	made := s.send("POST", at, `{"application_credential":{"name":"agents","roles":[{"name":"monasca-agent"}]}}`, "X-Auth-Token", ann)
	id, secret := made.Str("application_credential", "id"), made.Str("application_credential", "secret")
	if made.Status != 201 || id == "" || secret == "" || made.Str("application_credential", "roles", 0, "name") != "monasca-agent" ||
		made.Str("application_credential", "project_id") != fmt.Sprint(s.web.ID) {
		t.Fatalf("%d %s", made.Status, made.Text)
	}
	for what, body := range map[string]string{
		"by itself":     byCredential(id, secret),
		"by name":       strings.Replace(byCredential("agents", secret), `"id"`, `"name"`, 1),
		"as a password": apitest.KeystoneLogin(annByName, secret, inWeb),
	} {
		r := s.send("POST", "/v3/auth/tokens", body)
		if r.Status != 201 || r.Str("token", "roles", 0, "name") != "monasca-agent" || strings.Contains(r.Text, "monasca-user") || r.Str("token", "project", "name") != "web" {
			t.Errorf("%s: %d %s", what, r.Status, r.Text)
		}
		more := s.send("POST", at, `{"application_credential":{"name":"more","roles":[{"name":"member"}]}}`, "X-Auth-Token", r.Header.Get("X-Subject-Token"))
		if more.Status != 403 {
			t.Errorf("%s: it makes one that may do more: %d %s", what, more.Status, more.Text)
		}
	}
	for what, body := range map[string]string{
		"another id":        byCredential("another", secret),
		"no secret":         byCredential(id, ""),
		"another's name":    apitest.KeystoneLogin(`"name":"oneadmin"`, secret, ""),
		"another project":   apitest.KeystoneLogin(annByName, secret, ""),
		"altered":           byCredential(id, secret[:len(secret)-1]+"x"),
		"nothing but words": byCredential(id, "secret"),
	} {
		if r := s.send("POST", "/v3/auth/tokens", body); r.Status != 401 && what != "another project" || r.Status == 201 && r.Str("token", "project", "name") != "web" {
			t.Errorf("%s: %d %s", what, r.Status, r.Text)
		}
	}
	for what, body := range map[string]string{
		"no name":      `{"application_credential":{}}`,
		"own secret":   `{"application_credential":{"name":"x","secret":"y"}}`,
		"unknown role": `{"application_credential":{"name":"x","roles":[{"name":"king"}]}}`,
		"past":         `{"application_credential":{"name":"x","expires_at":"2001-01-01T00:00:00.000000"}}`,
		"rules":        `{"application_credential":{"name":"x","access_rules":[{}]}}`,
		"no JSON":      `x`,
	} {
		if r := s.send("POST", at, body, "X-Auth-Token", ann); r.Status != 400 {
			t.Errorf("%s: %d %s", what, r.Status, r.Text)
		}
	}
	list := s.send("GET", at, "", "X-Auth-Token", ann)
	if list.Status != 200 || list.Str("application_credentials", 0, "id") != id || strings.Contains(list.Text, secret) || strings.Contains(list.Text, `"name":"x"`) {
		t.Errorf("%d %s", list.Status, list.Text)
	}
	for _, r := range []struct {
		method, path, token string
		status              int
	}{{"GET", at, other, 403}, {"GET", at + "/" + id, other, 403}, {"DELETE", at + "/" + id, other, 403}, {"GET", at + "/" + id, ann, 200}, {"GET", at + "/none", ann, 404},
		{"DELETE", at + "/" + id, ann, 204}, {"DELETE", at + "/" + id, ann, 404}} {
		if got := s.send(r.method, r.path, "", "X-Auth-Token", r.token); got.Status != r.status {
			t.Errorf("%s %s: %d %s, want %d", r.method, r.path, got.Status, got.Text, r.status)
		}
	}
	if r := s.send("POST", "/v3/auth/tokens", byCredential(id, secret)); r.Status != 401 {
		t.Errorf("when it is removed: %d %s", r.Status, r.Text)
	}
}
