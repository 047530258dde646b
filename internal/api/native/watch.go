package native

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

func readerOf(b []byte) io.Reader {
	if b == nil {
		return nil
	}
	return bytes.NewReader(b)
}

type watch struct {
	Service string `query:"service" doc:"One service, by number, name or PROJECT/NAME; all when empty."`
	Header  string `header:"Last-Event-ID" doc:"The id of the last event that was received: the watch goes on after it."`
	Query   string `query:"last_event_id" doc:"The same, for clients that cannot set the header."`
}

// watch streams changes of services as server-sent events. The first is "open" and tells the revision
// that the watch begins at; each "change" has its revision as id; "reset" says that changes were missed
// and everything must be read anew. After a resumption, changes of the very last revision come again.
func (f *face) watch(_ context.Context, who *identity.Caller, in *watch) (*huma.StreamResponse, error) {
	w := watching{face: f, who: who}
	if in.Service != "" {
		id, err := f.control.Resolve(who, "", in.Service)
		if err == nil {
			err = f.control.Read(who, id, func(*service.Service) {})
		}
		if err != nil {
			return nil, err
		}
		w.service = id
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		r, rw := humago.Unwrap(h)
		id, resumed, err := api.LastEventID(r)
		if err != nil || id > 1<<62 {
			f.fail(rw, r, invalid("header.Last-Event-ID", "not an id of this stream"))
			return
		}
		if w.after = int64(id); !resumed {
			w.fresh, w.after = true, f.control.Revision()
		}
		f.events(rw, r, w.run)
	}}, nil
}

// events streams what run sends until run ends or the client leaves.
func (f *face) events(w http.ResponseWriter, r *http.Request, run func(ctx context.Context, out chan<- api.Event)) {
	ctx, cancel := context.WithCancel(r.Context())
	out := make(chan api.Event)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(out)
		run(ctx, out)
	}()
	if err := api.ServeEvents(w, r, out); err != nil && ctx.Err() == nil && !strings.Contains(err.Error(), "broken pipe") {
		f.options.Log.Debug("watch ended", "request", api.RequestID(ctx), "error", err)
	}
	cancel()
	<-done
}

// watching is one watch under way.
type watching struct {
	face    *face
	who     *identity.Caller
	service uint64 // 0 for all
	after   int64
	fresh   bool // it begins now: what was is not told
}

// run sends what happens until ctx ends, or until the one service is gone.
func (w *watching) run(ctx context.Context, out chan<- api.Event) {
	if !send(ctx, out, "open", 0, client.Change{Revision: w.after}) {
		return
	}
	for ctx.Err() == nil {
		begin := w.after
		gone := false
		known := w.face.control.Watch(ctx, w.who, begin, func(c control.Change) bool {
			if (w.service != 0 && c.Service != w.service) || (w.fresh && c.Revision <= begin) {
				return true
			}
			gone = w.service != 0 && c.Removed
			return send(ctx, out, "change", c.Revision, change(&c)) && !gone
		})
		if known {
			return
		}
		// Changes were missed. From here on none is again: the revision is taken before it is told.
		w.after, w.fresh = w.face.control.Revision(), true
		if !send(ctx, out, "reset", w.after, client.Change{Revision: w.after, Reset: true}) {
			return
		}
		if w.service != 0 && w.face.control.Read(w.who, w.service, func(*service.Service) {}) != nil {
			send(ctx, out, "change", w.after, client.Change{Revision: w.after, Service: w.service, State: service.Done.String(), Removed: true})
			return
		}
	}
}

// send sends an event; false when nobody listens any more.
func send(ctx context.Context, out chan<- api.Event, name string, id int64, value any) bool {
	data, err := json.Marshal(value)
	if err != nil {
		return false
	}
	select {
	case out <- api.Event{ID: uint64(id), Name: name, Data: data}:
		return true
	case <-ctx.Done():
		return false
	}
}

// streaming describes an operation whose answer is no JSON value.
func streaming(contentType, about string) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.Responses = map[string]*huma.Response{"200": {Description: about, Content: map[string]*huma.MediaType{
			contentType: {Schema: &huma.Schema{Type: huma.TypeString}}}}}
		op.DefaultStatus = http.StatusOK
	}
}
