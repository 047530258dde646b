package telemetry

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A recording hands points to history, and bears with it when it fails: says so once, keeps a bounded backlog, and
// tries again.
type recording struct {
	to    Recorder
	limit int
	log   *slog.Logger

	failing atomic.Bool // so that the usual way takes no lock
	mu      sync.Mutex
	err     error
	since   time.Time
	next    time.Time // of the next try
	pause   *backoff.ExponentialBackOff
	waiting []metric.Point
	lost    uint64
	errors  uint64
}

// RecordHealth is how history fares.
type RecordHealth struct {
	Failing error // nil when all is well
	Since   time.Time
	Errors  uint64 // failed tries, since the start
	Waiting int    // samples in memory
	Lost    uint64 // samples that no room was left for
}

func (r *recording) health() RecordHealth {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RecordHealth{Failing: r.err, Since: r.since, Errors: r.errors, Waiting: len(r.waiting), Lost: r.lost}
}

// append records points, or keeps them. Without points it only tries again what waits.
func (r *recording) append(points []metric.Point, now time.Time) {
	if r.to == nil || len(points) == 0 && !r.failing.Load() {
		return
	}
	if !r.failing.Load() {
		if err := r.to.Append(points); err != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.fail(err, now)
			r.hold(points)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil { // it recovered meanwhile
		if err := r.to.Append(points); err != nil {
			r.fail(err, now)
			r.hold(points)
		}
		return
	}
	r.hold(points)
	if now.Before(r.next) {
		return
	}
	if err := r.to.Append(r.waiting); err != nil {
		r.fail(err, now)
		return
	}
	r.log.Info("history records again", "after", now.Sub(r.since).Round(time.Second), "recorded", len(r.waiting), "lost", r.lost)
	clear(r.waiting)
	r.err, r.waiting = nil, nil
	r.failing.Store(false)
}

// fail notes an error: the first of a row is logged.
func (r *recording) fail(err error, now time.Time) {
	r.errors++
	if r.err == nil {
		r.log.Error("history cannot record; alarms go on, and it will be tried again", "error", err)
		r.since = now
		r.pause = backoff.NewExponentialBackOff()
		r.pause.InitialInterval, r.pause.MaxInterval = time.Second, 30*time.Second
	}
	r.err, r.next = err, now.Add(r.pause.NextBackOff())
	r.failing.Store(true)
}

// hold keeps points for another try; when room is short the new ones are lost.
func (r *recording) hold(points []metric.Point) {
	n := min(len(points), max(0, r.limit-len(r.waiting)))
	r.waiting = append(r.waiting, points[:n]...)
	r.lost += uint64(len(points) - n)
}

func (r *recording) forget(s *metric.Series) {
	if r.to != nil {
		r.to.Forget(s)
	}
}
