package telemetry

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/troupe-dev/troupe/internal/metric"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// show prints a batch's samples, one a line.
func show(b *Batch) string {
	var out strings.Builder
	for _, p := range b.points {
		s := b.series[p.series]
		d := append(metric.Dimensions(nil), b.labels[s.from:s.to]...)
		sortDimensions(d)
		out.WriteString(s.name + d.String() + " ")
		out.WriteString(number(p.value) + " @" + time.UnixMilli(p.time).UTC().Format("15:04:05.000"))
		for k, v := range p.meta {
			out.WriteString(" " + k + "=" + v)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func TestDecodeMonasca(t *testing.T) {
	body := `[{"name":"cpu.user_perc","dimensions":{"hostname":"web01","a\u0062":"c\nd"},"timestamp":1893499200123,"value":12.5},
	 {"value":1e0,"name":"http_status","timestamp":1893499200123.75,"value_meta":{"rc":"503","n":5},"other":[{}]},
	 {"name":"x","timestamp":1893499200000,"value":true,"value_meta":null,"dimensions":null}]`
	b := NewBatch()
	defer b.Free()
	if err := DecodeMonasca(b, []byte(body)); err != nil {
		t.Fatal(err)
	}
	got := show(b)
	for _, want := range []string{"cpu.user_perc{ab=c\nd, hostname=web01} 12.5 @12:00:00.123\n", "http_status 1 @12:00:00.123 ", "rc=503", "n=5", "x 1 @12:00:00.000\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	for _, one := range []string{`{"name":"x","timestamp":1,"value":2}`, `[]`, ` [ {"name":"x","timestamp":1,"value":2} ] `} {
		b.Reset()
		if err := DecodeMonasca(b, []byte(one)); err != nil {
			t.Errorf("%s: %v", one, err)
		}
	}
}

func TestDecodeMonascaRefuses(t *testing.T) {
	long := strings.Repeat("x", 300)
	for body, want := range map[string]string{
		``:                                         "malformed",
		`nonsense`:                                 "malformed",
		`[{"name":"x"`:                             "malformed",
		`{"name":"x","timestamp":1,"value":2}}`:    "follows",
		`[1]`:                                      "want an object",
		`{"timestamp":1,"value":2}`:                "name is missing",
		`{"name":"m","value":2}`:                   "timestamp is missing, in metric m",
		`{"name":"m","timestamp":1}`:               "value is missing, in metric m",
		`{"name":"m","timestamp":"1","value":2}`:   "timestamp is no number, in metric m",
		`{"name":"m","timestamp":1,"value":"2"}`:   "value is no number, in metric m",
		`{"name":"m","timestamp":1,"value":null}`:  "value is no number, in metric m",
		`{"name":"m","timestamp":1,"value":1e999}`: "not a finite number, in metric m",
		`{"name":"m","timestamp":1e300,"value":1}`: "no time in milliseconds, in metric m",
		`{"name":5,"timestamp":1,"value":2}`:       "name is no string",
		`{"name":"m","timestamp":1,"value":2,"dimensions":[]}`:                                      "dimensions are no object, in metric m",
		`{"name":"m","timestamp":1,"value":2,"dimensions":{"a":1}}`:                                 `"a" is no string, in metric m`,
		`{"name":"m","timestamp":1,"value":2,"dimensions":{"a":""}}`:                                "dimension a is empty, in metric m",
		`{"name":"m","timestamp":1,"value":2,"value_meta":"x"}`:                                     "value_meta is no object, in metric m",
		`{"name":"m","timestamp":1,"value":2,"value_meta":{"` + long + `":"x"}}`:                    "300 characters",
		`{"name":"m","timestamp":1,"value":2,"value_meta":{"x":"` + strings.Repeat(long, 7) + `"}}`: "as JSON, 2048 may be",
		`[{"name":"ok","timestamp":1,"value":2},{"name":"m","timestamp":1}]`:                        "element 1: value is missing, in metric m",
		strings.Repeat("[", 1000): "nested deeper",
	} {
		b := NewBatch()
		err := DecodeMonasca(b, []byte(body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", body, err, want)
		}
		var m *MetricError
		if !errors.Is(err, ErrSyntax) && !errors.As(err, &m) {
			t.Errorf("%.80s: %v has no class", body, err)
		}
		b.Free()
	}
}

func request(series, samples int) *prompb.WriteRequest {
	r := &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{{Help: "h"}}}
	for i := range series {
		ts := prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: "node_cpu_seconds_total"}, {Name: "cpu", Value: number(float64(i))},
			{Name: "instance", Value: "10.0.0.1:9100"}, {Name: "job", Value: "node"}, {Name: "mode", Value: "idle"}}}
		for j := range samples {
			ts.Samples = append(ts.Samples, prompb.Sample{Value: float64(i * j), Timestamp: noon.UnixMilli() + int64(j)})
		}
		r.Timeseries = append(r.Timeseries, ts)
	}
	return r
}

func TestDecodeRemoteWrite(t *testing.T) {
	raw, err := request(2, 2).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b := NewBatch()
	defer b.Free()
	if err := DecodeRemoteWrite(b, raw); err != nil {
		t.Fatal(err)
	}
	want := `node_cpu_seconds_total{cpu=0, instance=10.0.0.1:9100, job=node, mode=idle} 0 @12:00:00.000
node_cpu_seconds_total{cpu=0, instance=10.0.0.1:9100, job=node, mode=idle} 0 @12:00:00.001
node_cpu_seconds_total{cpu=1, instance=10.0.0.1:9100, job=node, mode=idle} 0 @12:00:00.000
node_cpu_seconds_total{cpu=1, instance=10.0.0.1:9100, job=node, mode=idle} 1 @12:00:00.001
`
	if got := show(b); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for i := range raw {
		b.Reset()
		if err := DecodeRemoteWrite(b, raw[:i]); err != nil && !errors.Is(err, ErrSyntax) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func TestDecodeRemoteWrite2(t *testing.T) {
	symbols := writev2.NewSymbolTable()
	r := &writev2.Request{}
	refs := make([]uint32, 0, 4)
	for _, s := range []string{"__name__", "up", "job", "node"} {
		refs = append(refs, symbols.Symbolize(s))
	}
	r.Timeseries = []writev2.TimeSeries{{LabelsRefs: refs, Samples: []writev2.Sample{{Value: 1, Timestamp: noon.UnixMilli()}}}}
	r.Symbols = symbols.Symbols()
	raw, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b := NewBatch()
	defer b.Free()
	if err := DecodeRemoteWrite2(b, raw); err != nil {
		t.Fatal(err)
	}
	if got, want := show(b), "up{job=node} 1 @12:00:00.000\n"; got != want {
		t.Errorf("got %s", got)
	}
	r.Timeseries[0].LabelsRefs = []uint32{1, 99}
	raw, _ = r.Marshal()
	b.Reset()
	if err := DecodeRemoteWrite2(b, raw); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), "symbol 99 of") {
		t.Errorf("wrong reference: %v", err)
	}
}

func TestDecodeText(t *testing.T) {
	body := "# HELP up x\n# TYPE up gauge\nup 1\n  http_requests_total{method=\"post\",code=\"200\",} 1027 1893499200500\n" +
		"x{path=\"C:\\\\DIR\\nA\\\"B\"} +Inf\n{\"cpu.user_perc\",role=\"web\"} 1.5\nlast{} 3e1"
	b := NewBatch()
	defer b.Free()
	if err := DecodeText(b, []byte(body), noon); err != nil {
		t.Fatal(err)
	}
	want := "up 1 @12:00:00.000\nhttp_requests_total{code=200, method=post} 1027 @12:00:00.500\nx{path=C:\\DIR\nA\"B} +Inf @12:00:00.000\n" +
		"cpu.user_perc{role=web} 1.5 @12:00:00.000\nlast 30 @12:00:00.000\n"
	if got := show(b); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for bad, want := range map[string]string{
		"up": "value", "up x": "value of up", "up 1 x": "time stamp", "up 1 2 3": "follows", "up{a} 1": "no value", `up{a="b} 1`: "quote",
		`up{a="b" c="d"} 1`: "want , or }", `up{a="\x"} 1`: "escape", "5 1": "name", `a{"b"} 1`: "named twice",
	} {
		b.Reset()
		if err := DecodeText(b, []byte("ok 1\n"+bad+"\n"), noon); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
	}
}

func TestDecodeAttributes(t *testing.T) {
	b := NewBatch()
	defer b.Free()
	if err := DecodeAttributes(b, []byte("READY=YES\nCPU=12.5\r\nQUEUE_LENGTH = \"7\"\nNAN=NaN\nbad\n=5\nMESSAGE=a=b\n"), noon); err != nil {
		t.Fatal(err)
	}
	if got, want := show(b), "cpu 12.5 @12:00:00.000\nqueue_length 7 @12:00:00.000\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestBody(t *testing.T) {
	text := []byte(strings.Repeat("up 1\n", 1000))
	var g bytes.Buffer
	w := gzip.NewWriter(&g)
	_, _ = w.Write(text)
	_ = w.Close()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	bodies := map[string][]byte{"": text, "gzip": g.Bytes(), "snappy": snappy.Encode(nil, text), "zstd": z.EncodeAll(text, nil)}
	b := NewBatch()
	defer b.Free()
	for encoding, raw := range bodies {
		for range 2 { // readers come from a pool
			b.Bounds.Bytes = len(text)
			if got, err := b.Body(bytes.NewReader(raw), encoding); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%q: %d bytes, %v", encoding, len(got), err)
			}
			b.Bounds.Bytes = len(text) - 1
			if _, err := b.Body(bytes.NewReader(raw), encoding); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%q is one byte too long: %v", encoding, err)
			}
			if encoding != "" {
				if _, err := b.Body(bytes.NewReader(raw[:len(raw)/2]), encoding); err == nil {
					t.Errorf("half of %q passed", encoding)
				}
			}
		}
	}
	if _, err := b.Body(bytes.NewReader(nil), "gzpi"); !errors.Is(err, ErrEncoding) || !strings.Contains(err.Error(), `"gzip"`) {
		t.Errorf("unknown encoding: %v", err)
	}
}

func TestBounds(t *testing.T) {
	raw, _ := request(20, 2).Marshal()
	for _, bounds := range []Bounds{{Series: 10, Points: 100}, {Series: 100, Points: 10}} {
		b := NewBatch()
		b.Bounds = bounds
		if err := DecodeRemoteWrite(b, raw); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%+v: %v", bounds, err)
		}
		b.Free()
	}
	var many strings.Builder
	for i := range metric.MaxDimensions + 1 {
		many.WriteString(`l` + number(float64(i)) + `="x",`)
	}
	b := NewBatch()
	defer b.Free()
	if err := DecodeText(b, []byte("m{"+strings.ReplaceAll(many.String(), ".", "_")+"} 1"), noon); err == nil || !strings.Contains(err.Error(), "more than 64 dimensions") {
		t.Errorf("too many dimensions: %v", err)
	}
}
