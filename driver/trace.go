package driver

import (
	"context"
	"log/slog"
	"time"
)

// An Observer is told of each call that reached a driver: its name, how long it took and how it ended.
// A list's time includes its consumer's. It must be safe for concurrent use, and fast.
type Observer func(call string, took time.Duration, err error)

// Trace logs each call of d at level debug and tells observe of it. Either may be nil.
func Trace(d Driver, log *slog.Logger, observe Observer) Driver {
	return Intercept(d, trace(log, observe))
}

func trace(log *slog.Logger, observe Observer) Around {
	return func(ctx context.Context, call *Call, do func(context.Context) error) error {
		began := time.Now()
		err := do(ctx)
		took := time.Since(began)
		if observe != nil {
			observe(call.Name, took, err)
		}
		if log == nil || !log.Enabled(ctx, slog.LevelDebug) {
			return err
		}
		attrs := []slog.Attr{slog.String("call", call.Name), slog.Duration("took", took)}
		if call.ID != "" {
			attrs = append(attrs, slog.String("machine", string(call.ID)))
		}
		if call.Action != "" {
			attrs = append(attrs, slog.String("action", string(call.Action)))
		}
		if err != nil {
			attrs = append(attrs, slog.String("class", Class(err)), slog.String("error", err.Error()))
		}
		log.LogAttrs(ctx, slog.LevelDebug, "driver call", attrs...)
		return err
	}
}
