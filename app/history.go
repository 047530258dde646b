package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"syscall"
	"time"

	"github.com/troupe-dev/troupe/internal/telemetry"
)

// historyPatience is how long the history may be held by the server before: one that was killed lets go of it at once.
const historyPatience = time.Second

// openHistory opens the history of metrics. A server that stalls past its lease still holds it when a standby with the
// same data folder takes over: that one then keeps a history of its own until its next start, for services cannot wait.
func openHistory(ctx context.Context, o *Options, log *slog.Logger) (*telemetry.History, error) {
	open := func(name string) (*telemetry.History, error) {
		h, err := telemetry.OpenHistory(telemetry.HistoryOptions{Dir: filepath.Join(o.DataDir, name), Retention: o.Metrics.Retain, MaxBytes: o.Metrics.Size, Log: log})
		if err != nil {
			return nil, fmt.Errorf("open the history of metrics: %w", err)
		}
		return h, nil
	}
	tick := time.NewTicker(historyPatience / 10)
	defer tick.Stop()
	for began := time.Now(); ; {
		h, err := open("metrics")
		if !errors.Is(err, syscall.EAGAIN) {
			return h, err
		}
		if time.Since(began) > historyPatience {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	name := "metrics-" + time.Now().UTC().Format("20060102T150405")
	log.Warn("another server still holds the history of metrics; this one keeps its own until it is started again", "folder", filepath.Join(o.DataDir, name))
	return open(name)
}
