package alerting

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/egress"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/journal"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tenant = 5

// A stage is an engine on a simulated back end, an intake with history, and alerting on both.
type stage struct {
	t       *testing.T
	memory  *store.Memory
	cloud   *sim.Cloud
	dir     string
	store   *store.Store
	engine  *engine.Engine
	alerts  *Alerting
	intake  *telemetry.Intake
	hooks   chan string // bodies that the receiver got
	url     string
	stopAll func()
	stamp   int64 // of the newest sample, milliseconds
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, memory: store.NewMemory(), cloud: sim.NewCloud(sim.Options{Guarantee: driver.Token}), dir: t.TempDir(), hooks: make(chan string, 100)}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		if _, err := r.Body.Read(body); err != nil && r.ContentLength > int64(len(body)) {
			t.Error(err)
		}
		s.hooks <- string(body)
	}))
	t.Cleanup(receiver.Close)
	s.url = receiver.URL
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (s *stage) start() {
	s.t.Helper()
	ctx := context.Background()
	s.store = must[*store.Store](s.t)(store.Open(ctx, store.Options{Memory: s.memory}))
	tenure := must[*store.Tenure](s.t)(s.store.Acquire(ctx))
	kind := s.cloud.Kind()
	d := must[driver.Driver](s.t)(kind.New(ctx, driver.Config{Installation: s.store.Installation().ID}))
	s.engine = must[*engine.Engine](s.t)(engine.New(ctx, engine.Options{Store: s.store, Tenure: tenure,
		Backends: []*engine.Backend{{Kind: kind, Driver: driver.Wrap(d, kind, driver.WrapOptions{})}}}))
	history := must[*telemetry.History](s.t)(telemetry.OpenHistory(telemetry.HistoryOptions{Dir: s.dir + "/history", Log: slog.New(slog.DiscardHandler)}))
	trail := must[*journal.Journal[Entry]](s.t)(journal.Open(journal.Options[Entry]{Name: "alarms", Dir: s.dir + "/alarms"}))
	web := notify.NewHTTP(notify.HTTPOptions{Guard: &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	s.alerts = must[*Alerting](s.t)(New(ctx, Options{Store: s.store, Tenure: tenure, Engine: s.engine, Past: history, Journal: trail,
		Transports: map[notify.Type]notify.Transport{notify.Webhook: web}}))
	s.intake = telemetry.NewIntake(telemetry.Options{Sink: s.alerts, History: history})
	run, cancel := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- s.engine.Run(run) }()
	go func() { ended <- s.alerts.Run(run) }()
	s.stopAll = func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				s.t.Error(err)
			}
		}
		web.Close()
		if err := trail.Close(); err != nil {
			s.t.Error(err)
		}
		if err := history.Close(); err != nil {
			s.t.Error(err)
		}
		s.store.Close()
	}
}

func (s *stage) stop() {
	if s.stopAll != nil {
		s.stopAll()
		s.stopAll = nil
	}
}

// push sends one sample as a user of the project.
func (s *stage) push(name string, value float64, dimensions map[string]string) {
	s.t.Helper()
	s.pushAs(&telemetry.Binding{Tenant: tenant, MayClaim: func(metric.Origin) bool { return true }}, name, value, dimensions)
}

func (s *stage) pushAs(who *telemetry.Binding, name string, value float64, dimensions map[string]string) {
	s.t.Helper()
	b := telemetry.NewBatch()
	defer b.Free()
	text := ""
	for k, v := range dimensions {
		text += fmt.Sprintf("%q:%q,", k, v)
	}
	if text != "" {
		text = text[:len(text)-1]
	}
	s.stamp = max(s.stamp+1, time.Now().UnixMilli()) // a second sample of one millisecond would not count
	body := fmt.Sprintf(`{"name":%q,"value":%g,"timestamp":%d,"dimensions":{%s}}`, name, value, s.stamp, text)
	if err := telemetry.DecodeMonasca(b, []byte(body)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.intake.Write(who, b, time.Now()); err != nil {
		s.t.Fatal(err)
	}
}

// webhook makes a method that tells the stage's receiver.
func (s *stage) webhook() string {
	s.t.Helper()
	m, err := s.alerts.PutMethod(s.t.Context(), tenant, "", func(m *notify.Method) error {
		m.Name, m.Type, m.Address, m.Extra = "hook", notify.Webhook, s.url, true
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return m.ID
}

func (s *stage) define(d alarm.Definition) Definition {
	s.t.Helper()
	d.Tenant, d.ActionsEnabled = tenant, true
	if d.Severity == "" {
		d.Severity = "LOW"
	}
	return must[Definition](s.t)(s.alerts.Define(s.t.Context(), 0, d))
}

// service deploys a service of simulated roles.
func (s *stage) service(id uint64, spec *service.Spec) {
	s.t.Helper()
	for n := range spec.Roles {
		r := &spec.Roles[n]
		r.Heal, r.Identity, r.OnGone, r.Restart = service.HealAuto, service.New, service.Replace, service.Always
		r.Machine.Implementations = []service.Implementation{{Driver: "sim"}}
	}
	spec.Strategy = service.Straight
	if err := service.Validate(spec); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.engine.Create(s.t.Context(), service.NewService(id, spec, service.Meta{Name: spec.Name, Group: tenant}, time.Now()), store.Txn{}); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the service runs", func() bool {
		ok := false
		s.engine.View(id, func(svc *service.Service) { ok = svc.State == service.Running })
		return ok
	})
}

// eventually waits for something that happens by itself.
func (s *stage) eventually(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatal("not so: " + what)
		}
	}
}

// told waits for the next notification.
func (s *stage) told() string {
	s.t.Helper()
	select {
	case body := <-s.hooks:
		return body
	case <-time.After(30 * time.Second):
		s.t.Fatal("no notification came")
		return ""
	}
}
