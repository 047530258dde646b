//go:build linux

// Package crash kills servers. It drives the whole server through its API, counts processes in the process
// table and not in anyone's records, and compares them with what the server answered before it was killed.
package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/client"
)

// settleTime is how long everything may take to be as it was answered, after a restart: machines that nobody
// knows are removed after two looks, a minute apart.
const settleTime = 3 * time.Minute

// A book holds what the server has answered.
type book struct {
	mu   sync.Mutex
	want map[string]*wish
	next int
	open []request      // commands without an answer
	done map[string]int // how many were answered
	// longest is the longest time that it took to settle.
	longest time.Duration
}

// A wish is what the server has answered to for a service.
type wish struct {
	id       uint64
	roles    map[string]int
	revision int
	busy     bool // one command at a time, so that the outcome is known
}

// A request is a command to the server.
type request struct {
	do      string // create, scale, update or remove
	service string
	key     string
	role    string
	n       int
}

// send makes the call of a request.
func (s *scene) send(ctx context.Context, q request) (id uint64, err error) {
	services := s.client.Services()
	switch q.do {
	case "create":
		var made client.Service
		made, err = services.Create(ctx, client.CreateService{Document: document(q.service, q.n), Key: q.key})
		id = made.ID
	case "scale":
		_, err = services.Scale(ctx, q.service, client.Scale{Role: q.role, Cardinality: client.Cardinality(strconv.Itoa(q.n))})
	case "update":
		_, err = services.Update(ctx, q.service, client.UpdateService{Document: document(q.service, q.n), Key: q.key})
	case "remove":
		_, err = services.Remove(ctx, q.service, client.Undeploy{Data: true, Force: true})
	}
	return id, err
}

// do carries out a command and notes what its answer means.
func (s *scene) do(ctx context.Context, q request) {
	id, err := s.send(ctx, q)
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.want[q.service]
	var problem *client.Problem
	switch {
	case err == nil, q.do == "remove" && client.IsNotFound(err): // a repeated removal that had happened
	case !errors.As(err, &problem) || problem.Status >= 500:
		s.open = append(s.open, q)
		return
	default:
		s.t.Errorf("%s of %s: %v", q.do, q.service, err)
		return
	}
	s.done[q.do]++
	switch q.do {
	case "create":
		s.want[q.service] = &wish{id: id, roles: map[string]int{"db": 2, "app": 3}, revision: q.n}
		return
	case "scale":
		w.roles[q.role] = q.n
	case "update":
		w.revision = q.n // the cardinality stays as it was scaled
	case "remove":
		delete(s.want, q.service)
		return
	}
	w.busy = false
}

// choose picks the next command, or nothing when all services are busy.
func (s *scene) choose() (q request, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.rng.IntN(10)
	if len(s.want) < 2 || len(s.want) < 5 && n < 3 {
		s.next++
		name := fmt.Sprint("s", s.next)
		return request{do: "create", service: name, key: "create-" + name, n: 1}, true
	}
	names := slices.Sorted(maps.Keys(s.want))
	q.service = names[s.rng.IntN(len(names))]
	w := s.want[q.service]
	if w.busy {
		return q, false
	}
	w.busy = true
	switch {
	case n < 7:
		q.do, q.role, q.n = "scale", [...]string{"db", "app"}[s.rng.IntN(2)], 1+s.rng.IntN(5)
	case n < 9:
		q.do, q.n = "update", w.revision+1
		q.key = fmt.Sprintf("update-%s-%d", q.service, q.n)
	default:
		q.do = "remove"
	}
	return q, true
}

// work keeps the server busy until limit has passed or it has died: commands, and machines that die. Then it has
// end, in the middle of what is under way.
func (s *scene) work(limit time.Duration, end func()) {
	var wait sync.WaitGroup
	defer wait.Wait()
	defer end()
	over := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-s.dead:
			return
		case <-tick.C:
		}
		if s.rng.IntN(4) == 0 {
			s.murder()
			continue
		}
		if q, ok := s.choose(); ok {
			wait.Go(func() { s.do(s.ctx, q) })
		}
	}
}

// settled starts the server again, repeats what was not answered, and waits until the process table shows
// what was answered: everything, once, and nothing else.
func (s *scene) settled() {
	s.t.Helper()
	s.start("")
	open := s.open
	s.open = nil
	for _, q := range open {
		s.do(s.ctx, q)
	}
	if len(s.open) > 0 {
		s.t.Fatalf("not answered by a server that runs: %v", s.open)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for calm := 0; calm < 3; <-tick.C {
		diff := s.difference()
		if diff == "" {
			calm++
			continue
		}
		calm = 0
		if time.Since(began) > settleTime {
			s.t.Fatalf("not settled after %s (- answered, + found):\n%s\n%s\n%s", settleTime, diff, s.story(), s.log())
		}
	}
	s.longest = max(s.longest, time.Since(began))
}

// story tells of the services that do not run.
func (s *scene) story() (text string) {
	for one, err := range s.client.Services().List(s.ctx, client.ServiceFilter{}) {
		if err != nil || one.State == "RUNNING" {
			continue
		}
		why, err := s.client.Services().Explain(s.ctx, one.Ref())
		text += fmt.Sprintf("%s: %+v %v\n", one.Name, why, err)
	}
	return text
}

// difference compares services and processes with what was answered. An update that paused because a machine died
// meanwhile is continued, as a person would.
func (s *scene) difference() string {
	want, have := make(map[string]int), make(map[string]int)
	names := make(map[string]string) // of services, by id
	machines := 0
	for name, w := range s.want {
		want[name+" RUNNING"]++
		names[client.ID(w.id)] = name
		for role, n := range w.roles {
			want[fmt.Sprintf("%s wishes %d %s", name, n, role)]++
			want[fmt.Sprintf("processes of %s role %s revision %d", name, role, w.revision)] = n
			machines += n
		}
	}
	want["supervisors"] = machines
	for one, err := range s.client.Services().List(s.ctx, client.ServiceFilter{}) {
		if err != nil {
			return err.Error()
		}
		have[one.Name+" "+one.State]++
		for _, role := range one.Roles {
			have[fmt.Sprintf("%s wishes %d %s", one.Name, role.Cardinality, role.Name)]++
		}
		if one.State == "FAILED_UPDATING" {
			_, _ = s.client.Services().ContinueUpdate(s.ctx, one.Ref()) // the next look tells
		}
	}
	twice := make(map[string]int)
	for _, env := range s.machines() {
		name, known := names[env["TROUPE_SERVICE"]]
		if !known {
			name = "nobody's service " + env["TROUPE_SERVICE"]
		}
		have[fmt.Sprintf("processes of %s role %s revision %s", name, env["TROUPE_ROLE"], env["REVISION"])]++
		twice["machine "+env["TROUPE_MACHINE"]]++
		twice[fmt.Sprintf("%s %s-%s", name, env["TROUPE_ROLE"], env["TROUPE_NUMBER"])]++
	}
	for what, n := range twice {
		if n > 1 {
			have[what+" twice"] = n
		}
	}
	have["supervisors"] = s.supervisors()
	return cmp.Diff(want, have)
}

// clear removes all services: nothing may be left.
func (s *scene) clear() {
	s.t.Helper()
	for name := range maps.Clone(s.want) {
		s.do(s.ctx, request{do: "remove", service: name})
	}
	s.kill()
	s.settled()
	s.t.Logf("answered: %v; the longest time to settle: %s", s.done, s.longest.Round(time.Millisecond))
}

// long reports whether the long form is asked for, and how many rounds it has.
func long(rounds int) (int, bool) {
	n, err := strconv.Atoi(os.Getenv("TROUPE_CRASH_ROUNDS"))
	if err != nil {
		return rounds, false
	}
	return n, true
}

// TestCrash kills servers at random moments, a few rounds, or as many as TROUPE_CRASH_ROUNDS says.
func TestCrash(t *testing.T) {
	rounds, _ := long(5)
	s := newScene(t)
	orderly := 0
	for round := range rounds {
		s.start("")
		s.work(time.Duration(s.rng.IntN(1500))*time.Millisecond, func() {
			if s.rng.IntN(4) == 0 { // in the middle of its orderly end
				orderly++
				_ = s.cmd.Process.Signal(syscall.SIGTERM)
				select {
				case <-s.dead:
				case <-time.After(time.Duration(s.rng.IntN(200)) * time.Millisecond):
				}
			}
			s.kill()
		})
		s.settled()
		s.kill()
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d rounds, %d of them during an orderly end", rounds, orderly)
	s.settled()
	s.clear()
}

// TestCrashAtFailPoints kills servers at each boundary of what they do.
func TestCrashAtFailPoints(t *testing.T) {
	passes := []int{1, 6}
	if _, yes := long(0); yes {
		passes = []int{1, 2, 3, 5, 8, 13, 21, 34}
	}
	s := newScene(t)
	for _, name := range []string{"observe", "commit", "effect", "create", "created", "destroy", "destroyed"} {
		hits := 0
		for _, n := range passes {
			s.start(fmt.Sprintf("%s:%d", name, n))
			s.work(20*time.Second, func() {
				select {
				case <-s.dead:
					if s.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
						hits++
					}
				default:
				}
				s.kill()
			})
			s.settled()
			s.kill()
			if t.Failed() {
				t.Fatalf("at fail point %s, pass %d", name, n)
			}
		}
		t.Logf("fail point %-9s hit %d of %d times", name, hits, len(passes))
		if hits < len(passes) {
			t.Errorf("fail point %s was not reached", name)
		}
	}
	s.settled()
	s.clear()
}
