package api

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEventEncoding(t *testing.T) {
	for _, tt := range []struct {
		event Event
		want  string
	}{
		{Event{ID: 7, Name: "service", Data: []byte(`{"a":1}`)}, "id: 7\nevent: service\ndata: {\"a\":1}\n\n"},
		{Event{Data: []byte("one\ntwo\r\nthree\rfour")}, "data: one\ndata: two\ndata: three\ndata: four\n\n"},
		{Event{Name: "a\nid: 9", Data: nil}, "event: a id: 9\ndata: \n\n"},
	} {
		if got := string(tt.event.encode()); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestLastEventID(t *testing.T) {
	for _, tt := range []struct {
		header, query string
		id            uint64
		ok, bad       bool
	}{
		{"", "", 0, false, false}, {"12", "", 12, true, false}, {"", "?last_event_id=3", 3, true, false},
		{"12", "?last_event_id=3", 12, true, false}, {"x", "", 0, false, true}, {"-1", "", 0, false, true},
	} {
		r, _ := http.NewRequest("GET", "/"+tt.query, nil)
		if tt.header != "" {
			r.Header.Set("Last-Event-ID", tt.header)
		}
		id, ok, err := LastEventID(r)
		if id != tt.id || ok != tt.ok || (err != nil) != tt.bad {
			t.Errorf("%+v: %d, %v, %v", tt, id, ok, err)
		}
	}
}

// A stream outlives the time-outs of ordinary requests, and ends when the channel is closed, when
// the client leaves, and when the server stops.
func TestServeEvents(t *testing.T) {
	events, ended := make(chan Event), make(chan error, 3)
	f := serve(t, Options{}, func(b *bounds) { b.read, b.write = 100*time.Millisecond, 100*time.Millisecond }, func(s *Server, mux *http.ServeMux) {
		mux.HandleFunc("GET /watch", func(w http.ResponseWriter, r *http.Request) { ended <- ServeEvents(w, r, events) })
	})
	open := func(ctx context.Context) (*bufio.Scanner, func()) {
		req, _ := http.NewRequestWithContext(ctx, "GET", f.url+"/watch", nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if ct := res.Header.Get("Content-Type"); ct != "text/event-stream" {
			t.Fatalf("Content-Type %q", ct)
		}
		return bufio.NewScanner(res.Body), func() { res.Body.Close() }
	}
	next := func(lines *bufio.Scanner) string {
		for lines.Scan() {
			if line, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return line
			}
		}
		return ""
	}
	lines, hangUp := open(t.Context())
	events <- Event{ID: 1, Data: []byte("one")}
	if got := next(lines); got != "one" {
		t.Errorf("got %q", got)
	}
	<-time.After(300 * time.Millisecond) // well past the time-outs of ordinary requests
	events <- Event{ID: 2, Data: []byte("two")}
	if got := next(lines); got != "two" {
		t.Errorf("after the time-outs: %q", got)
	}
	hangUp()
	if err := <-ended; err == nil {
		t.Error("the client left, and it was no error")
	}

	lines, hangUp = open(t.Context())
	close(events)
	if err := <-ended; err != nil {
		t.Errorf("closed channel: %v", err)
	}
	if got := next(lines); got != "" {
		t.Errorf("after the end: %q", got)
	}
	hangUp()

	events = make(chan Event)
	_, hangUp = open(t.Context())
	defer hangUp()
	if err := f.Stop(t.Context()); err != nil {
		t.Errorf("Stop with an open stream: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("stopping server: %v", err)
	}
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, "GET", "/", nil)
		w := &streamRecorder{header: http.Header{}}
		if err := ServeEvents(w, r, nil); err == nil {
			t.Error("ended without an error")
		}
		if n := strings.Count(w.text.String(), ": alive\n\n"); n != 4 {
			t.Errorf("%d heartbeats in a minute", n)
		}
	})
}

type streamRecorder struct {
	header http.Header
	text   strings.Builder
}

func (w *streamRecorder) Header() http.Header              { return w.header }
func (w *streamRecorder) WriteHeader(int)                  {}
func (w *streamRecorder) Write(p []byte) (int, error)      { return w.text.Write(p) }
func (w *streamRecorder) Flush()                           {}
func (w *streamRecorder) SetReadDeadline(time.Time) error  { return nil }
func (w *streamRecorder) SetWriteDeadline(time.Time) error { return nil }
