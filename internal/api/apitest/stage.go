// Package apitest builds a whole control plane for the tests of faces: an engine on a simulated back
// end, a store in memory, a directory with an administrator, and a server that carries the faces.
package apitest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/driver/process"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/audit"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/egress"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/hurtle"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/journal"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// Admin and Password are the first login of every Stage.
const (
	Admin    = "oneadmin"
	Password = "opennebula"
)

// A Stage is a control plane in this process. All of it ends with the test.
type Stage struct {
	Control   *control.Control
	Engine    *engine.Engine
	Directory *identity.Directory
	Store     *store.Store
	Cloud     *sim.Cloud // the back end behind the driver "sim"
	Trail     *audit.Trail
	Alerts    *alerting.Alerting
	Intake    *telemetry.Intake
	Limits    telemetry.Limits // of projects whose quota says nothing else; changed before requests come

	t testing.TB
}

// New returns a Stage on a perfect back end.
func New(t testing.TB) *Stage { return NewOn(t, sim.Options{}) }

// NewOn returns a Stage on a back end that behaves as o says.
func NewOn(t testing.TB, o sim.Options) *Stage {
	t.Helper()
	s := &Stage{Limits: telemetry.DefaultLimits, t: t, Cloud: sim.NewCloud(o)}
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	s.Store, err = store.OpenMemory(ctx)
	must(err)
	t.Cleanup(s.Store.Close)
	vault, err := store.OpenVault(ctx, s.Store, filepath.Join(t.TempDir(), "master.key"))
	must(err)
	tenure, err := s.Store.Acquire(ctx)
	must(err)
	s.Directory, err = identity.Open(ctx, control.Records{Store: s.Store})
	must(err)
	s.Directory.SealSessions(vault)
	_, err = s.Directory.Bootstrap(ctx, Admin, Password)
	must(err)
	s.Trail, err = audit.Open(audit.Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	must(err)
	t.Cleanup(func() { _ = s.Trail.Close() })

	// The driver process is known, so that its options can be read, but has no account here.
	kinds := all.Drivers{s.Cloud.Kind(), process.Kind()}
	d, err := kinds[0].New(ctx, driver.Config{Installation: s.Store.Installation().ID, Generation: s.Store.Installation().Generation})
	must(err)
	s.Engine, err = engine.New(ctx, engine.Options{Store: s.Store, Tenure: tenure, Vault: vault,
		Backends: []*engine.Backend{{Kind: kinds[0], Driver: driver.Wrap(d, kinds[0], driver.WrapOptions{})}}})
	must(err)
	history, rules := s.react(tenure, vault)
	managers, err := hurtle.New(ctx, hurtle.Options{Store: s.Store, Tenure: tenure, Vault: vault, Directory: s.Directory})
	must(err)
	s.Control, err = control.New(ctx, control.Options{Store: s.Store, Vault: vault, Engine: s.Engine, Directory: s.Directory, Audit: s.Trail, Kinds: kinds,
		Alerts: s.Alerts, Intake: s.Intake, History: history, MethodRules: rules, Hurtle: managers})
	must(err)
	s.run("engine", s.Engine.Run)
	s.run("alarms", s.Alerts.Run)
	return s
}

// run calls f until the test ends.
func (s *Stage) run(what string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("%s: %v", what, err)
		}
	})
}

// react makes intake, history and alarms. Webhooks may go to this machine.
func (s *Stage) react(tenure *store.Tenure, vault *store.Vault) (*telemetry.History, notify.Rules) {
	s.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	history, err := telemetry.OpenHistory(telemetry.HistoryOptions{Dir: s.t.TempDir(), Log: quiet})
	if err != nil {
		s.t.Fatal(err)
	}
	trail, err := journal.Open(journal.Options[alerting.Entry]{Name: "alarms", Dir: s.t.TempDir(), Log: quiet})
	if err != nil {
		s.t.Fatal(err)
	}
	guard := &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	web := notify.NewHTTP(notify.HTTPOptions{Guard: guard, Render: func(ctx context.Context, name, template string, values map[string]any) (string, error) {
		return render.Text(ctx, name, template, &render.Scope{Keys: values})
	}})
	s.t.Cleanup(func() {
		web.Close()
		for _, end := range [...]func() error{trail.Close, history.Close} {
			if err := end(); err != nil {
				s.t.Error(err)
			}
		}
	})
	s.Alerts, err = alerting.New(context.Background(), alerting.Options{Store: s.Store, Tenure: tenure, Vault: vault, Engine: s.Engine, Past: history, Journal: trail,
		Transports: map[notify.Type]notify.Transport{notify.Webhook: web, notify.OCCI: web}, Project: s.Directory.GroupName,
		May: func(user int, meta *service.Meta) bool { return control.MayManage(s.Directory, user, meta) }})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Intake = telemetry.NewIntake(telemetry.Options{Sink: s.Alerts, History: history, Log: quiet, Limits: func(tenant int) telemetry.Limits {
		return control.MetricLimits(s.Directory, s.Limits)(tenant)
	}})
	return history, notify.Rules{Types: []notify.Type{notify.Email, notify.PagerDuty, notify.Webhook, notify.OCCI}, Periods: notify.DefaultPeriods, CheckTemplate: render.Check, Guard: guard}
}

// Mount serves the faces, each under its prefix, and returns the server's URL without a slash at the
// end.
func (s *Stage) Mount(faces ...api.Face) string {
	return s.serve(func(server *api.Server) http.Handler {
		mux := http.NewServeMux()
		for _, f := range faces {
			face := server.Face(f)
			mux.Handle(f.Prefix+"/", face)
			if f.Prefix != "" {
				mux.Handle(f.Prefix, face)
			}
		}
		return mux
	})
}

// MountAlone serves a face on a listener of its own, without a mux that would clean the paths, and returns the URL.
func (s *Stage) MountAlone(f api.Face) string {
	return s.serve(func(server *api.Server) http.Handler { return server.Face(f) })
}

// serve carries what is made of a server, until the test ends.
func (s *Stage) serve(handler func(*api.Server) http.Handler) string {
	s.t.Helper()
	server, err := api.New(api.Options{Auth: s.Directory, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	addr, err := server.Listen(context.Background(), api.Listener{Name: "main", Address: "127.0.0.1:0", Handler: handler(server)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(http.DefaultClient.CloseIdleConnections)
	s.run("server", server.Serve)
	return "http://" + addr.String()
}

// Root returns the administrator as a caller.
func (s *Stage) Root() *identity.Caller {
	s.t.Helper()
	return s.caller(identity.AdminUser)
}

// User makes a user of the group (by name; made when missing, "" for "users") whose password is its
// name and "-password", and returns it as a caller.
func (s *Stage) User(name, group string) *identity.Caller {
	s.t.Helper()
	ctx := context.Background()
	n := identity.NewUser{Name: name, Password: name + "-password"}
	if group != "" {
		g, err := s.Directory.GroupNamed(group)
		if err != nil {
			if g, err = s.Directory.AddGroup(ctx, group, identity.Quota{}); err != nil {
				s.t.Fatal(err)
			}
		}
		n.Group = &g.ID
	}
	u, err := s.Directory.AddUser(ctx, n)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.caller(u.ID)
}

func (s *Stage) caller(id int) *identity.Caller {
	who, err := s.Directory.As(id)
	if err != nil {
		s.t.Fatal(err)
	}
	return who
}

// Within polls until ok, and fails the test when that takes more than ten seconds. what says what was waited for.
func (s *Stage) Within(what string, ok func() bool) {
	s.t.Helper()
	s.within(func() string { return what }, ok)
}

// within asks what was waited for at the end.
func (s *Stage) within(what func() string, ok func() bool) {
	s.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("not within ten seconds: %s", what())
		}
	}
}

// Until waits until the service is as ok wants it, and fails the test when that takes more than ten
// seconds. what names it in the message.
func (s *Stage) Until(id uint64, what string, ok func(*service.Service) bool) {
	s.t.Helper()
	state := ""
	s.within(func() string { return fmt.Sprintf("service %d is %s: %s", id, what, state) }, func() (good bool) {
		state = "gone"
		s.Engine.View(id, func(svc *service.Service) {
			good, state = ok(svc), fmt.Sprintf("%s %s", svc.State, svc.Reason)
		})
		return good
	})
}

// UntilRunning waits until the service is RUNNING.
func (s *Stage) UntilRunning(id uint64) {
	s.t.Helper()
	s.Until(id, "running", func(svc *service.Service) bool { return svc.State == service.Running })
}

// UntilGone waits until there is no such service.
func (s *Stage) UntilGone(id uint64) {
	s.t.Helper()
	s.Within(fmt.Sprintf("service %d is gone", id), func() bool { return !s.Engine.View(id, func(*service.Service) {}) })
}
