package service

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

var sizes = []int{10, 10_000}

// running returns a service of one role of n instances, all up, with nothing left to commit.
func running(tb testing.TB, id uint64, spec *Spec) *Service {
	tb.Helper()
	s := NewService(id, spec, Meta{Name: spec.Name}, epoch)
	if !drive(s) || s.State != Running {
		tb.Fatalf("the service is %s (%s)", s.State, s.Reason)
	}
	return s
}

// drive answers every effect until there are none; as the engine does, it commits first.
func drive(s *Service) bool {
	for range 1_000_000 {
		d := s.Decide(epoch)
		s.Changes()
		s.Changed()
		s.Events()
		if len(d.Effects) == 0 && !d.More {
			return true
		}
		for _, e := range d.Effects {
			f := Fact{Serial: e.Serial, Incarnation: e.Incarnation, Kind: Destroyed}
			if e.Kind == DoCreate {
				f.Kind, f.Machine = Created, driver.Machine{State: driver.Running, Native: "4711", Addresses: []string{"127.0.0.2"}}
			}
			_ = s.Observe(f, epoch)
		}
	}
	return false
}

func roleOf(n int) *Spec {
	return &Spec{Name: "bench", Strategy: Straight, Roles: []RoleSpec{{Name: "app", Cardinality: n, Heal: HealAuto, OnGone: Replace, Identity: New,
		Restart: Always, Stable: time.Nanosecond, Machine: Machine{Implementations: []Implementation{{Driver: "sim"}}}}}}
}

// forgetChanges drops what waits to be committed, so that a benchmark measures the decision alone.
func (s *Service) forgetChanges() {
	s.blocks = s.blocks[:0]
	s.Changed()
	s.events, s.head = s.events[:0], false
}

// BenchmarkSeen is a fact that changes nothing: what a list tells of most machines.
func BenchmarkSeen(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("role=%d", n), func(b *testing.B) {
			s := running(b, 1, roleOf(n))
			b.ReportAllocs()
			for k := 0; b.Loop(); k++ {
				_ = s.Observe(Fact{Kind: Seen, Serial: uint32(k%n) + 1, Incarnation: 1, Machine: driver.Machine{State: driver.Running}}, epoch)
				s.Decide(epoch)
			}
		})
	}
}

// BenchmarkChecked is a verdict of a health check that changes.
func BenchmarkChecked(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("role=%d", n), func(b *testing.B) {
			s := running(b, 1, roleOf(n))
			b.ReportAllocs()
			for k := 0; b.Loop(); k++ {
				_ = s.Observe(Fact{Kind: Checked, Serial: uint32(k%n) + 1, Incarnation: 1, Health: Health(k / n % 2)}, epoch)
				s.Decide(epoch)
				s.forgetChanges()
			}
		})
	}
}

// BenchmarkReplaced is a death with all that follows: three facts and their decisions.
func BenchmarkReplaced(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("role=%d", n), func(b *testing.B) {
			s := running(b, 1, roleOf(n))
			dies := uint32(1)
			now := epoch
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Minute)
				_ = s.Observe(Fact{Kind: Seen, Serial: dies, Incarnation: 1, Machine: driver.Machine{State: driver.Exited, ExitCode: 1}}, now)
				s.Decide(now)
				_ = s.Observe(Fact{Kind: Created, Serial: s.Serial, Incarnation: 1, Machine: driver.Machine{State: driver.Running}}, now)
				s.Decide(now)
				_ = s.Observe(Fact{Kind: Destroyed, Serial: dies, Incarnation: 1}, now)
				s.Decide(now)
				s.forgetChanges()
				dies++
			}
			if s.State != Running || s.Role("app").Settled() != n {
				b.Fatalf("%s: %s", s.State, s.Reason)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/3, "ns/fact")
		})
	}
}

// BenchmarkDeploy deploys one service of 10,000 instances in the core alone, records included.
func BenchmarkDeploy(b *testing.B) {
	const n = 10_000
	spec := roleOf(n)
	b.ReportAllocs()
	for b.Loop() {
		running(b, 1, spec)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "instances/s")
}

// BenchmarkBlocks encodes and decodes a block of 16 instances.
func BenchmarkBlocks(b *testing.B) {
	s := running(b, 1, roleOf(32))
	block := s.encodeBlock(1)
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(block)))
		b.ReportAllocs()
		for b.Loop() {
			s.encodeBlock(1)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(block)))
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := DecodeBlock(block); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("head", func(b *testing.B) {
		b.SetBytes(int64(len(s.encodeHead())))
		b.ReportAllocs()
		for b.Loop() {
			s.encodeHead()
		}
	})
}

// BenchmarkHeap measures the live heap of services of ten instances at rest, in two roles, that share
// one spec, as the engine's interning makes them.
func BenchmarkHeap(b *testing.B) {
	const services = 20_000
	spec := roleOf(5)
	spec.Roles = append(spec.Roles, spec.Roles[0])
	spec.Roles[1].Name, spec.Roles[1].Parents = "web", []string{"app"}
	for b.Loop() {
		before := liveHeap()
		kept := make([]*Service, services)
		for n := range kept {
			kept[n] = running(b, uint64(n), spec)
			kept[n].Decide(epoch.Add(time.Hour)) // timers that nobody needs any more ring and go
		}
		used := float64(liveHeap() - before)
		b.ReportMetric(used/services, "B/service")
		b.ReportMetric(used/services/10, "B/instance")
		runtime.KeepAlive(kept)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSeenAllocatesNothing: lists repeat what is known, every few seconds, for every machine.
func TestSeenAllocatesNothing(t *testing.T) {
	s := running(t, 1, roleOf(100))
	f := Fact{Kind: Seen, Serial: 7, Incarnation: 1, Machine: driver.Machine{State: driver.Running, Native: "4711", Addresses: []string{"127.0.0.2"}}}
	if n := testing.AllocsPerRun(100, func() {
		_ = s.Observe(f, epoch)
		s.Decide(epoch)
	}); n != 0 {
		t.Errorf("%v allocations for a fact that changes nothing", n)
	}
	if r := s.Changes(); r != nil {
		t.Errorf("a fact that changes nothing changes %d records", len(r))
	}
}

// TestOneTransaction: however much happens at one instant, a decision changes no more than a transaction holds.
func TestOneTransaction(t *testing.T) {
	const n = 5000
	spec := roleOf(n)
	spec.Roles[0].ReadyGate = true // all run into their deadline together
	s := NewService(1, spec, Meta{Name: "x"}, epoch)
	drive(s)
	now, decisions := epoch.Add(6*time.Minute), 0
	for more := true; more; decisions++ {
		more = s.Decide(now).More
		if r := s.Changes(); len(r) > blocksATime+10 {
			t.Fatalf("decision %d changes %d records", decisions, len(r))
		}
	}
	if r := s.Role("app"); r.Count(Replacing) != n || decisions < n/blockSize/blocksATime {
		t.Errorf("after %d decisions %d of %d are being replaced", decisions, r.Count(Replacing), n)
	}
}
