package telemetry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
)

// ErrHistoryAway is wrapped while history can be neither read nor written: it is being opened anew, or its disk does not let it
// be opened.
var ErrHistoryAway = errors.New("the history of metrics cannot be read now; try again in a moment")

// A base is what history lies in: the database of samples, and their value_meta.
type base struct {
	dir   string
	db    *tsdb.DB
	metas *metaLog
}

const samplesDir, metaDir = "samples", "meta"

// never is when the database would write by itself: it does so on a goroutine of its own, where it panics when the disk is full.
const never = 100 * 365 * 24 * time.Hour

// openBase opens what lies in a folder; syscall.EAGAIN means that another process has it.
func openBase(o *HistoryOptions, dir string) (b *base, err error) {
	d := tsdb.DefaultOptions()
	d.RetentionDuration = o.Retention.Milliseconds()
	d.MaxBytes = o.MaxBytes
	d.OutOfOrderTimeWindow = o.Retention.Milliseconds() // samples may come as late as they are worth keeping
	d.MinBlockDuration = o.Block.Milliseconds()
	d.MaxBlockDuration = max(o.Block.Milliseconds(), min(31*24*time.Hour, o.Retention/10).Milliseconds())
	d.WALCompression = compression.Snappy
	d.StripeSize = 2048 // locks for a few cores; the default takes 2 MB
	d.BlockReloadInterval = never
	b = &base{dir: dir}
	err = guarded(func() error {
		b.db, err = tsdb.Open(filepath.Join(dir, samplesDir), o.Log.With("part", "history"), o.Registerer, d, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open history in %s: %w", dir, err)
	}
	b.db.DisableCompactions()
	if b.metas, err = openMetaLog(filepath.Join(dir, metaDir), o.MetaBytes); err != nil {
		return nil, errors.Join(fmt.Errorf("open history in %s: %w", dir, err), guarded(b.db.Close))
	}
	return b, nil
}

func (b *base) close() error { return errors.Join(b.metas.close(), guarded(b.db.Close)) }

var errGaveUp = errors.New("the database gave up")

// guarded turns what the database panics with, when the disk does not take its chunks, into an error. After that its writer is gone,
// so that closing it panics, too, and leaves its log open: upkeep tries the disk before it lets chunks be written.
func guarded(do func() error) (err error) {
	defer func() {
		switch x := recover().(type) {
		case nil:
		case error:
			err = fmt.Errorf("%w: %w", errGaveUp, x)
		default:
			panic(x)
		}
	}()
	return do()
}

// ofDisk reports whether an error is the disk's, which may get better.
func ofDisk(err error) bool {
	for _, x := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.EFBIG} {
		if errors.Is(err, x) {
			return true
		}
	}
	return false
}

// open opens history for the first time.
func (h *History) open() error {
	b, err := openBase(&h.o, h.o.Dir)
	if h.o.Beside && errors.Is(err, syscall.EAGAIN) {
		dir := h.o.Dir + "-" + time.Now().UTC().Format("20060102T150405.000")
		h.o.Log.Warn("another server still holds the history of metrics; this one keeps its own until that is free, and then joins them", "folder", dir)
		b, err = openBase(&h.o, dir)
	}
	if err == nil {
		h.base = b
		return nil
	}
	if !ofDisk(err) {
		return err
	}
	h.fault(err, true)
	return nil
}

// hold keeps base from being replaced until release is called. It never waits.
func (h *History) hold() (b *base, release func(), err error) {
	if !h.use.TryRLock() {
		return nil, nil, ErrHistoryAway
	}
	if h.base == nil {
		defer h.use.RUnlock()
		if why := h.faulty.Load(); why != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrHistoryAway, why.err)
		}
		return nil, nil, ErrHistoryAway
	}
	return h.base, h.use.RUnlock, nil
}

// A fault is why nothing is recorded. Torn says that a write failed half-way: the database must be opened anew.
type fault struct {
	err  error
	torn bool
}

// fault notes that nothing can be recorded.
func (h *History) fault(err error, torn bool) {
	next := &fault{err, torn}
	for old := h.faulty.Load(); old == nil || torn && !old.torn; old = h.faulty.Load() {
		if !h.faulty.CompareAndSwap(old, next) {
			continue
		}
		if old == nil {
			h.o.Log.Error("the history of metrics is not written; it is tried again", "folder", h.o.Dir, "error", err)
		}
		return
	}
}

// forget lets go of what is known of series in base.
func (h *History) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.known {
		x.Store(nil)
	}
}

// A heldQuerier reads a base that stays until it is closed.
type heldQuerier struct {
	storage.Querier
	closed  atomic.Bool
	release func()
}

// Close implements storage.Querier.
func (q *heldQuerier) Close() error {
	if q.closed.Swap(true) {
		return nil
	}
	defer q.release()
	return q.Querier.Close()
}

// querier opens the database for [from, to], in milliseconds.
func (h *History) querier(from, to int64) (storage.Querier, error) {
	b, release, err := h.hold()
	if err != nil {
		return nil, err
	}
	q, err := b.db.Querier(from, to)
	if err != nil {
		release()
		return nil, fmt.Errorf("open history: %w", err)
	}
	return &heldQuerier{Querier: q, release: release}, nil
}

// meta returns the value_meta of one sample, or nil.
func (h *History) meta(key uint64, time int64) map[string]string {
	b, release, err := h.hold()
	if err != nil {
		return nil
	}
	defer release()
	return b.metas.get(key, time)
}

// room says whether the folder takes something: a full disk, a quota and a broken disk all show.
func room(dir string, reserve int64) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	var st syscall.Statfs_t
	if reserve > 0 && syscall.Statfs(dir, &st) == nil {
		if free := int64(st.Bavail) * int64(st.Bsize); free < reserve {
			return fmt.Errorf("%w: %d MB are free in %s, and %d MB are left to others", syscall.ENOSPC, free>>20, dir, reserve>>20)
		}
	}
	return nil
}

// probe tries to write.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 1<<20))
	return errors.Join(err, f.Sync(), f.Close())
}
