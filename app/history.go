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
// same data folder takes over: that one then begins beside it, for services cannot wait.
func openHistory(ctx context.Context, o *Options, log *slog.Logger) (*telemetry.History, error) {
	tick := time.NewTicker(historyPatience / 10)
	defer tick.Stop()
	for began := time.Now(); ; {
		h, err := telemetry.OpenHistory(telemetry.HistoryOptions{Dir: filepath.Join(o.DataDir, "metrics"), Retention: o.Metrics.Retain, MaxBytes: o.Metrics.Size,
			Beside: time.Since(began) > historyPatience, Log: log})
		if err == nil {
			return h, nil
		}
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, fmt.Errorf("open the history of metrics: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
