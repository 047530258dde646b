package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the server's own figures. Routes are patterns, so their number is bounded.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "troupe_http_requests_total", Help: "Requests answered, by face, route and status code."},
			[]string{"face", "route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "troupe_http_request_duration_seconds", Help: "Time from the header to the end of the answer, by face and route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}},
			[]string{"face", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "troupe_http_requests_in_flight", Help: "Requests that are being answered, streams included."}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.inFlight} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(face, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(face, route, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(face, route).Observe(took.Seconds())
}
