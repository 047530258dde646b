//go:build linux

package crash

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/process"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// TestMain is also the server that is killed, and the supervisor of its machines.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "supervise":
			unix.Exit(process.Supervise(os.Args[2:]))
		case "server":
			if err := serve(os.Args[2]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// A request is one line to the server.
type request struct {
	Seq     int
	Do      string // create, scale, update, continue, remove, list
	Service uint64
	Key     string // of the command
	Role    string
	N       int
}

// A reply is one line from it. Seq 0 says that it is at work.
type reply struct {
	Seq          int
	Error        string
	Again        bool // it was not answered for certain
	Installation string
	Services     map[uint64]state
}

type state struct {
	State, Reason string
	Wishes        map[string]int
	Why           *service.Explanation // of one that is not RUNNING
	Story         []service.Event
}

// serve runs a server on the folder until it is told to end: engine, embedded etcd and process driver, its
// commands read from the standard input.
func serve(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	st, err := store.Open(ctx, store.Options{DataDir: filepath.Join(dir, "data")})
	if err != nil {
		return err
	}
	defer st.Close()
	tenure, err := st.Acquire(ctx)
	if err != nil {
		return err
	}
	kind := process.Kind()
	d, err := kind.New(ctx, driver.Config{Installation: st.Installation().ID, Generation: st.Installation().Generation,
		Dir: filepath.Join(dir, "process"), Supervisor: []string{"/proc/self/exe", "supervise"}})
	if err != nil {
		return err
	}
	e, err := engine.New(ctx, engine.Options{Store: st, Tenure: tenure, ListEvery: time.Second, OrphanGrace: 2 * time.Second,
		Backends: []*engine.Backend{{Kind: kind, Driver: driver.Wrap(d, kind, driver.WrapOptions{})}}})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(r reply) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(r)
	}
	go func() {
		say(reply{Installation: st.Installation().ID})
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			var q request
			if err := json.Unmarshal(in.Bytes(), &q); err != nil {
				say(reply{Error: err.Error()})
				continue
			}
			go func() { say(answer(ctx, e, q)) }()
		}
		stop() // nobody asks any more
	}()
	return e.Run(ctx)
}

func answer(ctx context.Context, e *engine.Engine, q request) reply {
	r := reply{Seq: q.Seq}
	var err error
	c := &service.Command{ID: q.Key}
	switch q.Do {
	case "list":
		r.Services = make(map[uint64]state)
		e.Each(func(id uint64, s *service.Service) bool {
			one := state{State: s.State.String(), Reason: s.Reason, Wishes: make(map[string]int)}
			for _, role := range s.Roles {
				one.Wishes[role.Name] = role.Cardinality
			}
			if s.State != service.Running {
				why := s.Explain(time.Now())
				one.Why, one.Story = &why, slices.Clone(s.Log)
			}
			r.Services[id] = one
			return true
		})
		return r
	case "create":
		_, err = e.Create(ctx, service.NewService(q.Service, spec(q.N), service.Meta{Name: fmt.Sprint("s", q.Service)}, time.Now()), store.Txn{})
	case "scale":
		c.Scale = &service.Scale{Role: q.Role, Cardinality: q.N}
	case "update":
		c.Update = &service.Update{Spec: spec(q.N)}
	case "continue":
		c.PauseUpdate = &service.PauseUpdate{}
	case "remove":
		c.Undeploy = &service.Undeploy{Remove: true, Data: true, Force: true}
	}
	if q.Do != "create" {
		_, err = e.Order(ctx, q.Service, c)
	}
	if err != nil {
		r.Error, r.Again = err.Error(), errors.Is(err, engine.ErrUnavailable) || errors.Is(err, store.ErrClosed)
	}
	return r
}

// spec describes a service of a stable role and one that needs it; each revision has another environment.
func spec(revision int) *service.Spec {
	two := 2
	role := func(name string, n int, identity service.Identity, parents ...string) service.RoleSpec {
		return service.RoleSpec{Name: name, Cardinality: n, Parents: parents, Heal: service.HealAuto, Identity: identity, OnGone: service.Replace,
			Restart: service.Always, Stable: time.Millisecond, Update: service.UpdatePolicy{Batch: 2, Surge: &two},
			Machine: service.Machine{Env: map[string]string{"REVISION": fmt.Sprint(revision)},
				Implementations: []service.Implementation{{Driver: "process", Options: map[string]any{"command": "exec sleep 100000"}}}}}
	}
	return &service.Spec{Name: "crash", Strategy: service.Straight, Roles: []service.RoleSpec{
		role("db", 2, service.Stable), role("app", 3, service.New, "db")}}
}
