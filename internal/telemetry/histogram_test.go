package telemetry

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/troupe-dev/troupe/internal/metric"
)

// latency is an integer histogram of schema 0: n observations in (1, 2], twice as many in (2, 4].
func latency(n uint64) *histogram.Histogram {
	return &histogram.Histogram{Schema: 0, Count: 3 * n, Sum: 7.5 * float64(n), ZeroThreshold: 1e-128,
		PositiveSpans: []histogram.Span{{Offset: 1, Length: 2}}, PositiveBuckets: []int64{int64(n), int64(n)}}
}

// write1With is a request of remote write 1 with histograms of one series, a second apart up to noon.
func write1With(t testing.TB, all ...*histogram.Histogram) []byte {
	t.Helper()
	ts := prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: "latency"}, {Name: "path", Value: "/"}}}
	for i, h := range all {
		ts.Histograms = append(ts.Histograms, prompb.FromIntHistogram(noon.UnixMilli()-int64(len(all)-1-i)*1000, h))
	}
	raw, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{ts}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// kept opens a history and an intake that fills it.
func kept(t testing.TB, sink Sink) (*History, *Intake) {
	t.Helper()
	h, err := OpenHistory(HistoryOptions{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, NewIntake(Options{Sink: sink, History: h, Log: quiet})
}

// asked evaluates PromQL at noon and writes the result.
func asked(t testing.TB, h *History, query string) string {
	t.Helper()
	r, err := h.Query(t.Context(), 1, query, noon)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range r.Series {
		for _, x := range s.Samples {
			out = append(out, fmt.Sprintf("%s%s %.4g", s.Name, s.Dimensions, x.Value))
		}
		for _, x := range s.Histograms {
			out = append(out, fmt.Sprintf("%s%s %s", s.Name, s.Dimensions, x.Histogram))
		}
	}
	return strings.Join(out, "\n")
}

func take(t testing.TB, in *Intake, decode func(*Batch, []byte) error, body []byte) (Result, error) {
	t.Helper()
	b := NewBatch()
	defer b.Free()
	if err := decode(b, body); err != nil {
		t.Fatal(err)
	}
	return in.Write(&Binding{Tenant: 1}, b, noon)
}

func TestNativeHistograms(t *testing.T) {
	symbols := writev2.NewSymbolTable()
	var refs []uint32
	for _, s := range []string{"__name__", "latency", "path", "/"} {
		refs = append(refs, symbols.Symbolize(s))
	}
	two := writev2.Request{Timeseries: []writev2.TimeSeries{{LabelsRefs: refs, Histograms: []writev2.Histogram{
		writev2.FromIntHistogram(0, noon.UnixMilli()-1000, latency(1)), writev2.FromFloatHistogram(0, noon.UnixMilli(), latency(4).ToFloat(nil))}}}}
	two.Symbols = symbols.Symbols()
	write2, err := two.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		decode func(*Batch, []byte) error
		body   []byte
	}{"remote write 1": {DecodeRemoteWrite, write1With(t, latency(1), latency(4))}, "remote write 2": {DecodeRemoteWrite2, write2}} {
		t.Run(name, func(t *testing.T) {
			w := &witness{t: t}
			h, in := kept(t, w)
			if r, err := take(t, in, c.decode, c.body); err != nil || r.Taken != 6 || r.Histograms != 2 {
				t.Errorf("%+v, %v", r, err)
			}
			if got, want := w.seen(), "latency_count{path=/} 3\nlatency_sum{path=/} 7.5\nlatency_count{path=/} 12\nlatency_sum{path=/} 30\n"; got != want {
				t.Errorf("alarms saw\n%s", got)
			}
			for query, want := range map[string]string{
				"histogram_quantile(0.75, latency)":                  "{path=/} 3.084",
				"histogram_count(increase(latency[10s])) > bool 8.9": "{path=/} 1",
				"latency":       "latency{path=/} {count:12, sum:30, (1,2]:4, (2,4]:8}",
				"latency_count": "latency_count{path=/} 12",
				"histogram_sum(latency) - on () group_right () latency_sum": "{path=/} 0",
			} {
				if got := asked(t, h, query); got != want {
					t.Errorf("%s: %s, want %s", query, got, want)
				}
			}
			// The same request again changes nothing.
			if r, err := take(t, in, c.decode, c.body); err != nil || w.seen() != "latency_count{path=/} 3\nlatency_sum{path=/} 7.5\n" {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestWrongHistograms(t *testing.T) {
	h, in := kept(t, nil)
	wrong := latency(1)
	wrong.Count = 1
	coarse := latency(1)
	coarse.Schema = 9
	long := latency(1)
	long.PositiveSpans = []histogram.Span{{Length: maxHistogramBytes}}
	long.PositiveBuckets = make([]int64, maxHistogramBytes)
	r, err := take(t, in, DecodeRemoteWrite, write1With(t, wrong, coarse, long, latency(2)))
	if n, why := r.Refused(); err != nil || r.Histograms != 1 || r.Samples != 0 || n != 3 || !strings.Contains(why, "3 a histogram") {
		t.Errorf("%+v, %v", r, err)
	}
	if got := asked(t, h, "latency"); got != "latency{path=/} {count:6, sum:15, (1,2]:2, (2,4]:4}" {
		t.Error(got)
	}
	b := NewBatch()
	defer b.Free()
	b.Bounds.Points = 3
	if err := DecodeRemoteWrite(b, write1With(t, latency(1), latency(2))); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	// The end of a series is no histogram.
	end := &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}
	b.Reset()
	b.Bounds.Points = 100
	if err := DecodeRemoteWrite(b, write1With(t, end)); err != nil {
		t.Fatal(err)
	}
	if r, err := in.Write(&Binding{Tenant: 1}, b, noon.Add(time.Second)); err != nil || r.Counts[Ended] != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// otlpPoints wraps a metric's JSON; T stands for noon and the given number of seconds.
func otlpPoints(seconds int, metrics string) []byte {
	at := fmt.Sprint(noon.Add(time.Duration(seconds) * time.Second).UnixNano())
	return []byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[` + strings.ReplaceAll(metrics, `"T"`, `"`+at+`"`) + `]}]}]}`)
}

func TestExponentialHistograms(t *testing.T) {
	point := func(scale, offset int, counts, more string) []byte {
		return otlpPoints(0, fmt.Sprintf(`{"name":"x","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"T","count":"10","sum":30,"scale":%d,"zeroCount":"1",
			"positive":{"offset":%d,"bucketCounts":[%s]}%s}]}}`, scale, offset, counts, more))
	}
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"plain":            {point(0, 0, `"3","6"`, ""), "x {count:10, sum:30, [-1e-128,1e-128]:1, (1,2]:3, (2,4]:6}"},
		"negative":         {point(0, -1, `"3","0","4"`, `,"zeroThreshold":0.25,"negative":{"offset":1,"bucketCounts":["2"]}`), "x {count:10, sum:30, [-4,-2):2, [-0.25,0.25]:1, (0.5,1]:3, (2,4]:4}"},
		"finer than ours":  {point(10, -5, `"1","1","1","1","1","1","1","1","1"`, ""), "x {count:10, sum:30, [-1e-128,1e-128]:1, (0.9945994234836328,0.9972960560854698]:1, (0.9972960560854698,1]:4, (1,1.0027112750502025]:4}"},
		"too coarse":       {point(-5, 0, `"9"`, ""), ""},
		"far beyond":       {point(0, math.MaxInt32-1, `"9"`, ""), "error"},
		"contradictory":    {point(0, 0, `"900"`, ""), ""},
		"scale of nothing": {point(math.MaxInt32, -5, `"9"`, ""), "x {count:10, sum:30, [-1e-128,1e-128]:1, (0.9972960560854698,1]:9}"},
	} {
		t.Run(name, func(t *testing.T) {
			h, in := kept(t, nil)
			b := NewBatch()
			defer b.Free()
			err := DecodeOTLPJSON(b, c.body)
			if c.want == "error" {
				if !errors.Is(err, ErrSyntax) {
					t.Error(err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err := in.Write(&Binding{Tenant: 1}, b, noon)
			if got := asked(t, h, "x"); err != nil || got != c.want || (c.want == "") != (r.Counts[Histogram] == 1) {
				t.Errorf("%v, %+v\n got %s\nwant %s", err, r, got, c.want)
			}
		})
	}
}

func TestDeltas(t *testing.T) {
	w := &witness{t: t}
	h, in := kept(t, w)
	report := func(seconds, n int) []byte {
		return otlpPoints(seconds, strings.NewReplacer("$n", fmt.Sprint(n), "$m", fmt.Sprint(2*n)).Replace(
			`{"name":"hits","sum":{"isMonotonic":true,"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"T","asInt":"$n"}]}},
			{"name":"level","sum":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"T","asInt":"$n"}]}},
			{"name":"old","histogram":{"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"T","count":"$m","sum":$n,"bucketCounts":["$n","$n"],"explicitBounds":[1]}]}},
			{"name":"new","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"T","count":"$m","sum":$n,"scale":0,"positive":{"offset":$n,"bucketCounts":["$n","$n"]}}]}}`))
	}
	for i, n := range []int{1, 2, 3} {
		if r, err := take(t, in, DecodeOTLPJSON, report(i-2, n)); err != nil || r.Counts[Delta] != 0 || r.Histograms != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	// What comes twice, or after what followed it, does not count twice.
	for _, seconds := range []int{0, -1} {
		if r, err := take(t, in, DecodeOTLPJSON, report(seconds, 9)); err != nil || r.Counts[Delta] != 8 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	for query, want := range map[string]string{
		"hits_total": "hits_total 6", "old_count": "old_count 12", "old_sum": "old_sum 6", "new_count": "new_count 12",
		`old_bucket{le="1"}`: "old_bucket{le=1} 6", "level": "level 3", "hits_total offset 1s": "hits_total 3",
		"new": "new {count:12, sum:6, (2,4]:1, (4,8]:3, (8,16]:5, (16,32]:3}", "new offset 1s": "new {count:6, sum:3, (2,4]:1, (4,8]:3, (8,16]:2}",
	} {
		if got := asked(t, h, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if !strings.Contains(w.seen(), "hits_total 1\n") {
		t.Error("alarms saw nothing of it")
	}
	// A stream that was forgotten begins anew.
	in.Expire(noon.Add(3 * time.Hour))
	if _, err := take(t, in, DecodeOTLPJSON, report(1, 5)); err != nil || !strings.HasPrefix(w.seen(), "hits_total 5\n") {
		t.Error(err)
	}
}

// Deltas of ever other buckets do not take ever more memory.
func TestRunningHistogramIsBounded(t *testing.T) {
	e, seen := new(entry), 0.0
	for i := range 2000 {
		p := rawPoint{time: int64(i + 1), histogram: &histogram.FloatHistogram{Schema: 8, Count: 1, Sum: 1,
			PositiveSpans: []histogram.Span{{Offset: int32(i*97 - 100_000), Length: 1}}, PositiveBuckets: []float64{1}}}
		if !e.total(&p) {
			t.Fatal(i)
		}
		if n := len(p.histogram.PositiveBuckets); n > fewBuckets {
			t.Fatalf("%d buckets", n)
		}
		seen = p.histogram.Count
	}
	if seen != 2000 {
		t.Errorf("counts %g", seen)
	}
}

func TestDeltaRace(t *testing.T) {
	e := new(entry)
	done := make(chan int)
	for worker := range 4 {
		go func() {
			n := 0
			for i := range 1000 {
				if e.total(&rawPoint{time: int64(4*i + worker + 1), value: 1}) {
					n++
				}
			}
			done <- n
		}()
	}
	n := 0
	for range 4 {
		n += <-done
	}
	p := rawPoint{time: 1 << 40, value: 0}
	if e.total(&p); p.value != float64(n) {
		t.Errorf("%g of %d", p.value, n)
	}
}

func TestForwardHistograms(t *testing.T) {
	var e remoteEncoder
	s := &metric.Series{Name: "latency"}
	_ = e.encode([]metric.Point{{Series: s, Time: 5, Histogram: latency(2).ToFloat(nil)}}, "")
	got := e.request.Timeseries[0]
	if len(got.Samples) != 0 || len(got.Histograms) != 1 || got.Histograms[0].Timestamp != 5 || got.Histograms[0].GetCountFloat() != 6 {
		t.Errorf("%+v", got)
	}
}
