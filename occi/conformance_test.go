package occi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/troupe-dev/troupe/occi"
	"github.com/troupe-dev/troupe/occi/occitest"
)

// basic is a check of credentials by which each user is a tenant.
func basic(r *http.Request) (occi.Caller, error) {
	user, _, ok := r.BasicAuth()
	if !ok {
		return occi.Caller{}, occi.Unauthorized(`Basic realm="test"`, "log in first")
	}
	return occi.Caller{Tenant: user}, nil
}

func as(user string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, user) }
}

func TestConformance(t *testing.T) {
	for _, prefix := range []string{"", "/occi"} {
		t.Run("at "+prefix+"/", func(t *testing.T) {
			server := httptest.NewServer(http.StripPrefix(prefix, infrastructure(occi.Options{Authenticate: basic, Prefix: prefix})))
			defer server.Close()
			occitest.Run(t, occitest.Harness{URL: server.URL + prefix, Authorize: as("ann"), Stranger: as("ben"), Settle: func(testing.TB) {}})
		})
	}
}
