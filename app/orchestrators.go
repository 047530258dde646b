package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/troupe-dev/troupe/orchestrator"
)

// orchestrators are those of service managers that run in this process: one for each instance, made when it is first asked for. What
// they know is kept in a file each.
type orchestrators struct {
	factories map[string]orchestrator.Factory
	dir       string
	log       *slog.Logger

	mu   sync.Mutex
	live map[string]*hosted // by instance
}

// hosted is an orchestrator that is made once.
type hosted struct {
	once    sync.Once
	handler *orchestrator.Handler
	err     error
}

func newOrchestrators(o *Options) *orchestrators {
	return &orchestrators{factories: o.Orchestrators, dir: filepath.Join(o.DataDir, "orchestrators"), log: o.Log.With("part", "orchestrators"), live: make(map[string]*hosted)}
}

// Knows implements hurtle.Orchestrators.
func (o *orchestrators) Knows(program string) bool { return o.factories[program] != nil }

func (o *orchestrators) file(instance string) string { return filepath.Join(o.dir, instance+".json") }

// Orchestrator implements hurtle.Orchestrators.
func (o *orchestrators) Orchestrator(_ context.Context, program, instance string) (http.Handler, error) {
	o.mu.Lock()
	h := o.live[instance]
	if h == nil {
		h = new(hosted)
		o.live[instance] = h
	}
	o.mu.Unlock()
	h.once.Do(func() {
		if h.err = os.MkdirAll(o.dir, 0o700); h.err == nil {
			h.handler, h.err = orchestrator.NewHandler(context.Background(), o.factories[program], orchestrator.Options{State: o.file(instance), Log: o.log.With("instance", instance)})
		}
	})
	if h.err != nil {
		o.drop(instance, h)
		return nil, fmt.Errorf("orchestrator of %s: %w", instance, h.err)
	}
	return h.handler, nil
}

func (o *orchestrators) drop(instance string, h *hosted) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.live[instance] == h {
		delete(o.live, instance)
	}
}

// Forget implements hurtle.Orchestrators.
func (o *orchestrators) Forget(_, instance string) {
	o.mu.Lock()
	h := o.live[instance]
	delete(o.live, instance)
	o.mu.Unlock()
	if h != nil && h.handler != nil {
		h.handler.Close()
	}
	if err := os.Remove(o.file(instance)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.log.Warn("what an orchestrator knew is still there", "instance", instance, "error", err)
	}
}

// close ends them all; what they know stays.
func (o *orchestrators) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range o.live {
		if h.handler != nil {
			h.handler.Close()
		}
	}
	clear(o.live)
}
