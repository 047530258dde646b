package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// foreign opens the cloud as a server of the same installation would, with a generation of its own.
func (s *stage) foreign(generation uint64) driver.Driver {
	d, err := s.clouds[0].Kind().New(s.t.Context(), driver.Config{Installation: s.store.Installation().ID, Generation: generation})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// TestOrphans: a machine that no record knows is destroyed after two looks a grace period apart, not before,
// and never while it has a record.
func TestOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.change = func(o *Options) { o.OrphanGrace, o.ListEvery = 2*time.Minute, 10*time.Second }
		e := s.start()
		s.create(1, simRole("app", 3))
		s.running(1)
		d := s.foreign(s.store.Installation().Generation)
		for _, id := range []driver.MachineID{"1-77-1", "1-1-9", "99-1-1", "not-ours"} {
			if _, err := d.Create(t.Context(), driver.Request{ID: id, Generation: s.store.Installation().Generation}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(100 * time.Second) // of the bubble
		if n := s.clouds[0].Len(); n != 7 {
			t.Errorf("%d machines during the grace period, want 7", n)
		}
		if n := e.Backends()[0].Status().Strange; n != 3 {
			t.Errorf("%d unknown machines, want 3", n)
		}
		time.Sleep(time.Minute)
		if n := s.clouds[0].Len(); n != 4 { // the service's, and the one with a name that Troupe never gave
			t.Errorf("%d machines after the grace period, want 4", n)
		}
		// A serial that a machine bore is not given away again.
		s.scale(1, "app", 4)
		s.until(1, "scaled", func(svc *service.Service) bool { return running(svc) && svc.Role("app").Settled() == 4 })
		e.View(1, func(svc *service.Service) {
			if svc.Serial != 78 {
				t.Errorf("the new instance has serial %d, want 78", svc.Serial)
			}
		})
		// With lists rarer than the grace period, the second look comes of itself.
		s.change = func(o *Options) { o.OrphanGrace, o.ListEvery = time.Minute, time.Hour }
		s.restart()
		if _, err := d.Create(t.Context(), driver.Request{ID: "98-1-1"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(80 * time.Minute)
		if n := s.clouds[0].Len(); n != 5 {
			t.Errorf("%d machines, want 5", n)
		}
	})
}

// TestStrangersBarStableCreations: while a machine that no record knows may still have the data of a stable
// instance, as after the restore of a backup, no other is made on them. Instances of no lasting identity do not wait.
func TestStrangersBarStableCreations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.change = func(o *Options) { o.OrphanGrace, o.ListEvery = 2*time.Minute, 10*time.Second }
		s.start()
		db := simRole("db", 2)
		db.Identity = service.Stable
		s.create(1, db, simRole("app", 1))
		s.create(2, db)
		s.running(1, 2)
		gone := s.machine(1, "db", 1)
		s.stop()
		s.clouds[0].Remove(gone)
		if _, err := s.foreign(s.store.Installation().Generation).Create(t.Context(), driver.Request{ID: "1-77-1", Data: "1-db-1"}); err != nil {
			t.Fatal(err)
		}
		s.start()
		s.scale(1, "app", 2)
		s.scale(2, "db", 3)
		s.until(1, "app is scaled", func(svc *service.Service) bool { return svc.Role("app").Settled() == 2 })
		s.until(2, "the other service is scaled", func(svc *service.Service) bool { return svc.Role("db").Settled() == 3 })
		time.Sleep(100 * time.Second) // of the bubble
		b := s.engine.Backends()[0]
		s.engine.View(1, func(svc *service.Service) {
			if n := svc.Role("db").Settled(); n != 1 {
				t.Errorf("%d of db are up beside the stranger, want 1", n)
			}
			if n := b.Barred(svc); n != 1 {
				t.Errorf("%d strangers bar service 1, want 1", n)
			}
		})
		s.engine.View(2, func(svc *service.Service) {
			if n := b.Barred(svc); n != 0 {
				t.Errorf("%d strangers bar service 2", n)
			}
		})
		s.running(1)
		s.agree()
	})
}

// TestVanish: few machines that vanish are replaced at once; many are not believed to be gone until an
// administrator says so.
func TestVanish(t *testing.T) {
	for name, c := range map[string]struct {
		lose    int
		outage  bool // it happens while the back end cannot be reached
		halted  bool
		returns bool
	}{
		"10 % by events":      {lose: 4},
		"10 % in an outage":   {lose: 4, outage: true},
		"30 % by events":      {lose: 12, halted: true},
		"30 % in an outage":   {lose: 12, outage: true, halted: true},
		"all":                 {lose: 40, outage: true, halted: true},
		"30 % wrongly listed": {lose: 12, halted: true, returns: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, sound)
				e := s.start()
				for id := uint64(1); id <= 4; id++ {
					s.create(id, simRole("app", 10))
				}
				s.running(1, 2, 3, 4)
				b := e.Backends()[0]
				var lost []driver.MachineID
				for n := range c.lose {
					lost = append(lost, s.machine(uint64(n%4+1), "app", n/4))
				}
				switch {
				case c.returns:
					s.clouds[0].Set(func(o *sim.Options) { o.Seed, o.ListDrop = 3, 0.5 })
					s.eventually("it is halted", func() bool { return b.Status().Halted != "" })
					s.clouds[0].Set(func(o *sim.Options) { o.ListDrop = 0 })
					s.eventually("it goes on", func() bool { return b.Status().Halted == "" })
					for id := uint64(1); id <= 4; id++ {
						e.View(id, func(svc *service.Service) {
							if svc.Serial != 10 {
								t.Errorf("service %d made %d replacements", id, svc.Serial-10)
							}
						})
					}
					return
				case c.outage:
					s.clouds[0].Outage(true)
				}
				for _, m := range lost {
					s.clouds[0].Remove(m)
				}
				s.clouds[0].Outage(false)
				if c.halted {
					s.eventually("it is halted", func() bool { return b.Status().Halted != "" })
					time.Sleep(5 * time.Minute) // of the bubble
					if n := s.clouds[0].Len(); n > 40-c.lose+haltingLeast {
						t.Errorf("%d machines: healing went on", n)
					}
					if halted := b.Status().Halted; !strings.Contains(halted, "machines vanished at once") || !strings.Contains(halted, "troupe driver accept sim") {
						t.Errorf("halted: %q", halted)
					}
					if err := b.Accept(); err != nil {
						t.Fatal(err)
					}
				} else if b.Accept() == nil {
					t.Error("it was halted")
				}
				s.eventually("all are replaced", func() bool { return s.clouds[0].Len() == 40 })
				s.running(1, 2, 3, 4)
				s.agree()
				if halted := b.Status().Halted; halted != "" {
					t.Errorf("still halted: %s", halted)
				}
			})
		})
	}
}

// TestShrinkingIsNoLoss: machines that were removed on purpose do not halt anything.
func TestShrinkingIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, DestroyDelay: 40 * time.Second})
		s.change = func(o *Options) { o.ListEvery = 3 * time.Second }
		e := s.start()
		s.create(1, simRole("app", 60))
		s.running(1)
		s.scale(1, "app", 5)
		s.eventually("it has shrunk", func() bool {
			if halted := e.Backends()[0].Status().Halted; halted != "" {
				t.Fatal(halted)
			}
			return s.clouds[0].Len() == 5
		})
	})
}

// TestNewerGeneration: a server that finds machines of a newer generation than its own stops.
func TestNewerGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.start()
		s.create(1, simRole("app", 2))
		s.running(1)
		newer := s.store.Installation().Generation + 1
		if _, err := s.foreign(newer).Create(t.Context(), driver.Request{ID: "5-1-1", Generation: newer}); err != nil {
			t.Fatal(err)
		}
		<-s.done
		if s.err == nil || !strings.Contains(s.err.Error(), "newer") {
			t.Errorf("it ended with %v", s.err)
		}
		s.stop()
		if n := s.clouds[0].Len(); n != 3 {
			t.Errorf("%d machines, want all 3", n)
		}
	})
}

// TestRestoreOverNewerMachines: a state restored from an old backup does nothing until it is resumed; then
// services become what the backup says, from machines it knows, and none of a lost history's is taken
// for another.
func TestRestoreOverNewerMachines(t *testing.T) {
	s := newStage(t, sound)
	s.change = func(o *Options) { o.OrphanGrace, o.ListEvery = 300*time.Millisecond, 100*time.Millisecond }
	s.open.DataDir = filepath.Join(t.TempDir(), "old")
	s.start()
	s.create(1, simRole("db", 2), simRole("app", 3))
	s.create(2, simRole("app", 2))
	s.running(1, 2)
	var backup bytes.Buffer
	if err := s.store.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	// What the backup does not know: a scaling, a healing, a removal, a new service.
	s.scale(1, "app", 6)
	s.until(1, "scaled", func(svc *service.Service) bool { return running(svc) && svc.Role("app").Settled() == 6 })
	s.clouds[0].Kill(s.machine(1, "db", 0))
	s.until(1, "healed", func(svc *service.Service) bool { return running(svc) && svc.Serial == 9 })
	s.order(2, &service.Command{Undeploy: &service.Undeploy{Remove: true}})
	s.create(3, simRole("other", 4))
	s.running(3)
	s.agree()
	s.stop()

	file := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(file, backup.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.open.DataDir = filepath.Join(t.TempDir(), "new")
	if _, err := store.Restore(t.Context(), file, store.Options{DataDir: s.open.DataDir}); err != nil {
		t.Fatal(err)
	}
	before := s.clouds[0].Calls()
	old := make(map[driver.MachineID]string)
	for _, m := range s.clouds[0].Machines() {
		old[m.ID] = m.Native
	}
	change := s.change
	s.change = func(o *Options) { change(o) }
	e := s.startPaused()
	s.eventually("the strangers are seen", func() bool { return e.Backends()[0].Status().Strange == 4+3+1 })
	time.Sleep(time.Second) // several rounds
	if now := s.clouds[0].Calls(); now["create"] != before["create"] || now["destroy"] != before["destroy"] {
		t.Errorf("calls while paused: %v, before %v", now, before)
	}
	e.Pause(false)
	s.create(3, simRole("mine", 2)) // the id of the lost service is given away again
	s.scale(1, "db", 4)             // so would be the serials
	s.until(1, "running", func(svc *service.Service) bool { return running(svc) && svc.Role("db").Settled() == 4 })
	s.running(2, 3)
	s.agree()
	e.Each(func(id uint64, svc *service.Service) bool {
		for _, r := range svc.Roles {
			for i := range r.Instances {
				native, was := old[svc.MachineID(i)]
				if was && native == i.Native && (id == 3 || id == 1 && i.Serial > 5) {
					t.Errorf("%s took a machine of the lost history", svc.MachineID(i))
				}
			}
		}
		return true
	})
}

func (s *stage) startPaused() *Engine {
	s.t.Helper()
	s.paused = true
	defer func() { s.paused = false }()
	return s.start()
}
