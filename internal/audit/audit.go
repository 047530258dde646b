// Package audit keeps the trail of who changed what: JSON lines in rotated files that are only ever
// appended to. Secrets have no place in a Record; the text of a token that slips into one is masked.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Outcomes of an action.
const (
	Done    = "done"
	Denied  = "denied"  // the caller lacks a right
	Refused = "refused" // the request was wrong, or the state did not allow it
	Failed  = "failed"  // the server could not do it
)

// A Record is one line of the trail: what somebody did or tried to do.
type Record struct {
	Time    time.Time `json:"time"`
	Request string    `json:"request,omitempty"` // the request's id
	User    string    `json:"user,omitempty"`
	Project string    `json:"project,omitempty"`
	Face    string    `json:"face,omitempty"`
	Action  string    `json:"action"`           // "service.scale"
	Object  string    `json:"object,omitempty"` // "service 7 role web"
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason,omitempty"`
}

// Options make a Trail. Zero values mean the defaults.
type Options struct {
	Dir    string // made if it does not exist, mode 0700
	Log    *slog.Logger
	Size   int64         // bytes of a file before a new one is begun; 0: 64 MiB
	Age    time.Duration // of a file before a new one is begun; 0: one day
	Retain time.Duration // how long finished files are kept; 0: 90 days, negative: for ever
}

const (
	syncEvery = 100 * time.Millisecond
	queueSize = 1024
	maxField  = 1024 // bytes
)

// A Trail appends records in the background. It is safe for concurrent use.
type Trail struct {
	file  *file
	log   *slog.Logger
	queue chan entry
	lost  atomic.Int64

	mu     sync.RWMutex // read-held while something is put into the queue
	closed bool
	done   chan struct{}
}

// An entry is a record, or the wish to have everything before it on disk.
type entry struct {
	record  Record
	flushed chan<- struct{}
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("audit: the trail is closed")

// Open opens the trail in a folder, after whatever is there.
func Open(opts Options) (*Trail, error) {
	if opts.Size == 0 {
		opts.Size = 64 << 20
	}
	if opts.Age == 0 {
		opts.Age = 24 * time.Hour
	}
	if opts.Retain == 0 {
		opts.Retain = 90 * 24 * time.Hour
	}
	f, err := openFile(opts)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	t := &Trail{file: f, log: opts.Log, queue: make(chan entry, queueSize), done: make(chan struct{})}
	go t.run()
	return t, nil
}

// Append hands a record over to be written; it is on disk within about 100 ms. A zero time becomes
// now. When the disk cannot follow, Append waits rather than drop the record, until ctx ends.
func (t *Trail) Append(ctx context.Context, r Record) error {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	r.Time = r.Time.UTC()
	for _, field := range []*string{&r.Request, &r.User, &r.Project, &r.Face, &r.Action, &r.Object, &r.Outcome, &r.Reason} {
		*field = clean(*field)
	}
	return t.put(ctx, entry{record: r})
}

// Flush waits until everything that was appended before is on disk, or was found impossible to write.
func (t *Trail) Flush(ctx context.Context) error {
	flushed := make(chan struct{})
	if err := t.put(ctx, entry{flushed: flushed}); err != nil {
		return err
	}
	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *Trail) put(ctx context.Context, e entry) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return ErrClosed
	}
	select {
	case t.queue <- e:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("audit: the disk does not follow: %w", ctx.Err())
	}
}

// Lost returns how many records could not be written because the disk refused them.
func (t *Trail) Lost() int64 { return t.lost.Load() }

// Close writes what is queued and closes the file.
func (t *Trail) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		<-t.done
		return nil
	}
	t.closed = true
	close(t.queue)
	t.mu.Unlock()
	<-t.done
	if err := t.file.close(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// run writes what comes through the queue until it is closed. What comes together is written
// together, and synced 100 ms after its first record, or at once when somebody waits.
func (t *Trail) run() {
	defer close(t.done)
	due := time.NewTimer(syncEvery)
	due.Stop()
	pending := false // a sync is due
	for open := true; open; {
		select {
		case e, ok := <-t.queue:
			var b batch
			var waiting chan<- struct{}
			waiting, open = t.collect(&b, e, ok)
			t.write(&b)
			switch {
			case waiting != nil || !open:
				t.sync()
				due.Stop()
				pending = false
			case !pending:
				due.Reset(syncEvery)
				pending = true
			}
			if waiting != nil {
				close(waiting)
			}
		case <-due.C:
			t.sync()
			pending = false
		}
	}
}

// collect takes in the entry and all that are queued behind it, up to one that somebody waits for.
// It reports whether the queue is still open.
func (t *Trail) collect(b *batch, e entry, open bool) (waiting chan<- struct{}, _ bool) {
	for open {
		if e.flushed != nil {
			return e.flushed, true
		}
		b.add(e.record)
		if b.count >= queueSize {
			return nil, true
		}
		select {
		case e, open = <-t.queue:
		default:
			return nil, true
		}
	}
	return nil, false
}

// batch is encoded records that are written at once.
type batch struct {
	lines []byte
	count int64
}

func (b *batch) add(r Record) {
	line, _ := json.Marshal(r) // texts and a time always marshal
	b.lines = append(append(b.lines, line...), '\n')
	b.count++
}

func (t *Trail) write(b *batch) {
	if b.count == 0 {
		return
	}
	if lost := t.lost.Load(); lost > t.file.confessed {
		// The gap is part of the trail once it can be written again.
		gap := batch{}
		gap.add(Record{Time: time.Now().UTC(), Action: "audit.gap", Outcome: Failed,
			Reason: fmt.Sprintf("%d records could not be written", lost-t.file.confessed)})
		if t.file.write(gap.lines) == nil {
			t.file.confessed = lost
		}
	}
	if err := t.file.write(b.lines); err != nil {
		t.lost.Add(b.count)
		t.log.Error("audit records cannot be written; make room in the audit folder", "records", b.count, "error", err)
	}
}

func (t *Trail) sync() {
	if err := t.file.sync(); err != nil {
		t.log.Error("audit records may not be on disk", "error", err)
	}
}

// tokenText matches API tokens (see package identity).
var tokenText = regexp.MustCompile(`(trp_[a-z2-7]{13}_)[a-z2-7]{20,}`)

// clean masks tokens and shortens.
func clean(s string) string {
	if strings.Contains(s, "trp_") {
		s = tokenText.ReplaceAllString(s, "${1}***")
	}
	if len(s) <= maxField {
		return s
	}
	cut := maxField
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
