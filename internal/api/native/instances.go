package native

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// Numbered is the path of an instance.
type Numbered struct {
	Named
	Serial uint32 `path:"serial" maximum:"4294967295" doc:"Number of the instance within the service."`
}

type listInstances struct {
	Named
	Paging
	Role  string `query:"role"`
	Phase string `query:"phase" doc:"Such as up."`
}

func (f *face) listInstances(_ context.Context, who *identity.Caller, in *listInstances) (*answer[client.Page[client.Instance]], error) {
	id, err := f.resolve(who, &in.Named)
	if err != nil {
		return nil, err
	}
	if err := knownPhase(in.Phase); err != nil {
		return nil, err
	}
	after, err := in.after()
	if err != nil {
		return nil, err
	}
	from := uint64(0)
	if after != "" {
		if from, err = strconv.ParseUint(after, 10, 32); err != nil {
			return nil, invalid("query.cursor", "not a cursor of this list")
		}
	}
	out := client.Page[client.Instance]{Items: []client.Instance{}}
	wrong := error(nil)
	err = f.control.Read(who, id, func(s *service.Service) {
		if in.Role != "" && s.Role(in.Role) == nil {
			wrong = noRole(s, in.Role)
			return
		}
		found := in.choose(s, uint32(from))
		for n, i := range found {
			if n == in.Limit {
				out.Next = cursorAt(numberKey(uint64(found[n-1].Serial)))
				break
			}
			out.Items = append(out.Items, f.instance(s, i))
		}
	})
	if err == nil {
		err = wrong
	}
	return answered(out, err)
}

// choose returns the instances behind the serial that the filter lets through, by serial.
func (in *listInstances) choose(s *service.Service, after uint32) (found []*service.Instance) {
	for _, r := range s.Roles {
		if in.Role != "" && r.Name != in.Role {
			continue
		}
		for i := range r.Instances {
			if i.Serial > after && (in.Phase == "" || i.Phase.String() == in.Phase) {
				found = append(found, i)
			}
		}
	}
	slices.SortFunc(found, func(a, b *service.Instance) int { return int(int64(a.Serial) - int64(b.Serial)) })
	return found
}

func knownPhase(name string) error {
	var names []string
	for p := service.Queued; p <= service.Stopping; p++ {
		if p.String() == name {
			return nil
		}
		names = append(names, p.String())
	}
	if name == "" {
		return nil
	}
	return invalid("query.phase", fmt.Sprintf("no phase %q%s", name, nearest.Hint(name, names)))
}

func noRole(s *service.Service, name string) error {
	names := make([]string, len(s.Roles))
	for n, r := range s.Roles {
		names[n] = r.Name
	}
	return fmt.Errorf("service %d: role %q: %w%s", s.ID, name, identity.ErrNotFound, nearest.Hint(name, names))
}

func (f *face) getInstance(_ context.Context, who *identity.Caller, in *Numbered) (*answer[client.Instance], error) {
	id, err := f.resolve(who, &in.Named)
	if err != nil {
		return nil, err
	}
	var out *client.Instance
	if err := f.control.Read(who, id, func(s *service.Service) {
		if i := s.Instance(in.Serial); i != nil {
			shown := f.instance(s, i)
			out = &shown
		}
	}); err != nil {
		return nil, err
	}
	if out == nil {
		return nil, fmt.Errorf("service %d: instance %d: %w", id, in.Serial, identity.ErrNotFound)
	}
	return &answer[client.Instance]{*out}, nil
}

type report struct {
	Numbered
	Body map[string]string `maxProperties:"100" doc:"Attributes by name; an empty value removes one."`
}

func (f *face) report(ctx context.Context, who *identity.Caller, in *report) (*answer[client.Accepted], error) {
	id, err := f.resolve(who, &in.Named)
	if err != nil {
		return nil, err
	}
	return accepted(f.control.Report(ctx, who, id, in.Serial, in.Body))
}

type readLogs struct {
	Numbered
	Follow bool `query:"follow" doc:"Go on with what is printed later."`
	Tail   int  `query:"tail" minimum:"0" doc:"Lines from the end; all that are kept when empty."`
	Stderr bool `query:"stderr" doc:"The error output alone."`
}

// logs streams what an instance printed, until its end or, with follow, until somebody has enough.
func (f *face) logs(ctx context.Context, who *identity.Caller, in *readLogs) (*huma.StreamResponse, error) {
	id, err := f.resolve(who, &in.Named)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	out, err := f.control.Logs(ctx, who, id, in.Serial, driver.LogOptions{Follow: in.Follow, Tail: in.Tail, Stderr: in.Stderr})
	if err != nil {
		cancel()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer cancel()
		defer out.Close()
		r, w := humago.Unwrap(h)
		stop := onStop(r, cancel)
		defer stop()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		s, err := newStream(w)
		if err != nil {
			return
		}
		w.WriteHeader(http.StatusOK)
		_ = s.flush() // so that who follows sees at once that there is an answer
		buf := make([]byte, 32<<10)
		for {
			n, err := out.Read(buf)
			if n > 0 {
				if _, err := s.Write(buf[:n]); err != nil {
					return // the client left
				}
			}
			if err == io.EOF || ctx.Err() != nil {
				return
			}
			if err != nil {
				f.options.Log.Warn("log of an instance broke off", "request", api.RequestID(ctx), "service", id, "instance", in.Serial, "error", err)
				panic(http.ErrAbortHandler) // or half a log would look like a whole one
			}
		}
	}}, nil
}

// onStop calls cancel when the server begins to stop. The returned function ends the wait.
func onStop(r *http.Request, cancel func()) (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-api.Stopping(r):
			cancel()
		case <-done:
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// A stream writes an answer that has no end yet, each piece within a time of its own.
type stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

const pieceTime = 10 * time.Second

func newStream(w http.ResponseWriter) (*stream, error) {
	return &stream{w, http.NewResponseController(w)}, api.LiftDeadlines(w)
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	if err := s.c.SetWriteDeadline(time.Now().Add(pieceTime)); err != nil {
		return 0, err
	}
	n, err := s.w.Write(p)
	if err == nil {
		err = s.flush()
	}
	return n, err
}

func (s *stream) flush() error { return s.c.Flush() }

type execInstance struct {
	Numbered
	Body client.Exec
}

// exec runs a command inside an instance and streams its output as frames, one JSON value a line.
func (f *face) exec(ctx context.Context, who *identity.Caller, in *execInstance) (*huma.StreamResponse, error) {
	id, err := f.resolve(who, &in.Named)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		r, w := humago.Unwrap(h)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stop := onStop(r, cancel)
		defer stop()
		s, err := newStream(w)
		if err != nil {
			f.fail(w, r, err)
			return
		}
		frames := &frameWriter{stream: s, broken: cancel}
		cmd := driver.Command{Args: in.Body.Command, Env: in.Body.Env, Stdin: readerOf(in.Body.Stdin),
			Stdout: writer(func(p []byte) error { return frames.write(client.ExecFrame{Stdout: p}) }),
			Stderr: writer(func(p []byte) error { return frames.write(client.ExecFrame{Stderr: p}) })}
		exit, err := f.control.Exec(ctx, who, id, in.Serial, cmd)
		switch {
		case err == nil:
			_ = frames.write(client.ExecFrame{Exit: &exit}) // a client that left hears nothing
		case !frames.begun():
			f.fail(w, r, err)
		default:
			_ = frames.write(client.ExecFrame{Error: f.failure(ctx, err).Detail}) // likewise
		}
	}}, nil
}

// A frameWriter writes frames, from two streams at a time.
type frameWriter struct {
	stream *stream
	broken func() // called when the client is gone

	mu    sync.Mutex
	wrote bool
}

func (f *frameWriter) begun() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrote
}

func (f *frameWriter) write(frame client.ExecFrame) error {
	line, err := json.Marshal(frame)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.wrote {
		f.wrote = true
		f.stream.w.Header().Set("Content-Type", "application/x-ndjson")
		f.stream.w.WriteHeader(http.StatusOK)
	}
	if _, err := f.stream.Write(append(line, '\n')); err != nil {
		f.broken()
		return err
	}
	return nil
}

// writer makes an io.Writer of a function.
type writer func(p []byte) error

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) {
	if err := w(p); err != nil {
		return 0, err
	}
	return len(p), nil
}
