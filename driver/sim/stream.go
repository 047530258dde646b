package sim

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/troupe-dev/troupe/driver"
)

// mostPending bounds what a stream keeps for a reader that does not read: beyond it, the stream breaks,
// and its reader lists again.
const mostPending = 4 << 20

// A stream collects the machines that have changed until its reader comes for them.
type stream struct {
	only    *machine // nil for all
	pending []*machine
	broken  bool
	ready   chan struct{} // holds one token while there is something to look at
}

func (c *Cloud) subscribe(t *tenant, only *machine) *stream {
	s := &stream{only: only, ready: make(chan struct{}, 1)}
	c.mu.Lock()
	t.streams = append(t.streams, s)
	c.mu.Unlock()
	return s
}

func (c *Cloud) unsubscribe(t *tenant, s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.streams = slices.DeleteFunc(slices.Clone(t.streams), func(other *stream) bool { return other == s })
}

// add is called with the lock held.
func (s *stream) add(m *machine) {
	if s.broken || s.only != nil && s.only != m {
		return
	}
	if len(s.pending) == mostPending {
		s.pending, s.broken = nil, true
	} else {
		s.pending = append(s.pending, m)
	}
	s.signal()
}

func (s *stream) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// take returns what has changed since the last call, as it is now.
func (c *Cloud) take(s *stream, to []driver.Machine) ([]driver.Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.broken {
		return nil, fmt.Errorf("sim: watch: %w: its reader fell behind by %d changes", driver.ErrUnavailable, mostPending)
	}
	n := min(len(s.pending), portion)
	for _, m := range s.pending[:n] {
		to = append(to, m.show())
	}
	clear(s.pending[:n])
	if s.pending = s.pending[n:]; len(s.pending) == 0 {
		s.pending = nil
	}
	return to, nil
}

func (a *account) Watch(ctx context.Context, emit func(driver.Machine)) error {
	c := a.cloud
	s := c.subscribe(a.tenant, nil)
	defer c.unsubscribe(a.tenant, s)
	buffer := make([]driver.Machine, 0, portion)
	s.signal() // look once: an outage may have begun since the call was let in
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ready:
		}
		for {
			if c.outage.Load() {
				return errOutage("watch")
			}
			changed, err := c.take(s, buffer[:0])
			if err != nil {
				return err
			}
			if len(changed) == 0 {
				break
			}
			for _, m := range changed {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				emit(m)
			}
		}
	}
}

// Logs tells the machine's line and its state, and with follow each new state until it is gone.
func (a *account) Logs(ctx context.Context, ref driver.Ref, opts driver.LogOptions) (driver.LogReader, error) {
	c := a.cloud
	c.mu.Lock()
	m, err := a.find(ref)
	if err != nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("sim: logs of %s: %w", ref.ID, err)
	}
	var lines []string
	if m.more != nil && m.more.print != "" && !opts.Stderr {
		lines = append(lines, m.more.print+"\n")
	}
	if !opts.Stderr {
		lines = append(lines, "simulated machine is "+m.state.String()+"\n")
	}
	c.mu.Unlock()
	if opts.Tail > 0 && len(lines) > opts.Tail {
		lines = lines[len(lines)-opts.Tail:]
	}
	r := &logReader{ctx: ctx, cloud: c, tenant: a.tenant, closed: make(chan struct{})}
	for _, line := range lines {
		r.text = append(r.text, line...)
	}
	if opts.Follow {
		r.stream = c.subscribe(a.tenant, m)
	}
	return r, nil
}

type logReader struct {
	ctx    context.Context
	cloud  *Cloud
	tenant *tenant
	stream *stream // nil when it does not follow
	text   []byte
	gone   bool
	closed chan struct{}
}

func (r *logReader) Read(p []byte) (int, error) {
	for len(r.text) == 0 {
		if r.stream == nil || r.gone {
			return 0, io.EOF
		}
		select {
		case <-r.ctx.Done():
			return 0, io.EOF
		case <-r.closed:
			return 0, io.ErrClosedPipe
		case <-r.stream.ready:
		}
		changed, err := r.cloud.take(r.stream, nil)
		if err != nil {
			return 0, err
		}
		for _, m := range changed {
			r.text = append(r.text, "simulated machine is "+m.State.String()+"\n"...)
			r.gone = r.gone || m.State == driver.Gone
		}
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// Close ends the stream, and a Read that waits. It is called once.
func (r *logReader) Close() error {
	if r.stream != nil {
		r.cloud.unsubscribe(r.tenant, r.stream)
	}
	close(r.closed)
	return nil
}
