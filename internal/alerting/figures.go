package alerting

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/notify"
)

// figures count for /metrics. They are also the sender's observer.
type figures struct {
	decisions   prometheus.Histogram
	transitions *prometheus.CounterVec // by state
	errands     *prometheus.CounterVec // by outcome
	sent        *prometheus.HistogramVec
	failed      *prometheus.CounterVec
	dead        prometheus.Counter
}

func newFigures(r prometheus.Registerer) *figures {
	f := &figures{
		decisions: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "troupe_alarm_decision_seconds", Help: "How long the decisions of alarm definitions take.",
			Buckets: prometheus.ExponentialBuckets(1e-6, 4, 10)}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "troupe_alarm_transitions_total", Help: "Changes of alarms' states, by the new one."}, []string{"state"}),
		errands:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "troupe_alarm_orders_total", Help: "Orders that alarms gave to services, by outcome: followed or refused."}, []string{"outcome"}),
		sent: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "troupe_notification_seconds", Help: "From a change of an alarm until its notification arrived, by type.",
			Buckets: prometheus.ExponentialBuckets(0.001, 3, 12)}, []string{"type"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "troupe_notification_failures_total", Help: "Tries of notifications that failed, by type."}, []string{"type"}),
		dead:   prometheus.NewCounter(prometheus.CounterOpts{Name: "troupe_notification_dead_total", Help: "Notifications that were given up."}),
	}
	if r != nil {
		r.MustRegister(f.decisions, f.transitions, f.errands, f.sent, f.failed, f.dead)
	}
	return f
}

func (f *figures) decided(took time.Duration, transitions []alarm.Transition) {
	f.decisions.Observe(took.Seconds())
	for i := range transitions {
		if transitions[i].Occasion == alarm.Changed {
			f.transitions.WithLabelValues(transitions[i].To.String()).Inc()
		}
	}
}

func (f *figures) errand(refusal string) {
	outcome := "followed"
	if refusal != "" {
		outcome = "refused"
	}
	f.errands.WithLabelValues(outcome).Inc()
}

// Sent implements notify.Observer.
func (f *figures) Sent(_ *notify.Delivery, t notify.Type, _, latency time.Duration) {
	f.sent.WithLabelValues(string(t)).Observe(latency.Seconds())
}

// Failed implements notify.Observer.
func (f *figures) Failed(_ *notify.Delivery, t notify.Type, _ time.Duration, _ error) {
	f.failed.WithLabelValues(string(t)).Inc()
}

// Dead implements notify.Observer.
func (f *figures) Dead(*notify.Delivery) { f.dead.Inc() }
