package engine

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/service"
)

func TestDeployHealScaleRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.start()
		s.create(1, simRole("db", 2), simRole("app", 3, "db"))
		s.running(1)
		s.clouds[0].Kill(s.machine(1, "app", 0))
		s.until(1, "healed", func(svc *service.Service) bool { return running(svc) && svc.Serial == 6 })
		s.scale(1, "app", 5)
		s.until(1, "scaled", func(svc *service.Service) bool { return running(svc) && svc.Role("app").Settled() == 5 })
		s.agree()
		s.restart()
		s.until(1, "running after a restart", func(svc *service.Service) bool { return running(svc) && svc.Len() == 7 })
		s.removeAll()
	})
}

// TestRestartAnywhere restarts after each span of a service's life, so that each transient state is met.
func TestRestartAnywhere(t *testing.T) {
	states := make(map[service.State]bool)
	for step := range 24 {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, sim.Options{Guarantee: driver.Token, CreateDelay: time.Second, BootDelay: time.Second, DestroyDelay: 2 * time.Second})
			s.start()
			app := simRole("app", 3, "db")
			app.Cooldown = 3 * time.Second
			note := func() {
				s.engine.View(1, func(svc *service.Service) { states[svc.State] = true })
			}
			pause := func(at int) {
				if step/6 != at {
					return
				}
				time.Sleep(time.Duration(step%6)*700*time.Millisecond + 100*time.Millisecond) // of the bubble
				note()
				s.restart()
				note()
			}
			s.create(1, simRole("db", 2), app)
			pause(0)
			s.running(1)
			s.scale(1, "app", 5)
			pause(1)
			s.until(1, "scaled", func(svc *service.Service) bool { return running(svc) && svc.Role("app").Settled() == 5 })
			s.clouds[0].Kill(s.machine(1, "db", 0))
			pause(2)
			s.until(1, "healed", func(svc *service.Service) bool { return running(svc) && svc.Role("db").Settled() == 2 })
			s.agree()
			s.order(1, &service.Command{Undeploy: &service.Undeploy{Remove: true}})
			pause(3)
			s.eventually("it is gone", func() bool { return s.engine.Len() == 0 })
			s.agree()
			if d := s.clouds[0].Doubles(); d > 0 {
				t.Errorf("%d doubles", d)
			}
		})
	}
	for _, want := range []service.State{service.Deploying, service.Scaling, service.Cooldown, service.Undeploying} {
		if !states[want] {
			t.Errorf("never restarted in state %s", want)
		}
	}
}

// TestHealthChecks: a machine whose check fails is replaced, also when the server was restarted.
func TestHealthChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.start()
		role := simRole("app", 2)
		role.Machine.Checks = []service.Check{{Exec: []string{"ok"}, Interval: time.Second, Failures: 2}}
		s.create(1, role)
		s.running(1)
		for range 2 {
			bad := s.machine(1, "app", 0)
			s.clouds[0].SetHealth(bad, false)
			s.until(1, "healed", func(svc *service.Service) bool { return running(svc) && s.machineGone(bad) })
			s.agree()
			s.restart()
			s.running(1)
		}
		if n := s.engine.probes.Len(); n != 2 {
			t.Errorf("%d checks run for 2 machines", n)
		}
		s.removeAll()
		if n := s.engine.probes.Len(); n != 0 {
			t.Errorf("%d checks run for nothing", n)
		}
	})
}

// TestCheckDown: a check may fail for a while; the clock runs on while the server is down.
func TestCheckDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.start()
		role := simRole("app", 1)
		role.Machine.Checks = []service.Check{{Exec: []string{"ok"}, Interval: time.Second, Down: time.Minute}}
		s.create(1, role)
		s.running(1)
		ailing := func(svc *service.Service) bool {
			return svc.Role("app").Count(service.Up) == 1 && healthOf(svc) == service.Ailing
		}
		bad := s.machine(1, "app", 0)
		s.clouds[0].SetHealth(bad, false)
		s.until(1, "ailing", ailing)
		time.Sleep(50 * time.Second) // simulated
		s.clouds[0].SetHealth(bad, true)
		s.until(1, "well", func(svc *service.Service) bool { return healthOf(svc) == service.Healthy })
		s.clouds[0].SetHealth(bad, false)
		s.until(1, "ailing again", ailing)
		began := time.Now()
		time.Sleep(40 * time.Second) // simulated
		s.restart()
		s.until(1, "healed", func(svc *service.Service) bool { return running(svc) && s.machineGone(bad) })
		if took := time.Since(began); took < time.Minute || took > 65*time.Second {
			t.Errorf("it was replaced after %v", took)
		}
		s.removeAll()
	})
}

// healthOf is what the checks of the one instance say.
func healthOf(svc *service.Service) service.Health {
	for i := range svc.Roles[0].Instances {
		return i.Healthy
	}
	return service.Unchecked
}

func (s *stage) machineGone(id driver.MachineID) bool {
	for _, m := range s.clouds[0].Machines() {
		if m.ID == id {
			return false
		}
	}
	return true
}

// TestRefresh: those that depend on a role are told of a replacement in it, with the newest addresses.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.start()
		web := simRole("web", 3, "app")
		web.Machine.Files = []service.File{{Path: "peers", Content: `{% for p in roles.app %}{{ p.address }} {% endfor %}`}}
		s.create(1, simRole("app", 2), web)
		s.running(1)
		for range 3 {
			s.clouds[0].Kill(s.machine(1, "app", 0))
			s.until(1, "hurt", func(svc *service.Service) bool {
				return !running(svc) || svc.Role("app").Settled() < 2 || svc.Serial > 5
			})
			s.until(1, "healed", func(svc *service.Service) bool { return running(svc) && svc.Role("app").Settled() == 2 })
			want := ""
			s.engine.View(1, func(svc *service.Service) {
				for i := range svc.Role("app").Instances {
					if i.Phase == service.Up {
						want += i.Addresses[0] + " "
					}
				}
			})
			s.eventually("all have the new file", func() bool {
				for n := range 3 {
					if f := s.clouds[0].Files(s.machine(1, "web", n))["peers"]; len(f.Content) != len(want) {
						return false
					}
				}
				return true
			})
		}
	})
}

func TestReadyGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.start()
		db := simRole("db", 1)
		db.ReadyGate = true
		s.create(1, db, simRole("app", 1, "db"))
		time.Sleep(time.Minute) // of the bubble
		if n := s.clouds[0].Len(); n != 1 {
			t.Errorf("%d machines before db reported READY", n)
		}
		if _, err := s.engine.TellAndWait(t.Context(), 1, service.Fact{Kind: service.Reported, Serial: 1, Key: "READY", Value: "YES"}); err != nil {
			t.Fatal(err)
		}
		s.running(1)
	})
}

// TestCommandTwice: a command counts once, and its verdict is kept, over a restart too.
func TestCommandTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.start()
		role := simRole("app", 2)
		three := 3
		role.Max = &three
		s.create(1, role)
		s.running(1)
		up := func(id string, n int) error {
			_, err := s.engine.Order(t.Context(), 1, &service.Command{ID: id, Scale: &service.Scale{Role: "app", Cardinality: n}})
			return err
		}
		var refused *service.Refusal
		if err := up("first", 9); !errors.As(err, &refused) {
			t.Fatalf("9 of at most 3: %v", err)
		}
		why := refused.Error()
		if err := up("second", 3); err != nil {
			t.Fatal(err)
		}
		if err := up("third", 2); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := up("first", 1); !errors.As(err, &refused) || refused.Error() != why {
				t.Errorf("the same command again: %v, want %s", err, why)
			}
			if err := up("second", 1); err != nil {
				t.Error(err)
			}
			s.until(1, "of two", func(svc *service.Service) bool { return running(svc) && svc.Len() == 2 })
			s.restart()
		}
	})
}

// TestWatch: whoever resumes sees every change that came after the last one seen.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		e := s.start()
		w, _ := e.Watch(0)
		const services = 20
		for id := uint64(1); id <= services; id++ {
			s.create(id, simRole("app", 3))
		}
		seen := make(map[uint64]service.State)
		var last int64
		for len(seen) < services/2 {
			c, ok := w.Next(t.Context())
			if !ok {
				t.Fatal("fell behind")
			}
			seen[c.Service], last = c.State, c.Revision
		}
		w.Close()
		for id := uint64(1); id <= services; id++ {
			s.running(id)
		}
		w, ok := e.Watch(last)
		if !ok {
			t.Fatal("the past is not known")
		}
		for up := 0; up < services; {
			c, ok := w.Next(t.Context())
			if !ok {
				t.Fatal("fell behind")
			}
			seen[c.Service], up = c.State, 0
			for _, state := range seen {
				if state == service.Running {
					up++
				}
			}
		}
		w.Close()
		before := e.Revision()
		s.scale(1, "app", 4) // after before, and before the restart
		s.running(1)
		e = s.restart()
		if _, ok := e.Watch(before); ok {
			t.Error("changes before the start are said to be known")
		}
		if w, ok := e.Watch(e.Revision()); !ok {
			t.Error("nothing has changed since, and yet the past is not known")
		} else {
			w.Close()
		}
	})
}

// TestWatcherBehind: a watcher that does not read holds nobody up.
func TestWatcherBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		e := s.start()
		w, _ := e.Watch(0)
		for id := uint64(1); id <= 600; id++ {
			s.create(id, simRole("app", 1))
		}
		for id := uint64(1); id <= 600; id++ {
			s.running(id)
		}
		n := 0
		for {
			if _, ok := w.Next(t.Context()); !ok {
				break
			}
			n++
		}
		if n != watcherBuffer {
			t.Errorf("got %d changes before the end, want %d", n, watcherBuffer)
		}
	})
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.change = func(o *Options) { o.Retain = time.Hour }
		s.start()
		s.create(1, simRole("app", 1))
		s.running(1)
		s.order(1, &service.Command{Undeploy: &service.Undeploy{}})
		s.until(1, "done", func(svc *service.Service) bool { return svc.State == service.Done })
		time.Sleep(50 * time.Minute) // of the bubble
		if s.restart(); s.engine.Len() != 1 {
			t.Fatal("removed before its time")
		}
		time.Sleep(20 * time.Minute)
		s.eventually("it is removed", func() bool { return s.engine.Len() == 0 })
		s.removeAll()
	})
}

// TestTimersOutliveRestarts: a pause after failures and a cooldown go on where they were.
func TestTimersOutliveRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, BootFailures: 1})
		s.start()
		s.create(1, simRole("app", 1))
		backoff := func(svc *service.Service) bool {
			for i := range svc.Role("app").Instances {
				if i.Phase == service.Backoff && i.Failures >= 6 { // 16 s or more
					return true
				}
			}
			return false
		}
		s.until(1, "pausing", backoff)
		var until time.Time
		look := func() {
			s.engine.View(1, func(svc *service.Service) {
				for i := range svc.Role("app").Instances {
					until = i.Until.Time()
				}
			})
		}
		look()
		want, calls := until, s.clouds[0].Calls()["create"]
		time.Sleep(time.Second) // of the bubble
		s.restart()
		if look(); !until.Equal(want) {
			t.Errorf("the pause ends at %s, not at %s", until, want)
		}
		time.Sleep(time.Until(want) - time.Second)
		if n := s.clouds[0].Calls()["create"]; n != calls {
			t.Errorf("%d creations during the pause", n-calls)
		}
		s.clouds[0].Set(func(o *sim.Options) { o.BootFailures = 0 })
		time.Sleep(2 * time.Second)
		s.running(1)
		s.agree()
	})
}

// TestPause: nothing is decided and nothing done while all work is off, and nothing is forgotten.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		e := s.start()
		s.create(1, simRole("app", 12))
		s.running(1)
		e.Pause(true)
		if _, err := e.Order(t.Context(), 1, &service.Command{Scale: &service.Scale{Role: "app", Cardinality: 5}}); !errors.Is(err, ErrPaused) {
			t.Errorf("a command while paused: %v", err)
		}
		for range 2 {
			s.clouds[0].Kill(s.machine(1, "app", 0))
		}
		calls := fmt.Sprint(s.clouds[0].Calls()["create"], s.clouds[0].Calls()["destroy"])
		time.Sleep(time.Hour) // of the bubble
		if now := fmt.Sprint(s.clouds[0].Calls()["create"], s.clouds[0].Calls()["destroy"]); now != calls {
			t.Errorf("creations and removals while paused: %s, before %s", now, calls)
		}
		e.Pause(false)
		s.until(1, "healed", func(svc *service.Service) bool { return running(svc) && svc.Serial > 12 })
		s.agree()
	})
}
