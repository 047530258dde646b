package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/troupe-dev/troupe/internal/telemetry"
)

// reactionFigures shows to Prometheus how intake, history and forwarding are.
type reactionFigures struct{ *reaction }

var (
	metricSeries   = prometheus.NewDesc("troupe_metric_series", "Series in memory, of all projects.", nil, nil)
	metricSamples  = prometheus.NewDesc("troupe_metric_samples_total", "Samples that came, by what became of them.", []string{"outcome"}, nil)
	historyBytes   = prometheus.NewDesc("troupe_history_bytes", "Size of the history of metrics on disk.", nil, nil)
	historyFailing = prometheus.NewDesc("troupe_history_failing", "1 while samples cannot be recorded.", nil, nil)
	historyWaiting = prometheus.NewDesc("troupe_history_waiting_samples", "Samples that wait in memory to be recorded.", nil, nil)
	historyLost    = prometheus.NewDesc("troupe_history_lost_samples_total", "Samples that there was no room for while history failed.", nil, nil)
	forwardQueued  = prometheus.NewDesc("troupe_forward_queued_samples", "Samples that wait to be forwarded.", nil, nil)
	forwardSamples = prometheus.NewDesc("troupe_forward_samples_total", "Forwarded samples, by result.", []string{"result"}, nil)
	forwardFailed  = prometheus.NewDesc("troupe_forward_failures_total", "Requests to the receiver of forwarded samples that failed.", nil, nil)
)

// Describe implements prometheus.Collector.
func (r reactionFigures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{metricSeries, metricSamples, historyBytes, historyFailing, historyWaiting, historyLost, forwardQueued, forwardSamples, forwardFailed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (r reactionFigures) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	h := r.intake.Health()
	gauge(metricSeries, float64(h.Series))
	count(metricSamples, h.Taken, "taken")
	h.Counts.Each(func(reason telemetry.Reason, n uint64) { count(metricSamples, n, reason.String()) })
	past := r.history.Health()
	gauge(historyBytes, float64(past.DiskBytes))
	failing := 0.0
	if h.History.Failing != nil || past.Failing != nil {
		failing = 1
	}
	gauge(historyFailing, failing)
	gauge(historyWaiting, float64(h.History.Waiting))
	count(historyLost, h.History.Lost)
	if r.forward == nil {
		return
	}
	f := r.forward.Health()
	gauge(forwardQueued, float64(f.Queued))
	count(forwardSamples, f.Sent, "sent")
	count(forwardSamples, f.Dropped, "dropped")
	count(forwardFailed, f.Failed)
}
