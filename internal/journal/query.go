package journal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const blockSize = 64 << 10

// Last returns the n last records that match and are not older than since, newest first, what was appended
// before included. It reads the files backwards and no further than needed.
func (t *Journal[R]) Last(ctx context.Context, n int, since time.Time, match func(*R) bool) (out []R, err error) {
	err = t.Backwards(ctx, func(r *R) bool {
		if n <= len(out) || (*r).At().Before(since) {
			return false
		}
		if match(r) {
			out = append(out, *r)
		}
		return len(out) < n
	})
	return out, err
}

// Backwards calls take for each record from the last to the first, until it returns false.
func (t *Journal[R]) Backwards(ctx context.Context, take func(*R) bool) error {
	if err := t.backwards(ctx, take); err != nil {
		return fmt.Errorf("%s: %w", t.opts.Name, err)
	}
	return nil
}

func (t *Journal[R]) backwards(ctx context.Context, take func(*R) bool) error {
	if err := t.Flush(ctx); err != nil {
		return err
	}
	// The file in use is opened before the others are listed: if it is put aside between the two,
	// it is met again and passed over, but never missed.
	newest, err := os.Open(t.file.current())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var seen os.FileInfo
	if err == nil {
		defer newest.Close()
		if seen, err = newest.Stat(); err != nil {
			return err
		}
		if more, err := readBackwards(ctx, newest, take); err != nil || !more {
			return err
		}
	}
	names, err := t.file.finished()
	if err != nil {
		return err
	}
	for _, name := range slices.Backward(names) {
		more, err := readFinished(ctx, filepath.Join(t.file.dir, name), seen, take)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// readFinished reads a file backwards, unless it is the one that was seen or was pruned meanwhile.
func readFinished[R Stamped](ctx context.Context, path string, seen os.FileInfo, yield func(*R) bool) (more bool, err error) {
	h, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer h.Close()
	if info, err := h.Stat(); err == nil && seen != nil && os.SameFile(info, seen) {
		return true, nil
	}
	return readBackwards(ctx, h, yield)
}

// readBackwards calls yield for each record from the last to the first, until it returns false. It
// passes over lines that are no records.
func readBackwards[R Stamped](ctx context.Context, h *os.File, yield func(*R) bool) (more bool, err error) {
	info, err := h.Stat()
	if err != nil {
		return false, err
	}
	line := func(text []byte) bool {
		var r R
		return len(text) == 0 || json.Unmarshal(text, &r) != nil || yield(&r)
	}
	var tail []byte // the beginning of a line whose end was read already
	for end := info.Size(); end > 0; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		start := max(end-blockSize, 0)
		block := make([]byte, end-start, int(end-start)+len(tail))
		if _, err := h.ReadAt(block, start); err != nil && err != io.EOF {
			return false, err
		}
		block = append(block, tail...)
		for {
			i := bytes.LastIndexByte(block, '\n')
			if i < 0 {
				break
			}
			if !line(block[i+1:]) {
				return false, nil
			}
			block = block[:i]
		}
		tail, end = block, start
	}
	return line(tail), nil
}

func firstLine(h io.ReaderAt) ([]byte, error) {
	return bufio.NewReader(io.NewSectionReader(h, 0, blockSize)).ReadBytes('\n')
}
