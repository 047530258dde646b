package apitest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A Reply is what came back.
type Reply struct {
	Status int
	Header http.Header
	Text   string
	JSON   any // numbers are json.Number; nil if the text is no JSON
}

// Request makes a request; headers are names and values in turn, which win over the type of the body, JSON.
func Request(t testing.TB, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for n := 0; n+1 < len(headers); n += 2 {
		req.Header.Set(headers[n], headers[n+1])
	}
	return req
}

// Do sends a request through a transport, the usual one if nil. It follows no redirects.
func Do(t testing.TB, through http.RoundTripper, req *http.Request) Reply {
	t.Helper()
	if through == nil {
		through = http.DefaultTransport
	}
	resp, err := through.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Reply{resp.StatusCode, resp.Header, string(text), Decode(string(text))}
}

// Decode reads JSON with numbers as json.Number; nil if the text is none.
func Decode(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// At follows keys and indexes into the JSON; what is not there is nil.
func (r Reply) At(steps ...any) any { return At(r.JSON, steps...) }

// Str is At as text; "<nil>" for what is not there.
func (r Reply) Str(steps ...any) string { return fmt.Sprint(r.At(steps...)) }

// At follows keys and indexes into decoded JSON; what is not there is nil.
func At(v any, steps ...any) any {
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				return nil
			}
			v = l[step]
		}
	}
	return v
}

// KeystoneLogin is the body of a login at Keystone's API: user, and scope unless it is "", are JSON.
func KeystoneLogin(user, password, scope string) string {
	if scope != "" {
		scope = `,"scope":` + scope
	}
	return fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{%s,"password":%q}}}%s}}`, user, password, scope)
}

// ByName is the JSON of what has a name in the default domain: a user of KeystoneLogin.
func ByName(name string) string { return fmt.Sprintf(`"name":%q,"domain":{"name":"Default"}`, name) }

// InProject is the scope of KeystoneLogin that a project is.
func InProject(name string) string { return `{"project":{` + ByName(name) + `}}` }
