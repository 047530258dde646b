package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/troupe-dev/troupe/internal/service"
)

// Metrics count what the engine does.
type Metrics struct {
	commits  *prometheus.HistogramVec
	services *prometheus.GaugeVec
	calls    *prometheus.HistogramVec
}

// NewMetrics registers the engine's metrics; with nil they are counted and not shown.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		commits: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "troupe_commit_seconds",
			Help: "Time from a decision to its durable commit.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}, []string{"result"}),
		services: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "troupe_services", Help: "Services by state."}, []string{"state"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "troupe_driver_call_seconds",
			Help: "Driver calls by back end, call and class of error.", Buckets: prometheus.ExponentialBuckets(0.001, 3, 10)}, []string{"backend", "call", "class"}),
	}
	if r != nil {
		r.MustRegister(m.commits, m.services, m.calls)
	}
	return m
}

func (m *Metrics) commit(took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.commits.WithLabelValues(result).Observe(took.Seconds())
}

func (m *Metrics) state(s service.State, by float64) {
	m.services.WithLabelValues(s.String()).Add(by)
}

func (m *Metrics) call(backend, name, class string, took time.Duration) {
	m.calls.WithLabelValues(backend, name, class).Observe(took.Seconds())
}
