package alerting

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/store"
)

// crowd is an alerting with n alarms live, of one definition by host or of a definition each, and their series.
func crowd(b *testing.B, n int, each bool, function string) (*Alerting, []*metric.Series) {
	b.Helper()
	ctx := context.Background()
	st, err := store.OpenMemory(ctx)
	if err != nil {
		b.Fatal(err)
	}
	tenure, err := st.Acquire(ctx)
	if err != nil {
		b.Fatal(err)
	}
	a, err := New(ctx, Options{Store: st, Tenure: tenure})
	if err != nil {
		b.Fatal(err)
	}
	run, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- a.Run(run) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
		st.Close()
	})
	define := func(d alarm.Definition) {
		d.Tenant, d.Severity, d.ActionsEnabled = tenant, "LOW", true
		if _, err := a.Define(ctx, 0, d); err != nil {
			b.Fatal(err)
		}
	}
	if !each {
		define(alarm.Definition{Name: "busy", Expression: function + "(cpu.user_perc) > 80", MatchBy: []string{"hostname"}})
	}
	series := make([]*metric.Series, n)
	now := time.Now()
	for i := range series {
		host := fmt.Sprintf("host-%06d", i)
		if each {
			define(alarm.Definition{Name: host, Expression: function + "(cpu.user_perc{hostname=" + host + "}) > 80"})
		}
		series[i] = &metric.Series{ID: uint32(i), Tenant: tenant, Name: "cpu.user_perc", Dimensions: metric.NewDimensions(map[string]string{"hostname": host})}
	}
	for _, s := range series {
		a.Joined(s)
		a.Observe([]metric.Point{{Series: s, Time: now.UnixMilli(), Value: 20}}, now)
	}
	for _, w := range a.watchesOf(tenant) { // until all is stored
		for quiet := false; !quiet; {
			if err := a.change(ctx, w, func(*alarm.Monitor, int64) error { return nil }); err != nil {
				b.Fatal(err)
			}
			w.mu.Lock()
			quiet = !w.busy
			w.mu.Unlock()
			runtime.Gosched()
		}
	}
	if got := len(a.Alarms(tenant, "", nil)); got != n {
		b.Fatalf("%d alarms of %d", got, n)
	}
	return a, series
}

// BenchmarkObserve is matching and windows, in the steady state: samples that change no state.
func BenchmarkObserve(b *testing.B) {
	for _, size := range []int{1000, 100_000} {
		for _, each := range []bool{false, true} {
			if each && size > 1000 {
				continue // joining a new series asks every definition of its metric: see BenchmarkTransition
			}
			name := map[bool]string{false: "OneDefinition", true: "OneEach"}[each]
			b.Run(fmt.Sprintf("%s%d", name, size), func(b *testing.B) {
				a, series := crowd(b, size, each, "max")
				points := make([]metric.Point, 1000)
				b.ReportAllocs()
				at, n := time.Now(), 0
				for b.Loop() {
					at = at.Add(time.Millisecond)
					for i := range points {
						points[i] = metric.Point{Series: series[n%size], Time: at.UnixMilli(), Value: float64(n % 70)}
						n++
					}
					a.Observe(points, at)
				}
				b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "samples/s")
			})
		}
	}
}

// BenchmarkTransition is from a sample until its alarm shows another state, with 100,000 alarms live.
func BenchmarkTransition(b *testing.B) {
	a, series := crowd(b, 100_000, false, "last")
	var took []time.Duration
	n := 0
	for b.Loop() {
		s := series[n%len(series)]
		value := 90 - float64(n/len(series)%2*70) // each round of the hosts the other way
		n++
		now := time.Now()
		a.Observe([]metric.Point{{Series: s, Time: now.UnixMilli(), Value: value}}, now)
		took = append(took, time.Since(now))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
}
