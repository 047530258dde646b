package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/service"
)

// machines finds the main programs of an installation's machines in the process table.
func machines(installation string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(text), "TROUPE_INSTALLATION="+installation) {
			pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// settleAny waits until a service runs with what it wishes.
func (r *rig) settleAny(id uint64, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		state, good := "", false
		r.engine.View(id, func(s *service.Service) {
			state = fmt.Sprint(s.State, " ", s.Reason)
			good = s.State == service.Running && s.Roles[0].Settled() == s.Roles[0].Cardinality
		})
		if good {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("service %d is %s after %s", id, state, limit)
		}
	}
}

// size is how many services the case of rest has; REST=10000 makes it smaller.
func size() int {
	if n, err := strconv.Atoi(os.Getenv("REST")); err == nil {
		return n
	}
	return 100_000
}

// rest runs in processes of its own, so that their memory is seen and they can be killed.
func rest() error {
	dir, err := os.MkdirTemp("", "troupe-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, stage := range []string{"fill", "again"} {
		if err := runChild(stage, dir); err != nil {
			return err
		}
	}
	return nil
}

// runChild runs a stage in a process and kills it when it says that it is done.
func runChild(stage, dir string) error {
	cmd := exec.Command("/proc/self/exe", "child", stage, dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := false
	for lines := bufio.NewScanner(out); !done && lines.Scan(); {
		if done = lines.Text() == "done"; !done {
			fmt.Println(lines.Text())
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !done {
		return fmt.Errorf("stage %s ended early", stage)
	}
	return nil
}

func child(stage string, args []string) error {
	kind := sim.Kind()
	var opened time.Duration
	open := kind.New
	kind.New = func(ctx context.Context, cfg driver.Config) (driver.Driver, error) {
		began := time.Now()
		defer func() { opened = time.Since(began) }()
		return open(ctx, cfg)
	}
	values, err := kind.CheckAccount(map[string]any{"persist": true, "name": "bench"})
	if err != nil {
		return err
	}
	profile(stage)
	began := time.Now()
	r, err := newRig(args[0], kind, driver.Config{Values: values}, nil, func(o *engine.Options) { o.ListEvery = 30 * time.Second })
	if err != nil {
		return err
	}
	r.run()
	services := size()
	if stage == "again" {
		// The machines' file is read too, which a real back end would not need.
		if err := r.settle(1, services, 10, 10*time.Minute); err != nil {
			return err
		}
		for r.engine.Backends()[0].Status().Listed.IsZero() {
			time.Sleep(time.Millisecond)
		}
		pprof.StopCPUProfile()
		var used unix.Rusage
		_ = unix.Getrusage(unix.RUSAGE_SELF, &used)
		note("processor time of that, both cores", time.Duration(used.Utime.Nano()+used.Stime.Nano()).Seconds(), "s")
		note("of the whole, the simulated machines' file", opened.Seconds(), "s")
		figure("restart until every service is watched", time.Since(began).Seconds(), 15, "s", false)
		fmt.Println("done")
		time.Sleep(time.Hour)
	}
	if err := fill(r, services, began); err != nil {
		return err
	}
	fmt.Println("done")
	time.Sleep(time.Hour)
	return nil
}

// profile starts a CPU profile of a stage if that is asked for.
func profile(stage string) {
	if file := os.Getenv("PROFILE"); file != "" {
		if f, err := os.Create(file + "." + stage); err == nil {
			_ = pprof.StartCPUProfile(f)
		}
	}
}

// fill makes the services and measures them at rest.
func fill(r *rig, services int, began time.Time) error {
	for n := 0; n < services; n += 10_000 {
		if err := r.createAll(1+n, min(10_000, services-n), 10); err != nil {
			return err
		}
	}
	note("filled at", int(float64(services*10)/time.Since(began).Seconds()), "instances/s")
	pprof.StopCPUProfile()
	time.Sleep(10 * time.Second)
	full, goroutines := heap(), runtime.NumGoroutine()
	rss, anon := status("VmRSS"), status("RssAnon")
	profile("rest")
	var from, to unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &from)
	const watch = 90 * time.Second
	time.Sleep(watch)
	_ = unix.Getrusage(unix.RUSAGE_SELF, &to)
	pprof.StopCPUProfile()
	used := time.Duration(to.Utime.Nano() + to.Stime.Nano() - from.Utime.Nano() - from.Stime.Nano())
	note("live heap, simulated machines included", full>>20, "MB")
	note("resident, file-mapped pages included", int(rss)>>20, "MB")
	figure("resident, file-mapped pages apart", anon/1e9, 2.5, "GB", false)
	figure("processor at rest, a list round each 30 s", 100*used.Seconds()/watch.Seconds(), 2, "% of a core", false)
	note("goroutines", goroutines, "")
	cloud, err := machinesOnly(services)
	if err != nil {
		return err
	}
	figure("live heap an instance, simulated machines apart", float64(full-cloud)/float64(services*10), 600, "bytes", false)
	return nil
}

// machinesOnly measures what as many simulated machines take by themselves.
func machinesOnly(services int) (uint64, error) {
	before := heap()
	c := sim.NewCloud(sim.Options{Guarantee: driver.Token})
	d, err := c.Kind().New(context.Background(), driver.Config{})
	if err != nil {
		return 0, err
	}
	for id := range services {
		for serial := range 10 {
			if _, err := d.Create(context.Background(), driver.Request{ID: service.MachineID(uint64(1+id), uint32(1+serial), 1)}); err != nil {
				return 0, err
			}
		}
	}
	after := heap()
	runtime.KeepAlive(c)
	return after - before, nil
}

func mass() error {
	const instances = 1000
	services := 1000
	if n, err := strconv.Atoi(os.Getenv("MASS")); err == nil {
		services = n
	}
	r, cloud, err := simRig()
	if err != nil {
		return err
	}
	defer r.close()
	began := time.Now()
	if err := r.createAll(1, services, instances); err != nil {
		return err
	}
	note("deployed 1,000,000 at", int(float64(services*instances)/time.Since(began).Seconds()), "instances/s")
	const others = 50
	if err := r.createAll(10_000, others, 2); err != nil {
		return err
	}
	time.Sleep(5 * time.Second)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var mu sync.Mutex
	var times []time.Duration
	var wait sync.WaitGroup
	for k := range others {
		wait.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				at := time.Now()
				_, err := r.engine.Order(context.Background(), uint64(10_000+k), &service.Command{Scale: &service.Scale{Role: "app", Cardinality: 2 + n%2}})
				if err == nil {
					mu.Lock()
					times = append(times, time.Since(at))
					mu.Unlock()
				}
				time.Sleep(500 * time.Millisecond)
			}
		})
	}
	time.Sleep(5 * time.Second)
	mu.Lock()
	note("other services' commits before, p99", percentile(times, 99), "ms")
	times = nil
	mu.Unlock()
	before := r.store.Stats()
	began = time.Now()
	killed := cloud.KillFraction(0.1, 7)
	// Every replacement is a new instance: when as many were made as died, but for the others' few, all
	// deaths were noticed.
	for made := 0; made < killed-others*3 && time.Since(began) < 10*time.Minute; time.Sleep(10 * time.Millisecond) {
		made = -services * instances
		for id := range services {
			r.engine.View(uint64(1+id), func(s *service.Service) { made += int(s.Serial) })
		}
	}
	if err := r.settle(1, services, instances, 10*time.Minute); err != nil {
		return err
	}
	took := time.Since(began)
	if n := cloud.Len() - others*3; n > services*instances {
		note("dead machines still to be cleared away", n-services*instances, "")
	}
	stop()
	wait.Wait()
	after := r.store.Stats()
	note("failed at once", killed, "instances")
	figure("healed after", took.Seconds(), 60, "s", false)
	figure("other services' commits meanwhile, p99", percentile(times, 99), 50, "ms", false)
	note("other services' commits meanwhile, median", percentile(times, 50), "ms")
	note("commits", after.Commits-before.Commits, "")
	return nil
}
