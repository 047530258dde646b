package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/api/native"
	flowface "github.com/troupe-dev/troupe/internal/api/oneflow"
	"github.com/troupe-dev/troupe/internal/api/onegate"
	"github.com/troupe-dev/troupe/internal/audit"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// ErrReplaced: another server holds the shards now. Started again, this one waits as a standby.
var ErrReplaced = errors.New("another server has taken over; start this one again and it waits as a standby")

// lead waits until the shards are this server's and then works on them, until ctx ends or they are lost.
func (a *App) lead(ctx context.Context) (err error) {
	tenure, err := a.acquire(ctx)
	if tenure == nil {
		return err
	}
	a.state.Store(&state{"starting", "services are being read"})
	trail, err := audit.Open(audit.Options{Dir: filepath.Join(a.opts.DataDir, "audit"), Log: a.opts.Log, Retain: a.opts.AuditRetain})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trail.Close()) }()
	a.registry.MustRegister(journalLost("audit", trail.Lost))
	backends, err := a.backends(ctx)
	if err != nil {
		return err
	}
	e, err := engine.New(ctx, engine.Options{Store: a.store, Tenure: tenure, Backends: backends, Vault: a.vault, Log: a.opts.Log, Retain: a.opts.Retain, Metrics: a.engines,
		Environment: a.environment})
	if err != nil {
		return err
	}
	r, err := a.react(ctx, e, tenure, a.registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	own := newOrchestrators(&a.opts)
	defer own.close()
	managers, err := a.managers(ctx, tenure, own)
	if err != nil {
		return err
	}
	c, err := control.New(ctx, control.Options{Store: a.store, Vault: a.vault, Engine: e, Directory: a.directory, Audit: trail, Kinds: a.kinds, Log: a.opts.Log,
		Alerts: r.alerts, Intake: r.intake, History: r.history, MethodRules: r.rules, Hurtle: managers, Bundles: filepath.Join(a.opts.DataDir, "bundles")})
	if err != nil {
		return err
	}
	a.control.Store(c)
	if err := c.PauseUnlessSeen(ctx); err != nil {
		return err
	}
	ready, err := a.stageReadyFile()
	if err != nil {
		return err
	}
	defer ready.drop()
	if err := a.firstUser(ctx); err != nil {
		return err
	}
	if a.has("process") {
		if err := c.PutFirstMachine(ctx, firstMachine); err != nil {
			return err
		}
	}
	if err := a.open(ctx, c); err != nil {
		return err
	}
	defer func() {
		for _, g := range a.gates() {
			g.shut()
		}
	}()

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.Run(gctx) })
	g.Go(func() error { return r.run(gctx, backends, c, a.opts.Metrics.Measure, a.opts.Log) })
	g.Go(func() error { return managers.Run(gctx) })
	g.Go(func() error { return a.announce(c, ready) })
	if err := g.Wait(); err != nil {
		select {
		case <-tenure.Lost():
			return fmt.Errorf("%w: %w", ErrReplaced, err)
		default:
			return err
		}
	}
	return nil
}

// acquire waits for the shards; nil without an error when ctx ends first.
func (a *App) acquire(ctx context.Context) (*store.Tenure, error) {
	a.state.Store(&state{"standby", "waiting for the shards"})
	notice := time.AfterFunc(time.Second, func() { // by then it is known who leads
		_, reason := a.readiness()
		a.opts.Log.Info("standing by", "reason", reason, "readyz", a.Addrs()["main"]+"/readyz")
		a.notify(daemon.SdNotifyReady) // a standby is as it should be
	})
	tenure, err := a.store.Acquire(ctx)
	notice.Stop()
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil
		}
		return nil, fmt.Errorf("take over the shards: %w", err)
	}
	if err := a.checkGuest(); err != nil {
		return nil, err
	}
	return tenure, nil
}

// environment is what the program of each machine is told: where this server is, and the token by which the machine speaks
// for itself, under OneGate's customary names.
func (a *App) environment(id driver.MachineID) map[string]string {
	main := cmp.Or(a.opts.PublicURL, a.Addrs()["main"])
	env := map[string]string{"TROUPE_URL": main, "ONEGATE_ENDPOINT": a.gateURL()}
	if c := a.control.Load(); c != nil {
		env["VMID"], env["ONEGATE_TOKEN"] = c.InstanceVM(id), c.InstanceToken(id)
	}
	return env
}

// gateURL is where instances find OneGate. A public URL of the main listener is where they come from afar.
func (a *App) gateURL() string {
	switch {
	case a.opts.OneGateURL != "":
		return a.opts.OneGateURL
	case a.opts.PublicURL == "" && a.opts.OneGateListen != "":
		return a.Addrs()["onegate"]
	}
	return cmp.Or(a.opts.PublicURL, a.Addrs()["main"]) + "/onegate"
}

func (a *App) has(driver string) bool {
	return slices.ContainsFunc(a.opts.Accounts, func(x Account) bool { return x.Driver == driver && x.Name == "" })
}

// announce says that the server is at work.
func (a *App) announce(c *control.Control, ready readyFile) error {
	if c.Status().Paused {
		a.opts.Log.Warn("this state was restored from a backup: effects are off until an administrator has looked at it and calls `troupe server resume`")
	}
	if a.Password() != "" {
		debug.FreeOSMemory() // a first start: what the hash of the password took is not needed again
	}
	if err := ready.publish(); err != nil {
		return err
	}
	a.state.Store(&state{word: "ready"})
	a.opts.Log.Info("ready", "version", a.opts.Version, "url", a.Addrs()["main"], "services", c.Status().Services)
	close(a.ready)
	a.notify(daemon.SdNotifyReady)
	return nil
}

// readyFile is the name of the file that gets the addresses; "" for none.
type readyFile string

// half is where the text lies until the server is at work, so that whoever waits for the file finds it whole.
func (f readyFile) half() string { return string(f) + ".new" }

// stageReadyFile writes the addresses, one a line, beside the ready file.
func (a *App) stageReadyFile() (readyFile, error) {
	f := readyFile(a.opts.ReadyFile)
	if f == "" {
		return f, nil
	}
	var text strings.Builder
	for _, l := range a.opts.listeners() {
		fmt.Fprintf(&text, "%s=%s\n", l.Name, a.Addrs()[l.Name])
	}
	if err := os.WriteFile(f.half(), []byte(text.String()), 0o644); err != nil {
		return f, fmt.Errorf("write the ready file: %w", err)
	}
	return f, nil
}

func (f readyFile) publish() error {
	if f == "" {
		return nil
	}
	if err := os.Rename(f.half(), string(f)); err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	return nil
}

// drop removes what was never published.
func (f readyFile) drop() {
	if f != "" {
		_ = os.Remove(f.half())
	}
}

// firstMachine is machine definition 0: it exists after the first start, so that OneFlow's own examples
// run as they stand.
var firstMachine = control.Definition{Name: "default", Permissions: 0o644, Machine: service.Machine{
	Implementations: []service.Implementation{{Driver: "process", Options: map[string]any{
		"command": "trap 'exit 0' TERM; echo ready; while :; do sleep 3600 & wait $!; done",
	}}},
}}

// A gate serves the faces while this server is at work, and says why not otherwise.
type gate struct {
	faces     atomic.Pointer[http.Handler]
	readiness func() (word, reason string)
}

func (g *gate) open(h http.Handler) { g.faces.Store(&h) }
func (g *gate) shut()               { g.faces.Store(nil) }

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := g.faces.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	word, reason := g.readiness()
	w.Header().Set("Retry-After", "1")
	api.WriteError(w, r, &api.Problem{Status: http.StatusServiceUnavailable, Detail: strings.TrimSuffix("this server is "+word+": "+reason, ": ")})
}

// open puts the faces on the listeners.
func (a *App) open(ctx context.Context, c *control.Control) error {
	flow := flowface.New(flowface.Options{
		Control: c, Settings: a.verified.oneflow, Log: a.opts.Log.With("face", "oneflow"),
		BareErrors: a.opts.OneFlow.BareErrors, Reference: a.opts.OneFlow.Reference, NewForm: a.opts.OneFlow.NewForm,
	})
	a.afterwards = flow.Stop
	mux := http.NewServeMux()
	own := native.New(c, native.Options{Version: a.opts.Version, Started: a.started, OneFlow: a.verified.oneflow, Log: a.opts.Log.With("face", "native")})
	under(mux, own.Prefix, a.api.Face(own))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		api.WriteError(w, r, &api.Problem{Status: http.StatusNotFound, Detail: "nothing is served at " + r.URL.Path + "; the API is at /v1, OneFlow at /oneflow, OneGate at /onegate, Occopus at /occopus, OCCI at /occi, Monasca at /monasca, Keystone at /keystone, Heat at /heat, Hurtle at /hurtle"})
	})
	gate := onegate.New(onegate.Options{Control: c, OneFlow: flow, URL: a.opts.OneGateURL, Settings: a.opts.OneGate, Log: a.opts.Log.With("face", "onegate")})
	unclean := map[string]http.Handler{"oneflow": a.api.Face(flow.Face("/oneflow"))}
	a.openStack(c, unclean)
	if err := a.openOCCI(ctx, c, unclean); err != nil {
		return err
	}
	under(mux, "/onegate", a.api.Face(gate.Face("/onegate")))
	under(mux, "/hurtle", a.openHurtle(c))
	cluster := a.occopusFace(c)
	under(mux, "/occopus", a.api.Face(cluster.Face("/occopus")))
	a.main.open(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Past the mux, which would redirect doubled slashes: the clients of these faces send them and do not follow.
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if face := unclean[name]; face != nil {
			face.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	a.flow.open(a.api.Face(flow.Face("")))
	a.occopus.open(a.api.Face(cluster.Face("")))
	a.onegate.open(besides(a.api.Face(gate.Face("")), own.Prefix, a.api.Face(own)))
	return nil
}

// besides serves the native face at OneGate's listener, too, to instances alone: those that know of no other send their samples there.
func besides(gate http.Handler, prefix string, own http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, prefix+"/") && r.Header.Get("X-Onegate-Token") != "" && r.Header.Get("Authorization") == "" {
			own.ServeHTTP(w, r)
			return
		}
		gate.ServeHTTP(w, r)
	})
}

// under serves a face under its prefix.
func under(mux *http.ServeMux, prefix string, face http.Handler) {
	mux.Handle(prefix, face)
	mux.Handle(prefix+"/", face)
}
