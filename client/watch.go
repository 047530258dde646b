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
	// After is the revision of the store after which changes are told; 0 for none of the past.
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
		after, now := o.After, o.Now
		wait := backoff.NewExponentialBackOff()
		wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
		for ctx.Err() == nil {
			done := false
			err := c.watchOnce(ctx, o.Service, after, func(x Change, opened bool) bool {
				wait.Reset()
				if opened {
					begin := now || (after == 0 && o.After != 0)
					now = false
					if after = max(after, x.Revision); !begin {
						return true
					}
					x = Change{Revision: x.Revision, Reset: true}
				}
				after = max(after, x.Revision)
				done = !yield(x, nil) || (o.Service != "" && x.Removed)
				return !done
			})
			if done || ctx.Err() != nil {
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

// watchOnce calls f for each change of one connection, first with opened for the state in which it
// begins. It returns nil when the server ended the stream.
func (c *Client) watchOnce(ctx context.Context, service string, after int64, f func(x Change, opened bool) bool) error {
	q := url.Values{}
	set(q, "service", service)
	r := get("watch").with(q)
	r.stream = true
	r.header = http.Header{"Accept": {"text/event-stream"}}
	if after > 0 {
		r.header.Set("Last-Event-ID", strconv.FormatInt(after, 10))
	}
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
	events := bufio.NewReader(resp.Body)
	for {
		name, data, err := readEvent(events, func() { silence.Reset(silent) })
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		var x Change
		if err := json.Unmarshal(data, &x); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		if !f(x, name == "open") {
			return nil
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
		line, err := r.ReadBytes('\n')
		if err != nil {
			return "", nil, err
		}
		alive()
		if size += len(line); size > maxEvent {
			return "", nil, errors.New("the server sent an event without an end")
		}
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
