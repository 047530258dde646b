package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The file in use is NAME.jsonl; finished ones carry the time of their end in the name, NAME-TIME.jsonl,
// so that names sort by age.
const (
	suffix   = ".jsonl"
	nameTime = "20060102T150405.000000000Z"
)

// files are where and how long records are kept.
type files struct {
	name, dir   string
	size        int64
	age, retain time.Duration
	began       func(firstLine []byte) (time.Time, error)
	log         *slog.Logger
}

func (o *files) current() string { return filepath.Join(o.dir, o.name+suffix) }

// A file is the growing end of the journal. Only the journal's goroutine uses it.
type file struct {
	files
	f         *os.File
	written   int64 // of what was written whole
	begun     time.Time
	confessed int64 // lost records that the journal tells of
}

func openFile(o files) (*file, error) {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	f := &file{files: o}
	if err := f.open(); err != nil {
		return nil, err
	}
	f.prune(time.Now())
	return f, nil
}

// open opens the current file after its last whole line: a crash may have left half a one.
func (f *file) open() error {
	h, err := os.OpenFile(f.current(), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	whole, err := wholeLines(h)
	if err == nil {
		err = h.Truncate(whole)
	}
	if err != nil {
		h.Close()
		return err
	}
	f.f, f.written, f.begun = h, whole, time.Now()
	if first, err := firstLine(h); err == nil {
		if at, err := f.began(first); err == nil {
			f.begun = at
		}
	}
	return nil
}

// wholeLines returns the offset after the last line that is complete.
func wholeLines(h *os.File) (int64, error) {
	info, err := h.Stat()
	if err != nil {
		return 0, err
	}
	end := info.Size()
	buf := make([]byte, blockSize)
	for end > 0 {
		start := max(end-blockSize, 0)
		n, err := h.ReadAt(buf[:end-start], start)
		if err != nil && n == 0 {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// write appends whole lines, or nothing: what a full disk took in part is cut off again.
func (f *file) write(lines []byte) error {
	if now := time.Now(); f.f == nil || f.written > 0 && (f.written+int64(len(lines)) > f.size || now.Sub(f.begun) >= f.age) {
		if err := f.rotate(now); err != nil {
			return err
		}
	}
	n, err := f.f.Write(lines)
	if err == nil {
		f.written += int64(n)
		return nil
	}
	if cut := f.f.Truncate(f.written); cut != nil {
		err = errors.Join(err, cut)
	}
	return err
}

// rotate finishes the current file and begins a new one. If the old one cannot be put aside, it
// goes on growing.
func (f *file) rotate(now time.Time) error {
	if f.f != nil {
		if err := f.close(); err != nil {
			f.log.Error(f.name+" file: not all of it may be on disk", "error", err)
		}
		name := filepath.Join(f.dir, f.name+"-"+now.UTC().Format(nameTime)+suffix)
		if err := os.Rename(f.current(), name); err != nil {
			f.log.Error(f.name+" file: cannot be put aside", "error", err)
		}
		f.prune(now)
	}
	if err := f.open(); err != nil {
		return fmt.Errorf("open the %s file: %w", f.name, err)
	}
	return nil
}

func (f *file) sync() error {
	if f.f == nil {
		return nil
	}
	return f.f.Sync()
}

func (f *file) close() error {
	if f.f == nil {
		return nil
	}
	err := errors.Join(f.f.Sync(), f.f.Close())
	f.f = nil
	return err
}

// prune removes finished files that are past their retention.
func (f *file) prune(now time.Time) {
	if f.retain < 0 {
		return
	}
	names, err := f.finished()
	for _, name := range names {
		ended, bad := time.Parse(nameTime, strings.TrimSuffix(strings.TrimPrefix(name, f.name+"-"), suffix))
		if bad == nil && now.Sub(ended) > f.retain {
			err = errors.Join(err, os.Remove(filepath.Join(f.dir, name)))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.log.Error("old "+f.name+" files cannot be removed", "error", err)
	}
}

// finished returns the names of finished files, oldest first.
func (o *files) finished() ([]string, error) {
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); strings.HasPrefix(n, o.name+"-") && strings.HasSuffix(n, suffix) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}
