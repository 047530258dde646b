package main

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/client"
)

const (
	floodHosts   = 10_000 // a sample a second each
	comingHosts  = 3_000  // whose alarms come and go
	soakPolicies = 20     // services with one
)

// A flood is a whole server under samples, with alarms that fire, webhooks that fail and policies that scale.
type flood struct {
	*reactor
	heaps   string
	samples atomic.Int64
	changes atomic.Int64 // values that crossed a threshold
	calls   atomic.Int64 // queries and lists
	failed  atomic.Int64
	last    atomic.Pointer[error]
}

// soakReact watches what a flood leaves behind. SOAK and HEAPS are as for soak.
func soakReact() error {
	length := time.Minute
	if v := os.Getenv("SOAK"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		length = d
	}
	r, err := startReactor()
	if err != nil {
		return err
	}
	defer r.stop()
	f := &flood{reactor: r, heaps: os.Getenv("HEAPS")}
	if err := f.prepare(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var wait sync.WaitGroup
	for _, x := range []struct {
		every time.Duration
		do    func(n int) error
	}{{100 * time.Millisecond, f.steady}, {20 * time.Millisecond, f.cross}, {50 * time.Millisecond, f.come}, {time.Second, f.queues}, {time.Second, f.ask}} {
		wait.Go(func() { f.every(ctx, x.every, x.do) })
	}
	began := time.Now()
	tick := time.NewTicker(length / soakReports)
	defer tick.Stop()
	for n := 0; n < soakReports && err == nil; n++ {
		<-tick.C
		err = f.report(time.Since(began))
	}
	cancel()
	wait.Wait()
	note("requests that failed", f.failed.Load(), "")
	if last := f.last.Load(); last != nil {
		note("the last of them", *last, "")
	}
	return err
}

func (f *flood) prepare() error {
	ctx := context.Background()
	tell := []client.AlarmAction{{Notify: "sink"}}
	broken, kind, nobody := "broken", "WEBHOOK", "http://127.0.0.1:1/"
	if _, err := f.client.Notifications().Add(ctx, client.PutNotificationMethod{Name: &broken, Type: &kind, Address: &nobody}); err != nil {
		return err
	}
	for _, rule := range []client.AlarmRule{
		{Name: "busy", Expression: "last(cpu_user_perc) > 80", Actions: client.AlarmActions{Alarm: tell, OK: tell}},
		{Name: "mean", Expression: "avg(cpu_user_perc, 2s) > 80 times 3", Actions: client.AlarmActions{Alarm: tell}},
		{Name: "gone", Expression: "absent(coming, 3s)", Lifetime: client.Duration(20 * time.Second), Actions: client.AlarmActions{Alarm: append(tell, client.AlarmAction{Notify: "broken"})}},
	} {
		rule.MatchBy = []string{"hostname"}
		if _, err := f.client.Alarms().Define(ctx, rule); err != nil {
			return err
		}
	}
	for n := range soakPolicies {
		text := fmt.Sprintf("name: pool%d\nroles:\n  app: {machine: {driver: sim}, count: {min: 1, max: 20}, policies: {jobs: {queue: 'last(jobs{pool=%d})', per_instance: 10, down: {stabilise: 5s}}}}\n", n, n)
		if _, err := f.client.Services().Create(ctx, client.CreateService{Document: client.Document{Source: text}}); err != nil {
			return err
		}
	}
	return nil
}

// every does something again and again, and notes when it fails.
func (f *flood) every(ctx context.Context, pause time.Duration, do func(n int) error) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := do(n); err != nil {
			f.failed.Add(1)
			f.last.Store(&err)
		}
	}
}

// steady sends the samples of a tenth of the hosts.
func (f *flood) steady(n int) error {
	const each = floodHosts / 10
	f.samples.Add(each)
	return f.send("/v1/prometheus/write", protobuf, "snappy", remoteWrite("cpu_user_perc", n%10*each, each, 20, time.Now()))
}

// cross lets the value of a host of its own cross the threshold, up and down in turns.
func (f *flood) cross(n int) error {
	const hosts = 500
	value := 20.0
	if n/hosts%2 == 0 {
		value = 95
	}
	f.changes.Add(1)
	return f.send("/v1/prometheus/write", protobuf, "snappy", remoteWrite("cpu_user_perc", floodHosts+n%hosts, 1, value, time.Now()))
}

// come sends a sample of a host that then falls silent: its alarm comes, fires and goes.
func (f *flood) come(n int) error {
	return f.send("/v1/prometheus/write", protobuf, "snappy", remoteWrite("coming", n%comingHosts, 1, 1, time.Now()))
}

// queues changes what the policies look at.
func (f *flood) queues(int) error {
	var samples []client.MetricSample
	for n := range soakPolicies {
		samples = append(samples, client.MetricSample{Name: "jobs", Dimensions: map[string]string{"pool": fmt.Sprint(n)}, Value: float64(rand.N(200))})
	}
	return f.client.Metrics().Push(context.Background(), samples...)
}

// ask reads what people and dashboards read.
func (f *flood) ask(n int) error {
	ctx, now := context.Background(), time.Now()
	if _, err := f.client.Metrics().QueryRange(ctx, fmt.Sprintf("avg(cpu_user_perc{hostname=~'host-000%d.*'})", n%10), now.Add(-5*time.Minute), now, 5*time.Second); err != nil {
		return err
	}
	if _, err := f.client.Alarms().History(ctx, client.HistoryFilter{Limit: 50}); err != nil {
		return err
	}
	f.calls.Add(2)
	seen := 0
	for _, err := range f.client.Alarms().List(ctx, client.AlarmFilter{State: "ALARM"}) {
		if seen++; err != nil || seen == 1000 {
			return err
		}
	}
	f.calls.Add(1)
	return nil
}

// report prints what the process needs now.
func (f *flood) report(at time.Duration) error {
	files, _ := os.ReadDir("/proc/self/fd")
	disk := func(name string) (mb float64) {
		_ = filepath.WalkDir(filepath.Join(f.dir, "data", name), func(_ string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil // what is being compacted goes meanwhile
			}
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
				mb += float64(info.Size()) / 1e6
			}
			return nil
		})
		return mb
	}
	waiting, dead := 0, 0
	for d, err := range f.client.Notifications().Deliveries(context.Background(), "") {
		if err != nil {
			return err
		}
		if waiting++; d.Phase == "dead" {
			dead++
		}
	}
	s, err := f.client.Status(context.Background())
	if err != nil {
		return err
	}
	fmt.Printf("  after %-7s %5.0f samples/s, %4d series, heap %5.1f MB, resident %4.0f MB, %4d goroutines, %3d files; on disk: all %4.0f MB, metrics %4.0f, alarms %3.0f, database %3.0f in use; %d deliveries wait, %d of them dead\n",
		at.Round(time.Second), float64(f.samples.Load())/at.Seconds(), s.Metrics.Series, float64(heap())/1e6, status("VmRSS")/1e6, runtime.NumGoroutine(), len(files),
		disk(""), disk("metrics"), disk("alarms"), float64(s.Store.InUse)/1e6, waiting, dead)
	if f.heaps == "" {
		return nil
	}
	file, err := os.Create(filepath.Join(f.heaps, fmt.Sprintf("flood-%05.0f.pb.gz", at.Seconds())))
	if err != nil {
		return err
	}
	defer file.Close()
	return pprof.Lookup("heap").WriteTo(file, 0)
}
