package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// WatchOptions choose what is watched.
type WatchOptions struct {
	Service string // one service; "" for all that the caller may use
	// After is the revision of the store after which changes are told, those of that revision
	// again; 0 for none of the past.
	After int64
	// Now asks for a Change of Reset at the beginning, when the watch stands: what is read then and
	// the changes that follow miss nothing.
	Now bool
}

// Watch yields changes of services as they are committed, until ctx ends. It connects again by itself
// and goes on where it was; when changes were missed meanwhile it yields one with Reset. The watch of
// one service ends after the change that says it was removed. It yields an error only where another
// attempt would not help, and ends then.
func (c *Client) Watch(ctx context.Context, o WatchOptions) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		w := watcher{client: c, options: o, after: o.After, seen: map[uint64]bool{}}
		wait := backoff.NewExponentialBackOff()
		wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
		for ctx.Err() == nil {
			err := w.once(ctx, func(x Change) bool {
				wait.Reset()
				return yield(x, nil)
			})
			if w.done || ctx.Err() != nil {
				return
			}
			if again, _ := repeat(call{}, err); err != nil && !again {
				yield(Change{}, err)
				return
			}
			select {
			case <-time.After(wait.NextBackOff()):
			case <-ctx.Done():
			}
		}
	}
}

// A watcher is a watch over any number of connections.
type watcher struct {
	client  *Client
	options WatchOptions
	begun   bool
	done    bool
	after   int64           // revision of the last change
	seen    map[uint64]bool // services whose change of that revision was told
}

// tell passes a change on, unless it was told before the connection broke: a watch that goes on begins
// with all changes of its last revision again. It reports whether more is wanted.
func (w *watcher) tell(name string, x Change, f func(Change) bool) bool {
	switch {
	case name == "open":
		first := !w.begun
		w.begun = true
		if w.after == 0 {
			w.after = x.Revision
		}
		if first && w.options.Now && !f(Change{Revision: x.Revision, Reset: true}) {
			w.done = true
		}
		return !w.done
	case x.Revision != w.after:
		w.after = x.Revision
		clear(w.seen)
	case w.seen[x.Service] && !x.Reset:
		return true
	}
	w.seen[x.Service] = true
	w.done = !f(x) || (w.options.Service != "" && x.Removed)
	return !w.done
}

// once watches over one connection. It returns nil when the server ended the stream.
func (w *watcher) once(ctx context.Context, f func(Change) bool) error {
	q := url.Values{}
	set(q, "service", w.options.Service)
	r := get("watch").with(q)
	if w.after > 0 {
		r.header = http.Header{"Last-Event-Id": {strconv.FormatInt(w.after, 10)}}
	}
	return w.client.events(ctx, r, func(name string, data []byte) (bool, error) {
		var x Change
		if err := json.Unmarshal(data, &x); err != nil {
			return false, fmt.Errorf("watch: %w", err)
		}
		return w.tell(name, x, f), nil
	})
}

// events passes the events of one connection on while f wants more. It returns nil when f wants no more, the server
// ended the stream or was silent for too long, or ctx is done.
func (c *Client) events(ctx context.Context, r call, f func(name string, data []byte) (more bool, err error)) error {
	r.stream = true
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header.Set("Accept", "text/event-stream")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, _, err := c.try(ctx, r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// A server that is there sends at least a comment every 15 s.
	silence := time.AfterFunc(silent, cancel)
	defer silence.Stop()
	body := bufio.NewReader(resp.Body)
	for {
		name, data, err := readEvent(body, func() { silence.Reset(silent) })
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		if more, err := f(name, data); err != nil || !more {
			return err
		}
	}
}

const (
	silent   = 45 * time.Second
	maxEvent = 16 << 20 // bytes
)

// readEvent reads one server-sent event.
func readEvent(r *bufio.Reader, alive func()) (name string, data []byte, err error) {
	size := 0
	for {
		line, err := readLine(r, maxEvent-size)
		if err != nil {
			return "", nil, err
		}
		alive()
		size += len(line)
		line = bytes.TrimRight(line, "\r\n")
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, value...)
		case "":
			if len(line) == 0 && data != nil {
				return name, data, nil
			}
			if len(line) == 0 {
				name, size = "", 0
			}
		}
	}
}

// readLine reads a line of at most so many bytes.
func readLine(r *bufio.Reader, most int) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > most {
			return nil, errors.New("the server sent an event without an end")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
