package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	lookEvery  = time.Second // at the room that there is, and whether a folder has become free
	writeEvery = time.Minute // full chunks go to disk, and blocks are made
	joined     = ".joined"   // ends the names of folders whose samples have been taken over
	joining    = "joining"   // is the folder of blocks on their way
)

// upkeep does what the database would do by itself, watches over the disk, and joins folders, until ctx ends.
func (h *History) upkeep(ctx context.Context) {
	defer close(h.done)
	look, write := time.NewTicker(lookEvery), time.NewTicker(writeEvery)
	defer look.Stop()
	defer write.Stop()
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = lookEvery, 30*time.Second
	var next time.Time
	h.joinOthers(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-write.C:
			h.write(ctx)
			h.joinOthers(ctx)
		case now := <-look.C:
			full := room(h.o.Dir, h.o.Reserve)
			switch {
			case full != nil:
				h.fault(full, false)
			case h.faulty.Load() != nil && !now.Before(next):
				next = now.Add(pause.NextBackOff())
				h.recover(ctx)
			case h.faulty.Load() == nil:
				pause.Reset()
				h.moveHome(ctx)
			}
		}
	}
}

// write brings full chunks from memory to disk, and makes blocks of them.
func (h *History) write(ctx context.Context) {
	if h.base == nil || h.faulty.Load() != nil {
		return
	}
	db := h.base.db // nobody else replaces it
	if err := probe(h.base.dir); err != nil {
		h.fault(fmt.Errorf("write samples: %w", err), false)
		return
	}
	err := guarded(func() error {
		db.ForceHeadMMap()
		return db.Compact(ctx)
	})
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, errGaveUp):
		h.fault(fmt.Errorf("write samples: %w", err), true)
	default: // they stay in the log, and are recorded further
		h.o.Log.Error("a block of the history of metrics cannot be made", "error", err)
	}
}

// recover goes on if the disk takes something again. After a write that failed half-way it opens the database anew: what would follow in
// its log could not be read after a restart.
func (h *History) recover(ctx context.Context) {
	why := h.faulty.Load()
	if probe(h.o.Dir) != nil {
		return
	}
	if !why.torn {
		if h.faulty.CompareAndSwap(why, nil) {
			h.o.Log.Info("the history of metrics is written again")
		}
		return
	}
	err := h.replace(ctx, func(old *base) (*base, error) {
		dir := h.o.Dir
		if old != nil {
			dir = old.dir
			if err := old.close(); err != nil {
				h.o.Log.Warn("the history of metrics was not closed in order", "error", err)
			}
		}
		return openBase(&h.o, dir)
	})
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		h.o.Log.Error("the history of metrics cannot be opened again", "error", err)
		return
	}
	h.faulty.Store(nil)
	h.o.Log.Info("the history of metrics is written again")
}

// replace waits until nobody uses base, and replaces it. No base is left when that fails.
func (h *History) replace(ctx context.Context, with func(old *base) (*base, error)) error {
	for !h.use.TryLock() { // to wait for the lock would hold up whoever wants to read
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer h.use.Unlock()
	old := h.base
	h.base = nil
	b, err := with(old)
	if err != nil {
		return err
	}
	h.base = b
	h.forget()
	return nil
}

// moveHome goes on in the folder that another process held, once it is free.
func (h *History) moveHome(ctx context.Context) {
	if h.base == nil || h.base.dir == h.o.Dir || busy(h.o.Dir) {
		return
	}
	home, err := openBase(&h.o, h.o.Dir)
	if errors.Is(err, syscall.EAGAIN) {
		return
	}
	if err != nil {
		h.o.Log.Error("the history of metrics is free, and cannot be opened", "folder", h.o.Dir, "error", err)
		return
	}
	var beside *base
	if err := h.replace(ctx, func(old *base) (*base, error) { beside = old; return home, nil }); err != nil {
		_ = home.close()
		return
	}
	if err := beside.close(); err != nil {
		h.o.Log.Warn("the history of metrics was not closed in order", "folder", beside.dir, "error", err)
	}
	h.o.Log.Info("the history of metrics is free again", "folder", h.o.Dir)
	h.joinOthers(ctx)
}

// joinOthers takes over what servers have recorded beside this folder, and removes theirs.
func (h *History) joinOthers(ctx context.Context) {
	if h.base == nil || h.base.dir != h.o.Dir || h.faulty.Load() != nil {
		return
	}
	others, _ := filepath.Glob(h.o.Dir + "-[0-9]*T[0-9]*") // the pattern is good
	for _, dir := range others {
		if ctx.Err() != nil {
			return
		}
		if strings.HasSuffix(dir, joined) {
			_ = os.RemoveAll(dir)
			continue
		}
		if busy(dir) {
			continue
		}
		err := h.join(ctx, dir)
		switch info, gone := os.Stat(dir); {
		case err == nil || errors.Is(err, syscall.EAGAIN) || ctx.Err() != nil:
		case gone == nil && time.Since(info.ModTime()) > h.o.Retention:
			h.o.Log.Warn("metrics that could not be joined to the others are past their time, and removed", "folder", dir, "error", err)
			_ = os.RemoveAll(dir)
		default:
			h.o.Log.Error("metrics that were recorded beside the others cannot be joined to them yet", "folder", dir, "error", err)
		}
	}
}

// busy reports whether a process has the database of a folder open.
func busy(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, samplesDir, "lock"), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

// join takes over what lies in another folder. Interrupted, it can be done again: samples that are there twice count once.
func (h *History) join(ctx context.Context, dir string) error {
	own := h.o
	own.Registerer = nil
	other, err := openBase(&own, dir)
	if err != nil {
		return err
	}
	on := filepath.Join(h.o.Dir, joining)
	err = errors.Join(os.RemoveAll(on), os.MkdirAll(on, 0o700))
	if err == nil {
		err = guarded(func() error { return other.db.Snapshot(on, other.db.Head().NumSeries() > 0) })
	}
	if err = errors.Join(err, other.close()); err != nil {
		return errors.Join(err, os.RemoveAll(on))
	}
	if err := h.adopt(on); err != nil {
		return err
	}
	// With the late samples written out, the database looks at its folder again.
	if err := guarded(func() error { return h.base.db.CompactOOOHead(ctx) }); err != nil {
		return err
	}
	if err := h.base.metas.join(filepath.Join(dir, metaDir)); err != nil {
		return err
	}
	if err := os.Rename(dir, dir+joined); err != nil { // at once, so that no half of it is ever joined
		return err
	}
	h.o.Log.Info("metrics that were recorded beside the others are joined to them", "folder", dir)
	return os.RemoveAll(dir + joined)
}

// adopt moves blocks into the database's folder. They are marked as late ones: the others go on from where they were.
func (h *History) adopt(from string) error {
	blocks, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		name := filepath.Join(from, b.Name(), "meta.json")
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var meta tsdb.BlockMeta
		if err := json.Unmarshal(text, &meta); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		meta.Compaction.SetOutOfOrder()
		if text, err = json.Marshal(&meta); err != nil {
			return err
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return err
		}
		to := filepath.Join(h.o.Dir, samplesDir, b.Name())
		if _, err := os.Stat(to); err == nil {
			continue // it came the last time
		}
		if err := os.Rename(filepath.Join(from, b.Name()), to); err != nil {
			return err
		}
	}
	return os.RemoveAll(from)
}
