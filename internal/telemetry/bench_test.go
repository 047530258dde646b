package telemetry

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/troupe-dev/troupe/internal/metric"
)

type nothing struct{}

func (nothing) Joined(*metric.Series)             {}
func (nothing) Observe([]metric.Point, time.Time) {}
func (nothing) Dropped(*metric.Series)            {}

var boundless = func(int) Limits {
	return Limits{Series: 1 << 30, Values: 1 << 30, Rate: 1e12, Burst: 1e12}
}

// samples returns what reports samples a second of wall clock, and of a core's time: the latter holds on a busy machine.
func samples(b *testing.B, each int) func() {
	used := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() {
		b.ReportMetric(float64(each)*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
		b.ReportMetric(float64(each)*float64(b.N)/(used()-before).Seconds(), "samples/cpu-s")
	}
}

func BenchmarkDecodeRemoteWrite(b *testing.B) {
	raw, _ := request(2000, 1).Marshal()
	b.Run("ours", func(b *testing.B) {
		batch := NewBatch()
		defer batch.Free()
		b.ReportAllocs()
		defer samples(b, 2000)()
		for b.Loop() {
			batch.Reset()
			if err := DecodeRemoteWrite(batch, raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("prompb", func(b *testing.B) {
		var r prompb.WriteRequest
		b.ReportAllocs()
		defer samples(b, 2000)()
		for b.Loop() {
			r.Reset()
			if err := r.Unmarshal(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRemoteWrite: body, snappy, decoding, intake, sink, and history where it says so; 2,000 series in a request.
func BenchmarkRemoteWrite(b *testing.B) {
	for _, with := range []string{"sink", "history"} {
		b.Run(with, func(b *testing.B) {
			o := Options{Sink: nothing{}, Limits: boundless, Log: quiet, Past: 1000 * time.Hour, Retain: 1000 * time.Hour, Future: 1000 * time.Hour}
			if with == "history" {
				o.History = openTest(b, b.TempDir())
			}
			in := NewIntake(o)
			r := request(2000, 1)
			packed := make([][]byte, 200) // each with the next time, so that nothing is doubled
			for i := range packed {
				for j := range r.Timeseries {
					r.Timeseries[j].Samples[0].Timestamp = noon.UnixMilli() + int64(i)*1000
				}
				raw, _ := r.Marshal()
				packed[i] = snappy.Encode(nil, raw)
			}
			who := &Binding{Tenant: 1}
			body := bytes.NewReader(nil)
			i := 0
			write := func() {
				if i%len(packed) == 0 && i > 0 && with == "history" {
					b.StopTimer()
					for j := range packed { // an hour later, so that times go on
						for k := range r.Timeseries {
							r.Timeseries[k].Samples[0].Timestamp = noon.UnixMilli() + int64(i+j)*1000
						}
						raw, _ := r.Marshal()
						packed[j] = snappy.Encode(packed[j], raw)
					}
					b.StartTimer()
				}
				batch := NewBatch()
				defer batch.Free()
				body.Reset(packed[i%len(packed)])
				raw, err := batch.Body(body, "snappy")
				if err == nil {
					err = DecodeRemoteWrite(batch, raw)
				}
				if err == nil {
					_, err = in.Write(who, batch, noon.Add(time.Duration(i)*time.Second))
				}
				if err != nil {
					b.Fatal(err)
				}
				i++
			}
			write()
			b.ReportAllocs()
			defer samples(b, 2000)()
			for b.Loop() {
				write()
			}
		})
	}
}

func monascaBody(n, at int) []byte {
	var body strings.Builder
	for i := range n {
		body.WriteString([]string{",", "["}[1-min(i, 1)])
		fmt.Fprintf(&body, `{"name": "cpu.user_perc", "dimensions": {"hostname": "web%d", "service": "compute", "component": "vm"}, "timestamp": %d.9983, "value": %d.25, "value_meta": null}`,
			i, noon.UnixMilli()+int64(at)*1000, i)
	}
	body.WriteByte(']')
	return []byte(body.String())
}

func BenchmarkMonasca(b *testing.B) {
	in := NewIntake(Options{Sink: nothing{}, Limits: boundless, Log: quiet, Past: 1000 * time.Hour, Retain: 1000 * time.Hour})
	body, who := monascaBody(100, 0), &Binding{Tenant: 1}
	write := func() {
		batch := NewBatch()
		defer batch.Free()
		if err := DecodeMonasca(batch, body); err != nil {
			b.Fatal(err)
		}
		if _, err := in.Write(who, batch, noon); err != nil {
			b.Fatal(err)
		}
	}
	write()
	b.ReportAllocs()
	defer samples(b, 100)()
	for b.Loop() {
		write()
	}
}

func BenchmarkText(b *testing.B) {
	var body strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&body, "node_cpu_seconds_total{cpu=\"%d\",mode=\"idle\"} %d.5\n", i, i)
	}
	raw, batch := []byte(body.String()), NewBatch()
	defer batch.Free()
	b.ReportAllocs()
	defer samples(b, 1000)()
	for b.Loop() {
		batch.Reset()
		if err := DecodeText(batch, raw, noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOTLP(b *testing.B) {
	raw, batch := otlpBytes(b), NewBatch()
	defer batch.Free()
	b.ReportAllocs()
	defer samples(b, 10)()
	for b.Loop() {
		batch.Reset()
		if err := DecodeOTLP(batch, raw); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSteadyStateAllocations: a request of known series allocates a handful of times, whatever it holds.
func TestSteadyStateAllocations(t *testing.T) {
	in := NewIntake(Options{Sink: nothing{}, Limits: boundless, Log: quiet})
	write1, _ := request(1000, 1).Marshal()
	bodies := map[string]func(*Batch) error{
		"Monasca":      func(b *Batch) error { return DecodeMonasca(b, monascaBody1000) },
		"remote write": func(b *Batch) error { return DecodeRemoteWrite(b, write1) },
		"text":         func(b *Batch) error { return DecodeText(b, textBody1000, noon) },
	}
	who := &Binding{Tenant: 1, Origin: metric.Origin{Service: 7, Role: "web", Serial: 3}}
	for name, decode := range bodies {
		b := &Batch{Bounds: DefaultBounds}
		allocations := testing.AllocsPerRun(20, func() {
			b.Reset()
			if err := decode(b); err != nil {
				t.Fatal(err)
			}
			if _, err := in.Write(who, b, noon); err != nil {
				t.Fatal(err)
			}
		})
		if allocations > 20 {
			t.Errorf("%s: %v allocations for 1,000 samples", name, allocations)
		}
	}
}

var monascaBody1000 = monascaBody(1000, 0)

var textBody1000 = func() []byte {
	var out []byte
	for i := range 1000 {
		out = fmt.Appendf(out, "x{i=\"%d\"} 1\n", i)
	}
	return out
}()

// TestMemory prints what series cost: TROUPE_MEMORY_SERIES=1000000 go test -run TestMemory -v
func TestMemory(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("TROUPE_MEMORY_SERIES"))
	if n == 0 {
		t.Skip("set TROUPE_MEMORY_SERIES")
	}
	for _, with := range []string{"index", "history"} {
		o := Options{Limits: boundless, Log: quiet}
		if with == "history" {
			o.History = openTest(t, t.TempDir())
		}
		in := NewIntake(o)
		before := heapBytes()
		start := time.Now()
		b := NewBatch()
		for round := range 3 {
			for i := 0; i < n; i += 1000 {
				b.Reset()
				for j := i; j < i+1000; j++ {
					from := b.begin()
					b.label("hostname", b.keep(fmt.Appendf(nil, "host-%d", j/20)))
					b.label("cpu", b.keep(fmt.Appendf(nil, "%d", j%20)))
					b.label("role", "web")
					if err := b.end("cpu.user_perc", from); err != nil {
						t.Fatal(err)
					}
					_ = b.point(noon.UnixMilli()+int64(round)*1000, float64(j))
				}
				if _, err := in.Write(&Binding{Tenant: 1}, b, noon); err != nil {
					t.Fatal(err)
				}
			}
		}
		b.Free()
		status, _ := os.ReadFile("/proc/self/status")
		_, rss, _ := strings.Cut(string(status), "VmRSS:")
		rss, _, _ = strings.Cut(rss, "\n")
		used := heapBytes() - before
		t.Logf("%s: %d series, %d bytes of heap each, resident %s, %s for 3 samples each", with, in.Health().Series, used/uint64(n), strings.TrimSpace(rss), time.Since(start).Round(time.Millisecond))
		runtime.KeepAlive(in)
	}
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
