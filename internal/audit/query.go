package audit

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

// A Filter chooses records; empty fields match everything.
type Filter struct {
	User, Project, Face, Action, Object, Outcome, Request string
	Since                                                 time.Time
}

func (f Filter) matches(r *Record) bool {
	for _, pair := range [...][2]string{{f.User, r.User}, {f.Project, r.Project}, {f.Face, r.Face}, {f.Action, r.Action},
		{f.Object, r.Object}, {f.Outcome, r.Outcome}, {f.Request, r.Request}} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	return true
}

// Last returns the n last records that match, newest first, what was appended before included. It
// reads the files backwards and no further than needed.
func (t *Trail) Last(ctx context.Context, n int, filter Filter) (out []Record, err error) {
	if err := t.Flush(ctx); err != nil {
		return nil, err
	}
	take := func(r *Record) bool {
		if n <= len(out) || r.Time.Before(filter.Since) {
			return false
		}
		if filter.matches(r) {
			out = append(out, *r)
		}
		return len(out) < n
	}
	// The file in use is opened before the others are listed: if it is put aside between the two,
	// it is met again and passed over, but never missed.
	dir := t.file.opts.Dir
	newest, err := os.Open(filepath.Join(dir, currentName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("audit: %w", err)
	}
	var seen os.FileInfo
	if err == nil {
		defer newest.Close()
		if seen, err = newest.Stat(); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		if more, err := readBackwards(ctx, newest, take); err != nil || !more {
			return out, err
		}
	}
	names, err := finishedFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	for _, name := range slices.Backward(names) {
		more, err := readFinished(ctx, filepath.Join(dir, name), seen, take)
		if err != nil || !more {
			return out, err
		}
	}
	return out, nil
}

// readFinished reads a file backwards, unless it is the one that was seen or was pruned meanwhile.
func readFinished(ctx context.Context, path string, seen os.FileInfo, yield func(*Record) bool) (more bool, err error) {
	h, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("audit: %w", err)
	}
	defer h.Close()
	if info, err := h.Stat(); err == nil && seen != nil && os.SameFile(info, seen) {
		return true, nil
	}
	return readBackwards(ctx, h, yield)
}

// readBackwards calls yield for each record from the last to the first, until it returns false. It
// passes over lines that are no records.
func readBackwards(ctx context.Context, h *os.File, yield func(*Record) bool) (more bool, err error) {
	info, err := h.Stat()
	if err != nil {
		return false, fmt.Errorf("audit: %w", err)
	}
	line := func(text []byte) bool {
		var r Record
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
			return false, fmt.Errorf("audit: %w", err)
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

func firstRecord(h io.ReaderAt) (r Record, err error) {
	text, err := bufio.NewReader(io.NewSectionReader(h, 0, blockSize)).ReadBytes('\n')
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}
