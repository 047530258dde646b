package api

import (
	"net/http"
	"net/url"
	"path"

	"github.com/troupe-dev/troupe/internal/identity"
)

// Tidied returns the request without doubled and trailing slashes in its path, for faces whose clients send them and follow no
// redirect: r itself where there are none.
func Tidied(r *http.Request) *http.Request {
	escaped := r.URL.EscapedPath()
	clean := path.Clean("/" + escaped)
	if clean == escaped {
		return r
	}
	inner := r.Clone(r.Context())
	inner.URL.RawPath = clean
	if unescaped, err := url.PathUnescape(clean); err == nil {
		inner.URL.Path = unescaped
	}
	return inner
}

// ByToken is the Authenticate of faces whose clients show a token in X-Auth-Token, as those of OpenStack do.
func ByToken(r *http.Request) (*identity.Caller, error) {
	token := r.Header.Get("X-Auth-Token")
	if token == "" {
		return nil, nil
	}
	return Authenticate(r, identity.Credentials{Token: token})
}
