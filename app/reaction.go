package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/egress"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/journal"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// Metrics say how samples are kept.
type Metrics struct {
	Retain  time.Duration // how long they are kept; 0 for 15 days
	Size    int64         // bytes of them on disk at most; 0 for no bound
	Forward string        // URL of a remote write receiver that gets them, too; "" for none
	// Measure is how often the machines of drivers that can tell are measured from outside; 0 for 10 s, negative for never.
	Measure time.Duration
	Limits  telemetry.Limits // of one project; zeros for the defaults
	// Concurrent is how many requests of one project are decoded at the same time; 0 for 4.
	Concurrent int
}

// Notifications say how receivers are reached.
type Notifications struct {
	Allow []netip.Prefix     // networks that are open to webhooks although they are this machine's own, or its link's
	Mail  notify.MailOptions // no e-mail without a Server
	// MailPasswordFile holds the password of Mail.User.
	MailPasswordFile string
	Commands         map[string][]string // the operator's programs that methods may name
	Periods          []int               // seconds between repetitions that methods may choose; nil for 60
}

// A reaction is what takes samples in, keeps them, and acts on them.
type reaction struct {
	history *telemetry.History
	forward *telemetry.Forwarder
	intake  *telemetry.Intake
	trail   *journal.Journal[alerting.Entry]
	web     *notify.HTTP
	alerts  *alerting.Alerting
	rules   notify.Rules
}

// react opens it. may is asked which services a user may manage.
func (a *App) react(ctx context.Context, e *engine.Engine, tenure *store.Tenure, registry prometheus.Registerer) (r *reaction, err error) {
	r = new(reaction)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	o, log := &a.opts, a.opts.Log
	if r.history, err = openHistory(ctx, o, log); err != nil {
		return r, err
	}
	if r.trail, err = journal.Open(journal.Options[alerting.Entry]{Name: "alarms", Dir: filepath.Join(o.DataDir, "alarms"), Log: log, Retain: o.AuditRetain}); err != nil {
		return r, err
	}
	transports, err := r.transports(o, a.directory)
	if err != nil {
		return r, err
	}
	r.alerts, err = alerting.New(ctx, alerting.Options{Store: a.store, Tenure: tenure, Vault: a.vault, Engine: e, Past: r.history, Journal: r.trail,
		Transports: transports, May: func(user int, meta *service.Meta) bool { return control.MayManage(a.directory, user, meta) },
		Project: func(tenant int) string { return a.directory.GroupName(tenant) }, Registerer: registry, Log: log.With("part", "alarms")})
	if err != nil {
		return r, err
	}
	intake := telemetry.Options{Sink: r.alerts, History: r.history, Log: log.With("part", "metrics"), Retain: o.Metrics.Retain, Concurrent: o.Metrics.Concurrent,
		Limits: control.MetricLimits(a.directory, o.Metrics.limits()),
		Gone: func(o metric.Origin) bool {
			there := false
			e.View(o.Service, func(s *service.Service) { there = s.Instance(o.Serial) != nil })
			return !there
		}}
	if o.Metrics.Forward != "" {
		r.forward = telemetry.NewForwarder(telemetry.ForwardOptions{URL: o.Metrics.Forward, TenantLabel: "project", Log: log.With("part", "forward")})
		intake.Forward = r.forward
	}
	r.intake = telemetry.NewIntake(intake)
	registry.MustRegister(reactionFigures{r}, journalLost("alarms", r.trail.Lost))
	return r, nil
}

// transports are the ways to receivers that this server has, and the rules for methods that follow from them.
func (r *reaction) transports(o *Options, directory *identity.Directory) (map[notify.Type]notify.Transport, error) {
	n := &o.Notifications
	guard := &egress.Guard{Allow: n.Allow, Setting: "--notify-allow"}
	text := func(ctx context.Context, name, template string, values map[string]any) (string, error) {
		return render.Text(ctx, name, template, &render.Scope{Keys: values})
	}
	r.web = notify.NewHTTP(notify.HTTPOptions{Guard: guard, Render: text, Token: func(_ context.Context, tenant int) (token, project string, err error) {
		token, err = directory.Introduce(tenant)
		if errors.Is(err, identity.ErrNotFound) { // a project of nobody's
			err = nil
		}
		return token, directory.GroupName(tenant), err
	}})
	all := map[notify.Type]notify.Transport{notify.Webhook: r.web, notify.OCCI: r.web, notify.Slack: r.web, notify.PagerDuty: r.web}
	r.rules = notify.Rules{Types: []notify.Type{notify.PagerDuty, notify.Webhook, notify.OCCI, notify.Slack}, Periods: n.Periods, CheckTemplate: render.Check, Guard: guard}
	if r.rules.Periods == nil {
		r.rules.Periods = notify.DefaultPeriods
	}
	if n.Mail.Server != "" {
		mail := n.Mail
		mail.Render = text
		sender, err := notify.NewMail(mail)
		if err != nil {
			return nil, fmt.Errorf("e-mail: %w", err)
		}
		all[notify.Email] = sender
	}
	// Addresses may be stored before there is a mail server: Monasca's clients do so.
	r.rules.Types = append([]notify.Type{notify.Email}, r.rules.Types...)
	if len(n.Commands) > 0 {
		commands := &notify.Commands{Programs: n.Commands}
		all[notify.Command] = commands
		r.rules.Types, r.rules.Commands = append(r.rules.Types, notify.Command), commands.Names()
	}
	return all, nil
}

// run serves until ctx ends.
func (r *reaction) run(ctx context.Context, backends []*engine.Backend, c *control.Control, every time.Duration, log *slog.Logger) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.alerts.Run(gctx) })
	g.Go(func() error { r.intake.Run(gctx); return nil })
	if r.forward != nil {
		g.Go(func() error { r.forward.Run(gctx); return nil })
	}
	if every == 0 {
		every = 10 * time.Second
	}
	for _, b := range backends {
		if m, ok := driver.As[driver.Measurer](b.Driver); ok && every > 0 {
			g.Go(func() error { measure(gctx, b, m, c, every, log); return nil })
		}
	}
	return g.Wait()
}

// measure brings a driver's own figures of its machines to the intake.
func measure(ctx context.Context, b *engine.Backend, m driver.Measurer, c *control.Control, every time.Duration, log *slog.Logger) {
	type seen struct {
		load  telemetry.Load
		at    time.Time
		round int
	}
	before := make(map[driver.MachineID]seen)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for round := 0; ; round++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if s := b.Status(); s.Listed.IsZero() || s.Error != "" {
			continue // it is not there, which its list tells
		}
		for f, err := range m.Measure(ctx) {
			if err != nil {
				log.Warn("the machines of a back end cannot be measured", "backend", b.Key(), "error", err)
				break
			}
			now := time.Now()
			load := telemetry.Load{CPUSeconds: f.CPUSeconds, MemoryBytes: f.MemoryBytes, NetRxBytes: f.NetRxBytes, NetTxBytes: f.NetTxBytes, DiskBytes: f.DiskBytes}
			old := before[f.ID]
			var elapsed time.Duration
			if !old.at.IsZero() {
				elapsed = now.Sub(old.at)
			}
			before[f.ID] = seen{load, now, round}
			c.Measured(f.ID, old.load, load, elapsed, now)
		}
		for id, s := range before { // machines that are gone
			if s.round < round {
				delete(before, id)
			}
		}
	}
}

// close ends it; run must have returned.
func (r *reaction) close() error {
	var errs []error
	if r.web != nil {
		r.web.Close()
	}
	if r.trail != nil {
		errs = append(errs, r.trail.Close())
	}
	if r.history != nil {
		errs = append(errs, r.history.Close())
	}
	return errors.Join(errs...)
}
