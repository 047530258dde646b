package api

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	heartbeat   = 15 * time.Second
	streamWrite = 10 * time.Second // for one event; a client that takes longer is cut off
)

// An Event is one server-sent event.
type Event struct {
	ID   uint64 // where to resume, usually a revision; 0 for none
	Name string // kind of event; "" for "message"
	Data []byte // one or more lines of text
}

// LastEventID returns the id after which a client resumes: its Last-Event-ID header, or the query
// parameter last_event_id; ok is false for a client that starts anew.
func LastEventID(r *http.Request) (id uint64, ok bool, err error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("last_event_id")
	}
	if text == "" {
		return 0, false, nil
	}
	if id, err = strconv.ParseUint(text, 10, 64); err != nil {
		return 0, false, &Problem{Status: http.StatusBadRequest, Errors: []FieldError{{"header.Last-Event-ID", "not a number"}}, cause: err}
	}
	return id, true, nil
}

// LiftDeadlines ends the read and write time-outs of a request that streams. The stream then sets
// a deadline for each write by itself.
func LiftDeadlines(w http.ResponseWriter) error {
	c := http.NewResponseController(w)
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	return c.SetWriteDeadline(time.Time{})
}

// Stopping is closed when the server begins to stop: streams end then.
func Stopping(r *http.Request) <-chan struct{} {
	if req := requestOf(r.Context()); req != nil {
		return req.server.stopping
	}
	return nil
}

// ServeEvents answers with the events of the channel until it is closed, the client leaves or the
// server stops; a comment every 15 s keeps proxies and clients assured. It returns why it ended
// early, nil if the channel was closed or the server stops. Whoever fills the channel must watch
// the request's context.
func ServeEvents(w http.ResponseWriter, r *http.Request, events <-chan Event) error {
	if err := LiftDeadlines(w); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // for nginx
	c := http.NewResponseController(w)
	send := func(text []byte) error {
		if err := c.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		return c.Flush()
	}
	if err := send([]byte(": connected\n\n")); err != nil {
		return err
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case e, open := <-events:
			if !open {
				return nil
			}
			err = send(e.encode())
		case <-beat.C:
			err = send([]byte(": alive\n\n"))
		case <-Stopping(r):
			return nil
		case <-r.Context().Done():
			return r.Context().Err()
		}
		if err != nil {
			return err
		}
	}
}

// lineEnds would end a field early.
var lineEnds = strings.NewReplacer("\r", " ", "\n", " ")

func (e Event) encode() []byte {
	var b bytes.Buffer
	if e.ID != 0 {
		fmt.Fprintf(&b, "id: %d\n", e.ID)
	}
	if e.Name != "" {
		fmt.Fprintf(&b, "event: %s\n", lineEnds.Replace(e.Name))
	}
	data := bytes.ReplaceAll(e.Data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		b.WriteString("data: ")
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.Bytes()
}
