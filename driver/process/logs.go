//go:build linux

package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// Logs returns what the machine printed in all its runs, as far as it is kept. With Follow the reader goes on until
// ctx ends, it is closed or the machine is destroyed.
func (h *host) Logs(ctx context.Context, ref driver.Ref, opts driver.LogOptions) (driver.LogReader, error) {
	f := h.folder(ref.ID)
	if p, err := f.plan(); errors.Is(err, fs.ErrNotExist) || !h.owns(p, err) {
		return nil, fmt.Errorf("process: logs of %s: %w", ref.ID, driver.ErrNotFound)
	}
	r := &logReader{dir: f.logs(), stderr: opts.Stderr, follow: opts.Follow}
	var err error
	if opts.Follow {
		// Before the first look at the files, so that nothing comes between.
		if r.changes, err = watchFolder(r.dir); err != nil {
			return nil, fmt.Errorf("process: logs of %s: %w", ref.ID, err)
		}
		r.stop = context.AfterFunc(ctx, func() { r.changes.SetReadDeadline(past) })
	}
	if err := r.seek(opts.Tail); err != nil {
		r.Close()
		return nil, fmt.Errorf("process: logs of %s: %w", ref.ID, err)
	}
	return r, nil
}

func watchFolder(dir string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("follow: %w", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_DELETE); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("follow %s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), "inotify"), nil
}

// A logReader turns the files of a log into the text that was printed.
type logReader struct {
	dir    string
	stderr bool // only the error output
	follow bool

	changes *os.File    // inotify, when it follows
	stop    func() bool // of the context's hold on changes

	number int
	file   *os.File
	lines  *bufio.Reader
	half   []byte // the start of a line that is not written wholly yet
	text   []byte // to be read
}

// seek goes to the start, or to the last tail lines of what the reader wants.
func (r *logReader) seek(tail int) error {
	type place struct {
		number int
		offset int64
	}
	var starts []place
	all := logNumbers(r.dir)
	fresh := true // the next record starts a line
	for _, number := range all {
		if tail <= 0 {
			break
		}
		err := scan(logName(r.dir, number), func(offset int64, tag byte) {
			if !r.wants(tag) {
				return
			}
			if fresh {
				starts = append(starts, place{number, offset})
			}
			if len(starts) > 2*tail+1000 {
				starts = append(starts[:0], starts[len(starts)-tail:]...)
			}
			fresh = unicode.IsLower(rune(tag))
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(starts) > 0 {
		first := starts[max(0, len(starts)-tail)]
		return r.open(first.number, first.offset)
	}
	if len(all) > 0 {
		return r.open(all[0], 0)
	}
	return nil
}

// scan calls f for each record of a file.
func scan(name string, f func(offset int64, tag byte)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReader(file)
	offset := int64(0)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what is left is not written wholly yet
		}
		if err != nil {
			return err
		}
		f(offset, line[0])
		offset += int64(len(line))
	}
}

func (r *logReader) wants(tag byte) bool {
	return !r.stderr || tag == errorOutput || tag == errorOutput-('a'-'A')
}

func (r *logReader) open(number int, offset int64) error {
	f, err := os.Open(logName(r.dir, number))
	if err != nil {
		return err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return err
	}
	if r.file != nil {
		r.file.Close()
	}
	r.file, r.number, r.lines, r.half = f, number, bufio.NewReader(f), nil
	return nil
}

// Read returns the next text. It is not for use by several goroutines at once.
func (r *logReader) Read(b []byte) (int, error) {
	for len(r.text) == 0 {
		more, err := r.fill()
		if err != nil {
			return 0, err
		}
		if more {
			continue
		}
		if !r.follow {
			return 0, io.EOF
		}
		if _, err := r.changes.Read(make([]byte, 4096)); err != nil {
			return 0, io.EOF
		}
		// An open file keeps its folder from being reported as gone, so the name has to tell.
		if _, err := os.Stat(r.dir); err != nil {
			return 0, io.EOF
		}
	}
	n := copy(b, r.text)
	r.text = r.text[n:]
	return n, nil
}

// fill reads one record, or goes on to the next file. It returns false when there is nothing more for now.
func (r *logReader) fill() (bool, error) {
	if r.lines != nil {
		line, err := r.lines.ReadBytes('\n')
		r.half = append(r.half, line...)
		if err == nil {
			r.decode()
			return true, nil
		}
		if !errors.Is(err, io.EOF) {
			return false, err
		}
	}
	for _, n := range logNumbers(r.dir) {
		if n <= r.number {
			continue
		}
		if r.lines != nil {
			// This file grows no more; what came between the look at its end and now is read first.
			line, err := r.lines.ReadBytes('\n')
			r.half = append(r.half, line...)
			if err == nil {
				r.decode()
				return true, nil
			}
		}
		err := r.open(n, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue // rotated away
		}
		return err == nil, err
	}
	return false, nil
}

func (r *logReader) decode() {
	line := r.half
	r.half = nil
	if !r.wants(line[0]) {
		return
	}
	if unicode.IsUpper(rune(line[0])) {
		line = line[:len(line)-1]
	}
	r.text = line[1:]
}

// Close ends the reading.
func (r *logReader) Close() error {
	if r.stop != nil {
		r.stop()
	}
	if r.changes != nil {
		r.changes.Close()
	}
	if r.file != nil {
		r.file.Close()
	}
	return nil
}
