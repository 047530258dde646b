package alarm

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
)

// fleet makes a Monitor with one alarm for each of n hosts, each with one series, all created.
func fleet(b testing.TB, def Definition, n int) (*Monitor, []*Feed) {
	b.Helper()
	m, err := New(def)
	if err != nil {
		b.Fatal(err)
	}
	feeds := make([]*Feed, n)
	for i := range feeds {
		feeds[i] = m.Join(&metric.Series{ID: uint32(i), Tenant: 1, Name: "cpu.user_perc",
			Dimensions: metric.Dimensions{{Name: "hostname", Value: fmt.Sprintf("host-%07d", i)}}, Origin: metric.Origin{Service: 1, Role: "web", Serial: uint32(i + 1)}})
		feeds[i].Add(start, 1, start)
	}
	m.Decide(start)
	m.Changes()
	return m, feeds
}

// used returns the processor time of this process: other programs on the machine do not count.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAdd: one sample into the window of one alarm among 100,000, decisions and timers included; each series
// has a sample a second.
func BenchmarkAdd(b *testing.B) {
	for _, text := range []string{"avg(cpu.user_perc, 2) > 80 times 3", "max(cpu.user_perc) > 80", "p95(cpu.user_perc, 10) > 80", "absent(cpu.user_perc, 3s)",
		"avg(cpu.user_perc) > 80 and max(cpu.user_perc) < 99"} {
		b.Run(text, func(b *testing.B) {
			const series = 100_000
			m, feeds := fleet(b, definition(text, "hostname"), series)
			i, now := 0, int64(start)
			step := func() {
				if i%(series/1000) == 0 {
					if now++; len(m.timers) > 0 && m.timers[0].at <= now {
						m.Decide(now)
					}
				}
				feeds[i%series].Add(now, float64(i%70), now)
				i++
			}
			for i < 13*series { // until each has decided windows
				step()
			}
			b.ReportAllocs()
			b.ResetTimer()
			began := used()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(b.N)/(used()-began).Seconds(), "samples/cpu-s")
		})
	}
}

// BenchmarkReaction: from the sample that exceeds to the transition, 100,000 alarms live.
func BenchmarkReaction(b *testing.B) {
	const series = 100_000
	m, feeds := fleet(b, definition("max(cpu.user_perc) > 80", "hostname"), series)
	i := 0
	var took []time.Duration
	for b.Loop() {
		if i == series {
			b.StopTimer()
			m, feeds = fleet(b, definition("max(cpu.user_perc) > 80", "hostname"), series)
			i = 0
			b.StartTimer()
		}
		at := time.Now()
		feeds[i].Add(start+1, 90, start+1)
		told := m.Decide(start + 1)
		took = append(took, time.Since(at))
		if len(told) != 1 {
			b.Fatal("no transition")
		}
		i++
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

// BenchmarkSilence: 100,000 series fall silent at once; per series.
func BenchmarkSilence(b *testing.B) {
	def := definition("max(cpu.user_perc) > 80", "hostname")
	def.Silence = 3 * time.Second
	for range b.N {
		b.StopTimer()
		const series = 100_000
		m, feeds := fleet(b, def, series)
		for i, f := range feeds {
			f.Add(start+int64(i%1000), 99, start+int64(i%1000))
		}
		m.Decide(start + 1000)
		b.StartTimer()
		told, began := 0, used()
		for at, some := m.Wake(); some && at < start+10_000; at, some = m.Wake() {
			told += len(m.Decide(at))
		}
		if told != series {
			b.Fatal(told)
		}
		b.ReportMetric(float64((used()-began).Nanoseconds())/series, "cpu-ns/alarm")
	}
}

// BenchmarkMemory: what an alarm with one part costs, its series' feed and timer included, but not the series.
func BenchmarkMemory(b *testing.B) {
	for _, text := range []string{"avg(cpu.user_perc) > 80", "avg(cpu.user_perc, 2) > 80 times 3", "p95(cpu.user_perc) > 80", "last(cpu.user_perc) > 80"} {
		b.Run(text, func(b *testing.B) {
			for range b.N {
				const series = 100_000
				all := make([]*metric.Series, series)
				for i := range all {
					all[i] = &metric.Series{Tenant: 1, Name: "cpu.user_perc", Dimensions: metric.Dimensions{{Name: "hostname", Value: fmt.Sprintf("host-%07d", i)}}}
				}
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				m, err := New(definition(text, "hostname"))
				if err != nil {
					b.Fatal(err)
				}
				feeds := make([]*Feed, series)
				for i := range all {
					feeds[i] = m.Join(all[i])
				}
				for second := range int64(8) { // until windows have been decided
					now := start + second*20_000
					for _, f := range feeds {
						f.Add(now, float64(second), now)
					}
					for at, some := m.Wake(); some && at <= now; at, some = m.Wake() {
						m.Decide(now)
					}
				}
				m.Changes()
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/series, "B/part")
				runtime.KeepAlive(feeds)
				runtime.KeepAlive(all)
			}
		})
	}
}
