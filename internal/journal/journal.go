// Package journal keeps records as JSON lines in rotated files that are only ever appended to.
package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// A Stamped record knows its time.
type Stamped interface{ At() time.Time }

// Options make a Journal. Zero values mean the defaults.
type Options[R Stamped] struct {
	Name   string // of the files and in messages: "audit"
	Dir    string // made if it does not exist, mode 0700
	Log    *slog.Logger
	Size   int64         // bytes of a file before a new one is begun; 0: 64 MiB
	Age    time.Duration // of a file before a new one is begun; 0: one day
	Retain time.Duration // how long finished files are kept; 0: 90 days, negative: for ever
	// Gap makes a record that tells how many could not be written; nil tells nothing.
	Gap func(lost int64) R
}

const (
	syncEvery = 100 * time.Millisecond
	queueSize = 1024
)

// A Journal appends records in the background. It is safe for concurrent use.
type Journal[R Stamped] struct {
	opts  Options[R]
	file  *file
	log   *slog.Logger
	queue chan entry[R]
	lost  atomic.Int64

	mu     sync.RWMutex // read-held while something is put into the queue
	closed bool
	done   chan struct{}
}

// An entry is a record, or the wish to have everything before it on disk.
type entry[R Stamped] struct {
	record  R
	flushed chan<- struct{}
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the journal is closed")

// Open opens the journal in a folder, after whatever is there.
func Open[R Stamped](opts Options[R]) (*Journal[R], error) {
	if opts.Size == 0 {
		opts.Size = 64 << 20
	}
	if opts.Age == 0 {
		opts.Age = 24 * time.Hour
	}
	if opts.Retain == 0 {
		opts.Retain = 90 * 24 * time.Hour
	}
	f, err := openFile(files{name: opts.Name, dir: opts.Dir, size: opts.Size, age: opts.Age, retain: opts.Retain, began: timeOf[R], log: opts.Log})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", opts.Name, err)
	}
	t := &Journal[R]{opts: opts, file: f, log: opts.Log, queue: make(chan entry[R], queueSize), done: make(chan struct{})}
	go t.run()
	return t, nil
}

// timeOf reads the time of a line.
func timeOf[R Stamped](line []byte) (time.Time, error) {
	var r R
	err := json.Unmarshal(line, &r)
	return r.At(), err
}

// Append hands a record over to be written; it is on disk within about 100 ms. When the disk cannot
// follow, Append waits rather than drop the record, until ctx ends.
func (t *Journal[R]) Append(ctx context.Context, r R) error {
	return t.put(ctx, entry[R]{record: r})
}

// Flush waits until everything that was appended before is on disk, or was found impossible to write.
func (t *Journal[R]) Flush(ctx context.Context) error {
	flushed := make(chan struct{})
	if err := t.put(ctx, entry[R]{flushed: flushed}); err != nil {
		return err
	}
	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *Journal[R]) put(ctx context.Context, e entry[R]) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return ErrClosed
	}
	select {
	case t.queue <- e:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: the disk does not follow: %w", t.opts.Name, ctx.Err())
	}
}

// Lost returns how many records could not be written because the disk refused them.
func (t *Journal[R]) Lost() int64 { return t.lost.Load() }

// Close writes what is queued and closes the file.
func (t *Journal[R]) Close() error {
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
		return fmt.Errorf("%s: %w", t.opts.Name, err)
	}
	return nil
}

// run writes what comes through the queue until it is closed. What comes together is written
// together, and synced 100 ms after its first record, or at once when somebody waits.
func (t *Journal[R]) run() {
	defer close(t.done)
	due := time.NewTimer(syncEvery)
	due.Stop()
	pending := false // a sync is due
	for open := true; open; {
		select {
		case e, ok := <-t.queue:
			var b batch[R]
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
func (t *Journal[R]) collect(b *batch[R], e entry[R], open bool) (waiting chan<- struct{}, _ bool) {
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
type batch[R Stamped] struct {
	lines []byte
	count int64
}

func (b *batch[R]) add(r R) {
	line, _ := json.Marshal(r) // texts, numbers and times always marshal
	b.lines = append(append(b.lines, line...), '\n')
	b.count++
}

func (t *Journal[R]) write(b *batch[R]) {
	if b.count == 0 {
		return
	}
	if lost := t.lost.Load(); lost > t.file.confessed {
		// The gap is part of the journal once it can be written again.
		var gap batch[R]
		if t.opts.Gap != nil {
			gap.add(t.opts.Gap(lost - t.file.confessed))
		}
		if t.file.write(gap.lines) == nil {
			t.file.confessed = lost
		}
	}
	if err := t.file.write(b.lines); err != nil {
		t.lost.Add(b.count)
		t.log.Error("records cannot be written; make room in the folder", "journal", t.opts.Name, "folder", t.opts.Dir, "records", b.count, "error", err)
	}
}

func (t *Journal[R]) sync() {
	if err := t.file.sync(); err != nil {
		t.log.Error("records may not be on disk", "journal", t.opts.Name, "error", err)
	}
}
