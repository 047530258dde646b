package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/api/heat"
	"github.com/troupe-dev/troupe/internal/api/keystone"
	"github.com/troupe-dev/troupe/internal/api/monasca"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/openstack"
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

// Heat says what makes the servers of Heat templates whose image no machine definition stands for, and their resources.
type Heat struct {
	Driver, Account string // "" for the driver of the only account, or else process
}

// verifyHeat chooses the driver where none was chosen.
func (o *Options) verifyHeat(kinds all.Drivers) error {
	switch {
	case o.Heat.Driver != "":
	case len(o.Accounts) == 1:
		o.Heat.Driver, o.Heat.Account = o.Accounts[0].Driver, cmp.Or(o.Heat.Account, o.Accounts[0].Name)
	default:
		o.Heat.Driver = "process"
	}
	if _, err := kinds.Find(o.Heat.Driver); err != nil {
		return fmt.Errorf("--heat-driver: %w", err)
	}
	return nil
}

// Keystone is a real one, whose tokens are good for Monasca here.
type Keystone struct {
	Validate string   // its URL; "" for none
	Service  string   // openrc file of the user by whose name tokens are validated
	Projects []string // "ID=GROUP": the groups that stand for its projects
	// Remember is how long its answer about a token is good, and so how long a revoked one may still be; 0 for five minutes.
	Remember time.Duration
}

// mostRemembered is the longest that a revoked token may be good.
const mostRemembered = time.Hour

// guests returns those whom the Keystone vouches for; nil without one.
func (k *Keystone) guests() (*openstack.Guests, error) {
	if k.Validate == "" {
		if k.Service != "" || len(k.Projects) > 0 || k.Remember != 0 {
			return nil, errors.New("--keystone-service, --keystone-project and --keystone-remember are for --keystone-validate, which is missing")
		}
		return nil, nil
	}
	u, err := url.Parse(k.Validate)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--keystone-validate %.100q is no URL; write it as https://HOST:5000", k.Validate)
	}
	if k.Service == "" {
		return nil, errors.New("--keystone-validate needs --keystone-service, the openrc file of a user who may validate tokens")
	}
	service, err := openstack.ReadService(k.Service)
	if err != nil {
		return nil, err
	}
	if k.Remember != 0 && (k.Remember < time.Second || k.Remember > mostRemembered) {
		return nil, fmt.Errorf("--keystone-remember is %v; give it 1s to %v", k.Remember, mostRemembered)
	}
	projects := make(map[string]string, len(k.Projects))
	for _, p := range k.Projects {
		id, group, ok := strings.Cut(p, "=")
		if !ok || id == "" || group == "" {
			return nil, fmt.Errorf("--keystone-project %.80q: write it as ID=GROUP", p)
		}
		projects[id] = group
	}
	return &openstack.Guests{Validator: openstack.NewValidator(k.Validate, service, cmp.Or(k.Remember, openstack.Remember)), Projects: projects}, nil
}

// openStack puts the faces of Monasca and Keystone on their listeners, and among those of the main one.
func (a *App) openStack(c *control.Control, main map[string]http.Handler) {
	keystoneURL := func(r *http.Request) string { return a.faceURL(r, "keystone") }
	var guests func(context.Context, string, netip.Addr) (*identity.Caller, error)
	if g := a.verified.guests; g != nil {
		g.Directory = a.directory
		guests, keystoneURL = g.Authenticate, func(*http.Request) string { return a.opts.Keystone.Validate }
	}
	stacks := heat.New(heat.Options{Control: c, PublicURL: a.opts.PublicURL, Driver: a.opts.Heat.Driver, Account: a.opts.Heat.Account,
		KeystoneURL: func(r *http.Request) string { return a.faceURL(r, "keystone") }, Log: a.opts.Log.With("face", "heat")})
	logins := keystone.New(keystone.Options{Control: c, PublicURL: a.opts.PublicURL, Log: a.opts.Log.With("face", "keystone"),
		Services: func(r *http.Request) []keystone.Service {
			return append([]keystone.Service{{Type: "orchestration", Name: "heat", URL: a.faceURL(r, "heat") + "/v1/$(tenant_id)s"}}, a.managerServices(r, c)...)
		},
		Monasca: func(r *http.Request) string { return a.faceURL(r, "monasca") + "/v2.0" }})
	metrics := monasca.New(monasca.Options{Control: c, PublicURL: a.opts.PublicURL, Log: a.opts.Log.With("face", "monasca"),
		Profile: alarm.Profile(a.opts.Monasca.Profile), Extended: a.opts.Monasca.Extended,
		KeystoneURL: keystoneURL, Guests: guests})
	main["keystone"], main["monasca"], main["heat"] = a.api.Face(logins.Face("/keystone")), a.api.Face(metrics.Face("/monasca")), a.api.Face(stacks.Face("/heat"))
	a.keystone.open(a.api.Face(logins.Face("")))
	a.monasca.open(a.api.Face(metrics.Face("")))
	a.heat.open(a.api.Face(stacks.Face("")))
}

// faceURL is where a client finds a face: below the public URL, at its own listener, or below the main one.
func (a *App) faceURL(r *http.Request, name string) string {
	switch own := a.Addrs()[name]; {
	case a.opts.PublicURL != "":
		return a.opts.PublicURL + "/" + name
	case own != "":
		return reachable(r, own)
	}
	return reachable(r, a.Addrs()["main"]) + "/" + name
}

// reachable is the URL of a listener for whoever makes a request: where its address means all of a host's, the client's own name of the host
// stands for it.
func reachable(r *http.Request, listener string) string {
	u, err := url.Parse(listener)
	if err != nil {
		return listener
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsUnspecified() {
		host := r.Host
		if h, _, err := net.SplitHostPort(r.Host); err == nil {
			host = h
		}
		u.Host = net.JoinHostPort(host, u.Port())
	}
	return u.String()
}
