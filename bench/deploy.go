package main

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/process"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/service"
)

func simRig() (*rig, *sim.Cloud, error) {
	cloud := sim.NewCloud(sim.Options{Guarantee: driver.Token})
	r, err := newRig("", cloud.Kind(), driver.Config{}, nil, nil)
	if err == nil {
		r.run()
	}
	return r, cloud, err
}

func deployOne() error {
	const instances = 10000
	r, _, err := simRig()
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.createAll(1, 1, 100); err != nil { // warm
		return err
	}
	best := time.Duration(1 << 62)
	var before, after runtime.MemStats
	for n := range 3 {
		runtime.ReadMemStats(&before)
		began := time.Now()
		if err := r.createAll(10+n, 1, instances); err != nil {
			return err
		}
		best = min(best, time.Since(began))
		runtime.ReadMemStats(&after)
	}
	figure("instances deployed (best of 3)", instances/best.Seconds(), 10000, "instances/s", true)
	note("allocations", (after.Mallocs-before.Mallocs)/instances, "an instance")
	note("allocated", (after.TotalAlloc-before.TotalAlloc)/instances, "bytes an instance")
	return nil
}

func deployMany() error {
	const services, instances = 1000, 10
	r, _, err := simRig()
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.createAll(1, 50, instances); err != nil {
		return err
	}
	best := time.Duration(1 << 62)
	var before, after runtime.MemStats
	for n := range 3 {
		runtime.ReadMemStats(&before)
		began := time.Now()
		if err := r.createAll((n+1)*10000, services, instances); err != nil {
			return err
		}
		best = min(best, time.Since(began))
		runtime.ReadMemStats(&after)
	}
	figure("instances deployed, through the engine (best of 3)", services*instances/best.Seconds(), 8000, "instances/s", true)
	note("allocations", (after.Mallocs-before.Mallocs)/(services*instances), "an instance")
	return nil
}

func firstCall() error {
	const rate, seconds = 1000, 10
	var mu sync.Mutex
	asked := make(map[uint64]time.Time)
	around := func(ctx context.Context, call *driver.Call, do func(context.Context) error) error {
		if call.Name == "create" {
			id, _, _, _ := service.ParseMachineID(call.ID)
			mu.Lock()
			if _, ok := asked[id]; !ok {
				asked[id] = time.Now()
			}
			mu.Unlock()
		}
		return do(ctx)
	}
	cloud := sim.NewCloud(sim.Options{Guarantee: driver.Token})
	r, err := newRig("", cloud.Kind(), driver.Config{}, around, nil)
	if err != nil {
		return err
	}
	r.run()
	defer r.close()
	if err := r.createAll(1, 100, 1); err != nil {
		return err
	}
	answered := make([]time.Time, rate*seconds)
	answers := make([]time.Duration, rate*seconds)
	var wait sync.WaitGroup
	var failed atomic.Int64
	began := time.Now()
	for n := range answered {
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / rate)))
		wait.Go(func() {
			asked := time.Now()
			if r.create(uint64(1000+n), 1, nil) != nil {
				failed.Add(1)
			}
			answered[n] = time.Now()
			answers[n] = answered[n].Sub(asked)
		})
	}
	wait.Wait()
	if err := r.settle(1000, len(answered), 1, time.Minute); err != nil {
		return err
	}
	gaps := make([]time.Duration, 0, len(answered))
	for n, at := range answered {
		gaps = append(gaps, max(0, asked[uint64(1000+n)].Sub(at)))
	}
	figure("answer to first driver call, p99", percentile(gaps, 99), 10, "ms", false)
	note("answer to first driver call, median", percentile(gaps, 50), "ms")
	note("answer of a creation, p99", percentile(answers, 99), "ms")
	note("writes that failed", failed.Load(), "")
	return nil
}

func supervise(args []string) { unix.Exit(process.Supervise(args)) }

func replaceProcess() error {
	const rounds = 60
	var mu sync.Mutex
	started := make(chan driver.MachineID, 1000)
	around := func(ctx context.Context, call *driver.Call, do func(context.Context) error) error {
		err := do(ctx)
		if call.Name == "create" && err == nil {
			mu.Lock()
			started <- call.ID
			mu.Unlock()
		}
		return err
	}
	r, err := newRig("", process.Kind(), driver.Config{Supervisor: []string{"/proc/self/exe", "supervise"}}, around, nil)
	if err != nil {
		return err
	}
	r.run()
	defer r.close()
	if err := r.create(1, 5, map[string]any{"command": "exec sleep 100000"}); err != nil {
		return err
	}
	if err := r.settle(1, 1, 5, time.Minute); err != nil {
		return err
	}
	for len(started) > 0 {
		<-started
	}
	var times []time.Duration
	for range rounds {
		pids := machines(r.store.Installation().ID)
		if len(pids) == 0 {
			continue
		}
		pid := pids[rand.N(len(pids))]
		began := time.Now()
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			return err
		}
		<-started
		times = append(times, time.Since(began))
		if err := r.settle(1, 1, 5, time.Minute); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond) // the dead one is cleared away
	}
	figure("killed to replacement running, median", percentile(times, 50), 40, "ms", false)
	figure("killed to replacement running, p95", percentile(times, 95), 40, "ms", false)
	if _, err := r.engine.Order(context.Background(), 1, &service.Command{Undeploy: &service.Undeploy{Hard: true, Remove: true}}); err != nil {
		return err
	}
	for r.engine.Len() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}
