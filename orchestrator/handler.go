package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"sync"

	"github.com/troupe-dev/troupe/occi"
)

// Options are what a [Handler] may be told.
type Options struct {
	// State is the file that keeps the service through restarts; "" keeps it in memory alone.
	State string
	// Verify says whether a token is good for a tenant; an error that is not an [occi.Error] means that this cannot be
	// found out now. nil takes every token, as Hurtle's orchestrators do.
	Verify func(ctx context.Context, token, tenant string) (bool, error)
	Log    *slog.Logger // nil for none
}

// A Handler serves one orchestrator over OCCI. It is an [http.Handler]; Close ends it.
type Handler struct {
	factory Factory
	opts    Options
	log     *slog.Logger
	server  *occi.Server
	model   *occi.Model

	acting chan struct{} // a place to hold while the service is changed

	mu      sync.RWMutex
	service *live // nil while there is none
}

// live is a service that was initialised.
type live struct {
	instance  *Instance
	execution Execution
	stop      context.CancelFunc // ends decisions; nil while there are none
	decided   chan struct{}      // closed when they have ended
}

// NewHandler returns a Handler for the orchestrators that a Factory makes. A service that State keeps goes on; its
// Execution is made again and Design is not called.
func NewHandler(ctx context.Context, f Factory, o Options) (*Handler, error) {
	h := &Handler{factory: f, opts: o, log: o.Log, acting: make(chan struct{}, 1)}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.model = newModel()
	h.server = occi.NewServer(occi.Options{Backend: backend{h}, Authenticate: h.authenticate, Hurtle: true, Check: occi.Unchecked, Version: "1.1", Log: h.log})
	if o.State == "" {
		return h, nil
	}
	r, err := readRecord(o.State)
	if err != nil {
		return nil, fmt.Errorf("read the state of the service: %w", err)
	}
	if r == nil {
		return h, nil
	}
	l := &live{instance: h.instance(*r)}
	if l.execution, err = f(ctx, l.instance); err != nil {
		return nil, fmt.Errorf("go on with the service: %w", err)
	}
	h.service = l
	if r.Phase == provisioned {
		h.decide(l)
	}
	return h, nil
}

func (h *Handler) instance(r record) *Instance {
	return &Instance{record: r, log: h.log, save: func(r record) error {
		if h.opts.State == "" {
			return nil
		}
		return writeRecord(h.opts.State, r)
	}}
}

// Close ends decisions and waits for them. The service stays as it is.
func (h *Handler) Close() {
	if l := h.current(); l != nil {
		l.endDecisions()
	}
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r, err := notification(w, r)
	if err != nil {
		h.server.WriteError(w, r, err)
		return
	}
	h.server.ServeHTTP(w, r)
}

// A caller is what the headers of a request say.
type caller struct{ token, tenant string }

// authenticate asks for the headers that Hurtle's orchestrators ask for.
func (h *Handler) authenticate(r *http.Request) (occi.Caller, error) {
	c := caller{r.Header.Get("X-Auth-Token"), r.Header.Get("X-Tenant-Name")}
	switch {
	case c.token == "":
		return occi.Caller{}, occi.Errorf(http.StatusForbidden, "X-Auth-Token required...")
	case c.tenant == "":
		return occi.Caller{}, occi.Errorf(http.StatusForbidden, "X-Tenant-Name required...")
	}
	if h.opts.Verify != nil {
		good, err := h.opts.Verify(r.Context(), c.token, c.tenant)
		if err != nil {
			if occi.StatusOf(err) != http.StatusInternalServerError {
				return occi.Caller{}, err
			}
			h.log.Warn("a token cannot be verified", "error", err)
			return occi.Caller{}, occi.Errorf(http.StatusServiceUnavailable, "The token cannot be verified now; try again.")
		}
		if !good {
			return occi.Caller{}, occi.Unauthorized(`Keystone uri=""`, "The token is not good for the tenant "+c.tenant+".")
		}
	}
	return occi.Caller{Tenant: c.tenant, Value: c}, nil
}

// current returns the service; nil if there is none.
func (h *Handler) current() *live {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.service
}

func (h *Handler) setCurrent(l *live) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.service = l
}

// lock waits for its turn to change the service, and returns what ends it.
func (h *Handler) lock(ctx context.Context) (func(), error) {
	select {
	case h.acting <- struct{}{}:
		return func() { <-h.acting }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// decide starts the decisions of an execution that makes some.
func (h *Handler) decide(l *live) {
	d, ok := l.execution.(Decider)
	if !ok || l.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop, l.decided = stop, make(chan struct{})
	go func() {
		defer close(l.decided)
		err := protect(func() error { return d.Decide(ctx) })
		if err != nil && ctx.Err() == nil {
			h.log.Error("the decisions of the orchestrator have ended", "error", err)
		}
	}()
}

// endDecisions ends them and waits for their end.
func (l *live) endDecisions() {
	if l.stop != nil {
		l.stop()
		<-l.decided
		l.stop = nil
	}
}

// protect calls what users wrote; a panic in it becomes an error, for the program must go on.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the orchestrator panicked: %v", p)
		}
	}()
	return f()
}

// answer makes the answer of what users wrote.
func answer(err error) error {
	var e *occi.Error
	switch {
	case err == nil || errors.As(err, &e):
		return err
	case errors.Is(err, ErrInvalid):
		return occi.Errorf(http.StatusBadRequest, "%w", err)
	}
	return occi.Errorf(http.StatusInternalServerError, "%w", err)
}

// forget removes what is kept of the service.
func (h *Handler) forget() error {
	if h.opts.State == "" {
		return nil
	}
	if err := os.Remove(h.opts.State); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// tell asks the execution how its service stands, and keeps that: outputs that were once there stay.
func (l *live) tell(ctx context.Context) error {
	r := l.instance.snapshot()
	if !r.Deploying {
		return nil
	}
	var s State
	if err := protect(func() (err error) { s, err = l.execution.State(ctx); return }); err != nil {
		return answer(err)
	}
	if s.Stack == "" {
		s.Stack, s.ID = Unknown, ""
	}
	outputs := maps.Clone(r.Last.Outputs)
	if outputs == nil {
		outputs = make(map[string]string, len(s.Outputs))
	}
	maps.Copy(outputs, s.Outputs)
	if s.Stack == r.Last.Stack && s.ID == r.Last.ID && maps.Equal(outputs, r.Last.Outputs) {
		return nil
	}
	s.Outputs = outputs
	return l.instance.change(func(r *record) { r.Last = s })
}
