package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// A rig is a server without faces: an engine on an embedded etcd in a folder of its own.
type rig struct {
	dir    string
	store  *store.Store
	engine *engine.Engine
	driver string
	cancel context.CancelFunc
	done   chan error
	keep   bool // the folder, when it is closed
}

// newRig opens a store in dir ("" for a new folder, removed at the end) and an engine with one back end.
func newRig(dir string, kind *driver.Kind, cfg driver.Config, around driver.Around, change func(*engine.Options)) (*rig, error) {
	r := &rig{dir: dir, keep: dir != "", driver: kind.Name, done: make(chan error, 1)}
	var err error
	if dir == "" {
		if r.dir, err = os.MkdirTemp("", "troupe-bench-"); err != nil {
			return nil, err
		}
		if err := os.Chmod(r.dir, 0o711); err != nil { // processes run as another user
			return nil, err
		}
	}
	ctx := context.Background()
	if r.store, err = store.Open(ctx, store.Options{DataDir: r.dir + "/data"}); err != nil {
		return nil, err
	}
	tenure, err := r.store.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	cfg.Installation, cfg.Generation = r.store.Installation().ID, r.store.Installation().Generation
	if cfg.Dir == "" {
		cfg.Dir = r.dir + "/machines"
	}
	if err := os.MkdirAll(cfg.Dir, 0o711); err != nil {
		return nil, err
	}
	d, err := kind.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if around != nil {
		d = driver.Intercept(d, around)
	}
	o := engine.Options{Store: r.store, Tenure: tenure, Backends: []*engine.Backend{{Kind: kind, Driver: driver.Wrap(d, kind, driver.WrapOptions{})}}}
	if change != nil {
		change(&o)
	}
	if r.engine, err = engine.New(ctx, o); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.done <- r.engine.Run(ctx) }()
}

func (r *rig) close() {
	if r.cancel != nil {
		r.cancel()
		if err := <-r.done; err != nil {
			fmt.Println("  the engine ended:", err)
		}
	}
	r.store.Close()
	if !r.keep {
		_ = os.RemoveAll(r.dir)
	}
}

// create makes a service of one role that heals itself.
func (r *rig) create(id uint64, instances int, options map[string]any) error {
	spec := &service.Spec{Name: "bench", Strategy: service.Straight, Roles: []service.RoleSpec{{
		Name: "app", Cardinality: instances, Heal: service.HealAuto, Identity: service.New, OnGone: service.Replace, Restart: service.Always,
		Stable:  time.Nanosecond,
		Machine: service.Machine{Implementations: []service.Implementation{{Driver: r.driver, Options: options}}},
	}}}
	_, err := r.engine.Create(context.Background(), service.NewService(id, spec, service.Meta{Name: "s" + strconv.FormatUint(id, 10)}, time.Now()), store.Txn{})
	return err
}

// createAll makes services first, first+1 … with many callers, and waits until all run.
func (r *rig) createAll(first, count, instances int) error {
	work := make(chan uint64)
	var wait sync.WaitGroup
	var once sync.Once
	var failed error
	for range 256 {
		wait.Go(func() {
			for id := range work {
				if err := r.create(id, instances, nil); err != nil {
					once.Do(func() { failed = err })
				}
			}
		})
	}
	for n := range count {
		work <- uint64(first + n)
	}
	close(work)
	wait.Wait()
	if failed != nil {
		return failed
	}
	return r.settle(first, count, instances, 30*time.Minute)
}

// settle waits until the services run with that many instances each.
func (r *rig) settle(first, count, instances int, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for n := 0; n < count; {
		id, good := uint64(first+n), false
		r.engine.View(id, func(s *service.Service) {
			good = s.State == service.Running && s.Roles[0].Settled() == instances
		})
		if good {
			n++
			continue
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("service %d does not run after %s", id, limit)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// percentile returns the p-th percentile in milliseconds; it sorts.
func percentile(all []time.Duration, p float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return float64(all[min(len(all)-1, int(p/100*float64(len(all))))]) / 1e6
}

// heap returns the live bytes after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// status reads a figure in kB of /proc/self/status.
func status(field string) float64 {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return n * 1024
		}
	}
	return 0
}
