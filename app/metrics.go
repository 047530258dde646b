package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/troupe-dev/troupe/internal/store"
)

// storeFigures shows the figures of the store to Prometheus.
type storeFigures struct{ store *store.Store }

var (
	storeSize    = prometheus.NewDesc("troupe_store_bytes", "Size of the database file, and of what it holds.", []string{"of"}, nil)
	storeFull    = prometheus.NewDesc("troupe_store_full", "1 when the database has reached its quota.", nil, nil)
	storeWaiting = prometheus.NewDesc("troupe_store_transactions", "Transactions that wait, and merged ones that are out.", []string{"state"}, nil)
	storeCommits = prometheus.NewDesc("troupe_store_commits_total", "Transactions by result.", []string{"result"}, nil)
	storeGroups  = prometheus.NewDesc("troupe_store_groups_total", "Merged transactions that carried them.", nil, nil)
	storeWrites  = prometheus.NewDesc("troupe_store_writes_total", "Keys written or deleted.", nil, nil)
)

// Describe implements prometheus.Collector.
func (storeFigures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{storeSize, storeFull, storeWaiting, storeCommits, storeGroups, storeWrites} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f storeFigures) Collect(ch chan<- prometheus.Metric) {
	s := f.store.Stats()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(storeSize, float64(s.Size), "file")
	gauge(storeSize, float64(s.InUse), "used")
	full := 0.0
	if s.Full {
		full = 1
	}
	gauge(storeFull, full)
	gauge(storeWaiting, float64(s.Waiting), "waiting")
	gauge(storeWaiting, float64(s.InFlight), "out")
	count(storeCommits, s.Commits, "ok")
	count(storeCommits, s.Conflicts, "conflict")
	count(storeCommits, s.Ambiguous, "unanswered")
	count(storeCommits, s.Errors, "error")
	count(storeGroups, s.Groups)
	count(storeWrites, s.Writes)
}

// journalLost counts the records that a journal's disk did not take.
func journalLost(name string, lost func() int64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "troupe_journal_lost_total", Help: "Records that the disk did not take.",
		ConstLabels: prometheus.Labels{"journal": name}}, func() float64 { return float64(lost()) })
}
