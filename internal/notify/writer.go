package notify

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// MaxBatch is how many changes a Queue gets together.
	MaxBatch = 100
	// A write that fails is tried again after this time, for as long as it takes.
	rewritePause = time.Second
	// Close waits so long for the last writes.
	flushTimeout = 5 * time.Second
)

// A writer brings changes of records to the queue in batches, behind the sends: what is lost in a crash
// is only that something has arrived, and it arrives again. A later change of a record replaces one that
// still waits.
type writer struct {
	queue  Queue
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	stop   chan struct{}
	wake   chan struct{}

	mu      sync.Mutex
	changes map[string]change
	busy    int // changes that are being written
}

type change struct {
	d    Delivery
	gone bool
}

func newWriter(q Queue, log *slog.Logger) *writer {
	w := &writer{queue: q, log: log, stop: make(chan struct{}), wake: make(chan struct{}, 1), changes: map[string]change{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

func (w *writer) start() { w.done.Go(w.run) }

// close writes what waits, as far as that is possible in time.
func (w *writer) close() {
	close(w.stop)
	limit := time.AfterFunc(flushTimeout, w.cancel)
	w.done.Wait()
	limit.Stop()
	w.cancel()
	if n := w.waiting(); n > 0 {
		w.log.Warn("notifications: records could not be written before the end; what they tell of may be sent again", "records", n)
	}
}

func (w *writer) write(d Delivery)  { w.change(change{d, false}) }
func (w *writer) remove(d Delivery) { w.change(change{d, true}) }

func (w *writer) change(c change) {
	w.mu.Lock()
	w.changes[c.d.ID] = c
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.changes) + w.busy
}

func (w *writer) run() {
	for {
		// Before the flush: what came until the stop is in it.
		stopping := closedNow(w.stop)
		if w.flush() {
			if stopping {
				return
			}
			select {
			case <-w.wake:
			case <-w.stop:
			}
			continue
		}
		pause := time.NewTimer(rewritePause)
		select {
		case <-pause.C:
		case <-w.ctx.Done():
			pause.Stop()
			return
		}
	}
}

func closedNow(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// flush writes all that waits, batch by batch, and reports whether all went well.
func (w *writer) flush() bool {
	for {
		write, remove := w.batch()
		if len(write)+len(remove) == 0 {
			return true
		}
		err := w.queue.Apply(w.ctx, write, remove)
		w.settle(write, remove, err)
		if err != nil {
			w.log.Warn("notifications: write records; trying again", "records", len(write)+len(remove), "error", err)
			return false
		}
	}
}

func (w *writer) batch() (write, remove []Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, c := range w.changes {
		if len(write)+len(remove) == MaxBatch {
			break
		}
		if c.gone {
			remove = append(remove, c.d)
		} else {
			write = append(write, c.d)
		}
		delete(w.changes, id)
	}
	w.busy = len(write) + len(remove)
	return write, remove
}

// settle puts changes back that were not written, unless newer ones came.
func (w *writer) settle(write, remove []Delivery, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = 0
	if err == nil {
		return
	}
	for _, d := range write {
		if _, newer := w.changes[d.ID]; !newer {
			w.changes[d.ID] = change{d, false}
		}
	}
	for _, d := range remove {
		if _, newer := w.changes[d.ID]; !newer {
			w.changes[d.ID] = change{d, true}
		}
	}
}
