package app

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/troupe-dev/troupe/internal/api"
	hurtleface "github.com/troupe-dev/troupe/internal/api/hurtle"
	"github.com/troupe-dev/troupe/internal/api/keystone"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/hurtle"
	"github.com/troupe-dev/troupe/internal/store"
)

// hurtleGates are the listeners of single service managers, and of the Cloud Controller.
type hurtleGates struct {
	managers []gate // as Options.HurtleListen has them
	cloud    gate
	// inside is the Cloud Controller as this server itself calls it.
	inside *atomic.Pointer[http.Handler]
}

func newHurtleGates(o *Options) hurtleGates {
	return hurtleGates{managers: make([]gate, len(o.HurtleListen)), inside: new(atomic.Pointer[http.Handler])}
}

// all are the gates.
func (g *hurtleGates) all() []*gate {
	out := []*gate{&g.cloud}
	for i := range g.managers {
		out = append(out, &g.managers[i])
	}
	return out
}

// serve says what the listeners serve.
func (g *hurtleGates) serve(o *Options, served map[string]http.Handler) {
	served["hurtle-cc"] = &g.cloud
	for i := range g.managers {
		_, _, name := o.hurtleListener(i)
		served[name] = &g.managers[i]
	}
}

// hurtleListener splits what HurtleListen says of the nth listener, and names it.
func (o *Options) hurtleListener(n int) (term, address, name string) {
	term, address, ok := strings.Cut(o.HurtleListen[n], "=")
	if !ok {
		term, address = "", term
	}
	switch {
	case term != "":
		return term, address, "hurtle-" + term
	case n == 0:
		return "", address, "hurtle"
	}
	return "", address, fmt.Sprintf("hurtle-%d", n+1)
}

func (o *Options) hurtleListeners() []api.Listener {
	var list []api.Listener
	for n := range o.HurtleListen {
		_, address, name := o.hurtleListener(n)
		list = append(list, api.Listener{Name: name, Address: address})
	}
	if o.HurtleCloudListen != "" {
		list = append(list, api.Listener{Name: "hurtle-cc", Address: o.HurtleCloudListen})
	}
	return list
}

func (o *Options) verifyHurtle() error {
	seen := map[string]bool{"hurtle-cc": true}
	for n := range o.HurtleListen {
		_, address, name := o.hurtleListener(n)
		if address == "" {
			return fmt.Errorf("--hurtle-listen %.80q: write it as HOST:PORT, or TERM=HOST:PORT for the manager of a term", o.HurtleListen[n])
		}
		if seen[name] {
			return fmt.Errorf("--hurtle-listen %.80q: there is a listener %s already", o.HurtleListen[n], name)
		}
		seen[name] = true
	}
	return nil
}

// managers opens the service managers.
func (a *App) managers(ctx context.Context, tenure *store.Tenure, own *orchestrators) (*hurtle.Hurtle, error) {
	main := func() string { return cmp.Or(a.opts.PublicURL, a.Addrs()["main"]) }
	return hurtle.New(ctx, hurtle.Options{Store: a.store, Tenure: tenure, Vault: a.vault, Directory: a.directory, Log: a.opts.Log.With("part", "hurtle"),
		Orchestrators: own, Cloud: func() http.Handler { return *a.hurtle.inside.Load() },
		CloudURL:  func() string { return main() + "/hurtle/cc" },
		DesignURL: func() string { return main() + "/keystone/v2.0" }})
}

// openHurtle puts the face on its listeners and returns it for the main one.
func (a *App) openHurtle(c *control.Control) http.Handler {
	face := hurtleface.New(hurtleface.Options{Control: c, Product: "troupe/" + cmp.Or(a.opts.Version, "dev"), Log: a.opts.Log.With("face", "hurtle")})
	inside := face.Cloud()
	a.hurtle.inside.Store(&inside)
	a.hurtle.cloud.open(a.api.Face(face.CloudFace()))
	for n := range a.hurtle.managers {
		term, _, _ := a.opts.hurtleListener(n)
		a.hurtle.managers[n].open(a.api.Face(face.ManagerFace(term, n)))
	}
	return a.api.Face(face.Face("/hurtle"))
}

// managerServices are the service managers as the catalogue lists them: by their types, at their own listeners or below the main one.
func (a *App) managerServices(r *http.Request, c *control.Control) []keystone.Service {
	var list []keystone.Service
	for nth, m := range c.ServiceManagers() {
		list = append(list, keystone.Service{Type: string(m.Kind()), Name: string(m.Kind()), URL: a.managerURL(r, m.Term(), nth)})
	}
	return list
}

// managerURL is where a client finds the nth manager.
func (a *App) managerURL(r *http.Request, term string, nth int) string {
	for n := range a.opts.HurtleListen {
		if own, _, name := a.opts.hurtleListener(n); a.opts.PublicURL == "" && (own == term || own == "" && n == nth) {
			return reachable(r, a.Addrs()[name])
		}
	}
	return cmp.Or(a.opts.PublicURL, reachable(r, a.Addrs()["main"])) + "/hurtle/sm/" + term
}
