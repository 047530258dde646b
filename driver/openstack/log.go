package openstack

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/troupe-dev/troupe/driver"
)

// followEvery is how often a console is read that somebody follows: Nova has no stream of it.
const followEvery = 2 * time.Second

// Logs returns what the machine's console shows, as far as its host keeps it. Errors are not told from other output.
func (c *cloud) Logs(ctx context.Context, ref driver.Ref, o driver.LogOptions) (driver.LogReader, error) {
	s, err := c.connect(ctx)
	var server *servers.Server
	if err == nil {
		server, err = c.known(ctx, s, ref.ID)
	}
	var text []byte
	if err == nil {
		text, err = console(ctx, s, server.ID, o.Tail)
	}
	if err != nil {
		return nil, failed(err, "console of %s", ref.ID)
	}
	if !o.Follow {
		return io.NopCloser(bytes.NewReader(text)), nil
	}
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.CloseWithError(follow(ctx, s, server.ID, text, w))
	}()
	return &followed{r, cancel, ended}, nil
}

// A followed log ends with its context, or when it is closed.
type followed struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
}

// Close ends it and waits for whoever writes to it.
func (f *followed) Close() error {
	f.cancel()
	err := f.PipeReader.Close()
	<-f.ended
	return err
}

// follow writes a console and what is added to it until ctx ends.
func follow(ctx context.Context, s *services, id string, text []byte, w io.Writer) error {
	stop := context.AfterFunc(ctx, func() { _ = w.(io.Closer).Close() })
	defer stop()
	if _, err := w.Write(append(bytes.TrimSuffix(text, []byte("\n")), '\n')); err != nil {
		return nil
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now, err := console(ctx, s, id, 0)
		if err != nil {
			if ctx.Err() != nil || missing(err) {
				return nil
			}
			return failed(err, "console of server %s", id)
		}
		if more := added(text, now); len(more) > 0 {
			if _, err := w.Write(more); err != nil {
				return nil
			}
		}
		text = now
	}
}

// added returns what a console shows now that it did not before. What it has lost at its beginning is no matter.
func added(before, now []byte) []byte {
	if len(before) == 0 {
		return now
	}
	end := before[max(0, len(before)-1024):]
	if i := bytes.LastIndex(now, end); i >= 0 {
		return now[i+len(end):]
	}
	return now
}

// console reads the last lines of a console; 0 for all.
func console(ctx context.Context, s *services, id string, tail int) ([]byte, error) {
	text, err := servers.ShowConsoleOutput(ctx, s.nova, id, servers.ShowConsoleOutputOpts{Length: tail}).Extract()
	return []byte(text), err
}
