package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/service"
)

const (
	soakRate     = 1000 // changes a second
	soakServices = 500
	soakCallers  = 512 // at most: a machine that cannot keep up lowers the rate, not the memory
	soakReports  = 12
)

// A soakRun is what the changes of one report came to.
type soakRun struct {
	rig   *rig
	cloud *sim.Cloud
	heaps string // folder for heap profiles, "" for none

	mu     sync.Mutex
	times  []time.Duration
	failed int
}

// soak makes random changes and watches what they leave behind. HEAPS names a folder that gets a heap
// profile with each report: what grows shows in `go tool pprof -base`.
func soak() error {
	length := time.Minute
	if v := os.Getenv("SOAK"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		length = d
	}
	s := &soakRun{heaps: os.Getenv("HEAPS")}
	if s.heaps != "" {
		runtime.MemProfileRate = 32 << 10
	}
	s.cloud = sim.NewCloud(sim.Options{Guarantee: driver.Token})
	var err error
	s.rig, err = newRig("", s.cloud.Kind(), driver.Config{}, nil, func(o *engine.Options) { o.ListEvery = 5 * time.Second })
	if err != nil {
		return err
	}
	s.rig.run()
	defer s.rig.close()
	if err := s.rig.createAll(1, soakServices, 5); err != nil {
		return err
	}
	if err := s.load(length); err != nil {
		return err
	}
	note("changes that failed", s.failed, "")
	for id := 1; id <= soakServices; id++ {
		if err := s.rig.settleAny(uint64(id), 2*time.Minute); err != nil {
			return err
		}
	}
	note("services settled afterwards", soakServices, "")
	return nil
}

// load makes changes for so long and reports on the way.
func (s *soakRun) load(length time.Duration) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	slots := make(chan struct{}, soakCallers)
	began := time.Now()
	report := began
	for n := 0; time.Since(began) < length; n++ {
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / soakRate)))
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			at := time.Now()
			err := change(s.rig, s.cloud, uint64(1+rand.N(soakServices)))
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.times = append(s.times, time.Since(at)); err != nil {
				s.failed++
			}
		})
		if now := time.Now(); now.Sub(report) >= length/soakReports {
			if err := s.report(now.Sub(began), now.Sub(report)); err != nil {
				return err
			}
			report = now
		}
	}
	return nil
}

// report prints what the changes since the last report came to.
func (s *soakRun) report(at, since time.Duration) error {
	s.mu.Lock()
	times := s.times
	s.times = nil
	s.mu.Unlock()
	rate, median, p99 := float64(len(times))/since.Seconds(), percentile(times, 50), percentile(times, 99)
	times = nil
	f := s.rig.store.Stats()
	fmt.Printf("  after %-7s %5.0f changes/s, median %5.1f ms, p99 %6.1f ms, database %5.0f MB (%4.0f in use), heap %5.1f MB, %3d compactions, %2d defragmentations\n",
		at.Round(time.Second), rate, median, p99, float64(f.Size)/1e6, float64(f.InUse)/1e6, float64(heap())/1e6, f.Compactions, f.Defrags)
	if s.heaps == "" {
		return nil
	}
	file, err := os.Create(filepath.Join(s.heaps, fmt.Sprintf("heap-%05.0f.pb.gz", at.Seconds())))
	if err != nil {
		return err
	}
	defer file.Close()
	return pprof.Lookup("heap").WriteTo(file, 0)
}

// change makes one random change.
func change(r *rig, cloud *sim.Cloud, id uint64) error {
	if rand.N(10) == 0 {
		var victim driver.MachineID
		r.engine.View(id, func(s *service.Service) {
			for i := range s.Roles[0].Instances {
				victim = s.MachineID(i)
				return
			}
		})
		cloud.Kill(victim)
		return nil
	}
	_, err := r.engine.Order(context.Background(), id, &service.Command{Scale: &service.Scale{Role: "app", Cardinality: 1 + rand.N(10)}})
	return err
}
