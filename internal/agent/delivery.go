package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// A target is where reports go. It is used by one goroutine.
type target interface {
	// post sends a JSON array of measurements. An *AnswerError says what the other side did not like.
	post(ctx context.Context, body []byte) error
	String() string // for people; no secrets
}

// An AnswerError is an answer other than success.
type AnswerError struct {
	Status int
	Text   string        // what the other side said
	After  time.Duration // not before that, says the other side; 0 when it does not
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("answered %d: %s", e.Status, e.Text)
}

// content reports whether it is the measurements that the other side does not like: trying again is of no use.
func (e *AnswerError) content() bool {
	return e.Status == 400 || e.Status == 413 || e.Status == 422
}

const (
	batchSize    = 1000             // measurements in a request
	postTimeout  = 10 * time.Second // as Monasca's agent
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
	longestAfter = 5 * time.Minute
	farewell     = 3 * time.Second // for what is left when the agent ends
	maxRefusals  = 20              // requests with refused parts of one batch
)

// A delivery takes reports from the backlog to the target, and repeats until they are there.
type delivery struct {
	target  target
	backlog *backlog
	log     *slog.Logger
	took    atomic.Int64 // nanoseconds of the last request that succeeded

	failing  time.Time // since when; zero: all is well
	reminded time.Time // when the log last said so
}

// run delivers until the context ends; then it tries once more to send what is left, the newest first.
func (d *delivery) run(ctx context.Context) {
	pause := &backoff.ExponentialBackOff{
		InitialInterval: firstPause, MaxInterval: longestPause, Multiplier: 2, RandomizationFactor: 0.5,
	}
	pause.Reset()
	for ctx.Err() == nil {
		err := d.batch(ctx)
		switch {
		case errors.Is(err, errNothing):
			select {
			case <-ctx.Done():
			case <-d.backlog.wake:
			}
		case err == nil:
			d.recovered()
			pause.Reset()
		case ctx.Err() == nil:
			d.failed(err)
			sleep(ctx, max(pause.NextBackOff(), after(err)))
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	for d.batch(last) == nil {
	}
	if n := d.backlog.waiting(); n > 0 {
		d.log.Warn("ends with measurements that were not delivered", "count", n)
	}
}

// errNothing means that the backlog is empty.
var errNothing = errors.New("nothing to deliver")

// batch sends one, or returns it to the backlog.
func (d *delivery) batch(ctx context.Context) error {
	parts := d.backlog.take(batchSize)
	if len(parts) == 0 {
		return errNothing
	}
	var lines []byte
	for i := range parts {
		text, err := parts[i].lines()
		if err != nil { // cannot be: the agent itself packed it
			d.log.Error("a report in the backlog cannot be read", "error", err)
			continue
		}
		lines = append(lines, text...)
	}
	refusals := maxRefusals
	err := d.send(ctx, lines, &refusals)
	if err != nil {
		d.backlog.giveBack(parts)
	}
	return err
}

// send posts lines. When the target does not like some of them, it finds these by halves, and drops them: nobody could
// ever deliver them, and they must not hold up the others.
func (d *delivery) send(ctx context.Context, lines []byte, refusals *int) error {
	if len(lines) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, postTimeout)
	began := time.Now()
	err := d.target.post(limited, array(lines))
	cancel()
	answer := (*AnswerError)(nil)
	switch {
	case err == nil:
		d.took.Store(int64(time.Since(began)))
		return nil
	case !errors.As(err, &answer) || !answer.content():
		return err
	}
	*refusals--
	middle := halfway(lines)
	if middle == len(lines) || *refusals <= 0 {
		d.log.Warn("measurements are refused and dropped", "by", d.target, "count", bytes.Count(lines, []byte("\n")), "error", answer,
			"first", string(lines[:min(bytes.IndexByte(lines, '\n'), 300)]))
		return nil
	}
	if err := d.send(ctx, lines[:middle], refusals); err != nil {
		return err
	}
	return d.send(ctx, lines[middle:], refusals)
}

// halfway returns the end of the line in the middle; all when there is but one line.
func halfway(lines []byte) int {
	if at := bytes.LastIndexByte(lines[:len(lines)/2], '\n'); at >= 0 {
		return at + 1
	}
	return bytes.IndexByte(lines, '\n') + 1
}

// failed logs the first failure, and once a minute that it goes on.
func (d *delivery) failed(err error) {
	now := time.Now()
	if d.failing.IsZero() {
		d.failing = now
	}
	if d.reminded.IsZero() || now.Sub(d.reminded) >= time.Minute {
		d.reminded = now
		d.log.Warn("cannot deliver; will go on trying", "to", d.target, "error", err, "waiting", d.backlog.waiting(),
			"since", d.failing.Format(time.RFC3339), "dropped", d.backlog.dropped())
	}
}

func (d *delivery) recovered() {
	if d.failing.IsZero() {
		return
	}
	d.log.Info("delivers again", "to", d.target, "after", time.Since(d.failing).Round(time.Second),
		"waiting", d.backlog.waiting(), "dropped", d.backlog.dropped())
	d.failing, d.reminded = time.Time{}, time.Time{}
}

// after is how long the other side asks to wait.
func after(err error) time.Duration {
	if answer := (*AnswerError)(nil); errors.As(err, &answer) {
		return min(answer.After, longestAfter)
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
