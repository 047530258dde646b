// Package app is the process: it wires store, engine, control, faces and listeners, serves, and takes
// them down again. A program may run a whole Troupe inside itself with it.
package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/store"
)

// schema is the version of the layout of the records in the store.
const schema = 1

// stopTime bounds Stop.
const stopTime = 30 * time.Second

// An App is one server. Make it with New, then Run it.
type App struct {
	opts      Options
	store     *store.Store
	vault     *store.Vault
	directory *identity.Directory
	started   time.Time
	followed  int64 // revision of the store that the directory was read at
	password  string
	kinds     all.Drivers
	verified  verified
	registry  *prometheus.Registry
	engines   *engine.Metrics
	api       *api.Server
	main      gate // everything but /healthz, /readyz and /metrics
	flow      gate // the OneFlow face at the root
	onegate   gate // the OneGate face at the root
	occopus   gate // the Occopus face at the root
	occi      gate // the OCCI face at the root
	monasca   gate // the Monasca face at the root
	heat      gate // the Heat face at the root
	keystone  gate // the Keystone face at the root
	hurtle    hurtleGates

	control atomic.Pointer[control.Control]
	state   atomic.Pointer[state]
	ready   chan struct{}
	ctx     context.Context // ends when Stop is called
	cancel  context.CancelFunc
	running atomic.Bool
	done    chan struct{}
	release func()
	// afterwards ends what faces have in the background, once the listeners have stopped.
	afterwards func()
}

// state is what /readyz tells.
type state struct{ word, reason string }

// New wires a server and binds its listeners; nothing is served before Run. When it fails, whatever it
// had opened is closed again.
func New(ctx context.Context, o Options) (*App, error) {
	if err := o.fill(); err != nil {
		return nil, optionsError{err}
	}
	a := &App{opts: o, hurtle: newHurtleGates(&o), started: time.Now(), kinds: all.Kinds(), ready: make(chan struct{}), done: make(chan struct{}), registry: prometheus.NewRegistry()}
	a.release = sync.OnceFunc(a.close)
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.state.Store(&state{"starting", "the state is being read"})
	for _, step := range []func(context.Context) error{a.verify, a.openStore, a.openDirectory, a.listen} {
		if err := step(ctx); err != nil {
			a.cancel()
			a.release()
			return nil, err
		}
	}
	return a, nil
}

// verify refuses wrong options before anything is touched.
func (a *App) verify(context.Context) (err error) {
	a.verified, err = a.opts.verify(a.kinds)
	a.opts.Notifications.Mail.Password = a.verified.mail
	return err
}

// openStore opens the data folder and whatever holds the state.
func (a *App) openStore(ctx context.Context) error {
	// Machines of the process driver may run as another user: they must be able to pass through.
	if err := os.MkdirAll(a.opts.DataDir, 0o711); err != nil {
		return fmt.Errorf("make data folder: %w; choose another with --data-dir", err)
	}
	var err error
	if a.store, err = store.Open(ctx, a.verified.store); err != nil {
		return err
	}
	a.vault, err = store.OpenVault(ctx, a.store, a.opts.MasterKey)
	return err
}

// openDirectory reads the users.
func (a *App) openDirectory(ctx context.Context) error {
	var err error
	if a.followed, err = a.store.Revision(ctx); err != nil {
		return err
	}
	if a.directory, err = identity.Open(ctx, control.Records{Store: a.store}); err != nil {
		return fmt.Errorf("read the users: %w", err)
	}
	a.directory.SealSessions(a.vault)
	return nil
}

// firstUser makes the first user, once all is open: a start that fails neither uses up nor shows a password
// that is shown once.
func (a *App) firstUser(ctx context.Context) error {
	var err error
	if a.password, err = a.directory.Bootstrap(ctx, a.opts.Admin, a.verified.password); err != nil {
		return err
	}
	if a.password != "" && a.opts.Announce != nil {
		fmt.Fprintf(a.opts.Announce, "The first user is %s, the password %s\nIt is shown this once; change it with `troupe passwd`.\n", a.opts.Admin, a.password)
	}
	return nil
}

// listen makes the HTTP server and binds its addresses.
func (a *App) listen(ctx context.Context) error {
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), storeFigures{a.store})
	a.engines = engine.NewMetrics(a.registry)
	var err error
	o := a.opts.apiOptions()
	o.Auth, o.Metrics, o.Ready = a.directory, a.registry, a.readiness
	if a.api, err = api.New(o); err != nil {
		return err
	}
	for _, g := range a.gates() {
		g.readiness = a.readiness
	}
	mux := http.NewServeMux()
	a.api.Operations(mux)
	mux.Handle("/", &a.main)
	served := map[string]http.Handler{"main": mux, "socket": mux, "oneflow": &a.flow, "onegate": &a.onegate, "occopus": &a.occopus, "occi": &a.occi, "monasca": &a.monasca, "keystone": &a.keystone, "heat": &a.heat}
	a.hurtle.serve(&a.opts, served)
	for _, l := range a.opts.listeners() {
		l.Handler = served[l.Name]
		switch {
		case l.Name == "socket":
			l.Guest = func() (*identity.Caller, error) { return a.directory.As(identity.AdminUser) }
		case l.Guest != nil:
			l.Guest = a.occopusGuest
		}
		if _, err := a.api.Listen(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// gates are those of all listeners.
func (a *App) gates() []*gate {
	return append([]*gate{&a.main, &a.flow, &a.onegate, &a.occopus, &a.occi, &a.monasca, &a.keystone, &a.heat}, a.hurtle.all()...)
}

func (a *App) readiness() (word, reason string) {
	if leader, standby := a.store.Standby(); standby && a.state.Load().word == "standby" {
		return "standby", "another server is at work (" + leader + "); this one takes over when it ends"
	}
	s := a.state.Load()
	return s.word, s.reason
}

// Run serves until ctx ends, Stop is called, or something fails for good. It returns when everything
// is closed. An App runs once.
func (a *App) Run(ctx context.Context) error {
	if !a.running.CompareAndSwap(false, true) {
		if a.ctx.Err() != nil {
			return nil // stopped before it began
		}
		return errors.New("the server runs already, or has ended")
	}
	defer close(a.done)
	defer a.release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.ctx, cancel)()

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.api.Serve(gctx) })
	g.Go(func() error { a.directory.Run(gctx, a.opts.Log); return nil })
	if len(a.opts.Etcd.Endpoints) > 0 {
		g.Go(func() error { return a.followUsers(gctx) })
	}
	g.Go(func() error {
		select {
		case <-a.store.Failed():
			return fmt.Errorf("the database has stopped: %w", a.store.Err())
		case <-gctx.Done():
			return nil
		}
	})
	g.Go(func() error { return a.lead(gctx) })
	g.Go(func() error {
		<-gctx.Done()
		a.notify(daemon.SdNotifyStopping)
		return nil
	})
	err := g.Wait()
	if a.afterwards != nil {
		a.afterwards()
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

func (a *App) followUsers(ctx context.Context) error {
	err := control.Records{Store: a.store}.Follow(ctx, a.directory, a.followed+1)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("follow changes of users: %w", err)
}

// notify tells the service manager (systemd), if there is one, how this server is.
func (a *App) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		a.opts.Log.Warn("the service manager cannot be told", "state", state, "error", err)
	}
}

// Stop ends a running server and waits, for half a minute at most, until it has closed everything. It
// may be called at any time and more than once.
func (a *App) Stop() error {
	a.cancel()
	if a.running.CompareAndSwap(false, true) {
		a.release()
		close(a.done)
	}
	select {
	case <-a.done:
		return nil
	case <-time.After(stopTime):
		return errors.New("the server did not end in time; what it was asked to write is written")
	}
}

func (a *App) close() {
	if a.api != nil {
		stopped, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.api.Stop(stopped)
	}
	if a.store != nil {
		a.store.Close()
	}
}

// Ready is closed once this server is at work.
func (a *App) Ready() <-chan struct{} { return a.ready }

// Password returns the first user's password if this server generated it just now. Call it once the server
// is ready.
func (a *App) Password() string { return a.password }

// Addrs returns the URLs of the listeners by name: "main", "socket", "oneflow", "onegate", "occopus", "occi", "monasca", "keystone",
// "heat", "hurtle" and "hurtle-TERM", "hurtle-cc".
func (a *App) Addrs() map[string]string { return a.api.Addrs() }

// backends opens the accounts of drivers.
func (a *App) backends(ctx context.Context) ([]*engine.Backend, error) {
	installation := a.store.Installation()
	var out []*engine.Backend
	for _, account := range a.opts.Accounts {
		kind, err := a.kinds.Find(account.Driver)
		if err != nil {
			return nil, err
		}
		dir := a.opts.driverDir(account)
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("folder of driver %s: %w", account.key(), err)
		}
		values, err := kind.CheckAccount(account.Values)
		if err != nil {
			return nil, fmt.Errorf("driver %s: %w", account.key(), err)
		}
		log := a.opts.Log.With("driver", account.key())
		d, err := kind.New(ctx, driver.Config{
			Values: values, Installation: installation.ID, Generation: installation.Generation, Dir: dir,
			Supervisor: slices.Clone(a.opts.Supervisor), Log: log,
		})
		if err != nil {
			return nil, fmt.Errorf("open driver %s: %w", account.key(), err)
		}
		d = driver.Wrap(d, kind, driver.WrapOptions{Log: log, Observer: a.engines.Observer(account.key())})
		out = append(out, &engine.Backend{Account: account.Name, Endpoint: kind.EndpointOf(values), Kind: kind, Driver: d})
	}
	return out, nil
}
