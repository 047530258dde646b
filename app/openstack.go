package app

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/api/keystone"
	"github.com/troupe-dev/troupe/internal/api/monasca"
	"github.com/troupe-dev/troupe/internal/control"
)

// Monasca says how definitions are taken that come through the Monasca face.
type Monasca struct {
	Profile  string // when they decide: "fast" (or "") or "compat"
	Extended bool   // take Troupe's expressions, not Monasca's alone
}

func (o *Options) verifyMonasca() error {
	switch alarm.Profile(o.Monasca.Profile) {
	case "", alarm.Fast:
		return nil
	case alarm.Compat:
		if !o.Monasca.Extended {
			return nil
		}
		return fmt.Errorf("the profile compat takes Monasca's expressions alone: leave out --monasca-extended, or --monasca-profile compat")
	}
	return fmt.Errorf("--monasca-profile %.40q is none of fast, compat", o.Monasca.Profile)
}

// openStack puts the faces of Monasca and Keystone on their listeners, and among those of the main one.
func (a *App) openStack(c *control.Control, main map[string]http.Handler) {
	identity := keystone.New(keystone.Options{Control: c, PublicURL: a.opts.PublicURL, Log: a.opts.Log.With("face", "keystone"),
		Monasca: func(r *http.Request) string { return a.faceURL(r, "monasca") + "/v2.0" }})
	metrics := monasca.New(monasca.Options{Control: c, PublicURL: a.opts.PublicURL, Log: a.opts.Log.With("face", "monasca"),
		Profile: alarm.Profile(a.opts.Monasca.Profile), Extended: a.opts.Monasca.Extended,
		KeystoneURL: func(r *http.Request) string { return a.faceURL(r, "keystone") }})
	main["keystone"], main["monasca"] = a.api.Face(identity.Face("/keystone")), a.api.Face(metrics.Face("/monasca"))
	a.keystone.open(a.api.Face(identity.Face("")))
	a.monasca.open(a.api.Face(metrics.Face("")))
}

// faceURL is where a client finds a face: below the public URL, at its own listener, or below the main one. Where the address of a listener
// means all of a host's, the client's own name of the host stands for it.
func (a *App) faceURL(r *http.Request, name string) string {
	if a.opts.PublicURL != "" {
		return a.opts.PublicURL + "/" + name
	}
	own := a.Addrs()[name]
	u, err := url.Parse(cmp.Or(own, a.Addrs()["main"]))
	if err != nil {
		return own
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsUnspecified() {
		host := r.Host
		if h, _, err := net.SplitHostPort(r.Host); err == nil {
			host = h
		}
		u.Host = net.JoinHostPort(host, u.Port())
	}
	if own == "" {
		u.Path = "/" + name
	}
	return u.String()
}
