package api

import (
	"net/http"
	"net/url"
)

// BaseURL returns how a client calls this server: "https://host:port". public is the server's URL as its operator gave it, or
// "": a client that calls it so, calls it by that scheme, although a proxy before the server speaks plain HTTP.
func BaseURL(r *http.Request, public string) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	} else if u, err := url.Parse(public); err == nil && u.Host == r.Host && u.Scheme != "" {
		scheme = u.Scheme
	}
	return scheme + "://" + r.Host
}
