package telemetry

import (
	"strings"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const otlpJSON = `{"resourceMetrics":[{"resource":{"attributes":[
  {"key":"service.name","value":{"stringValue":"shop"}},{"key":"service.namespace","value":{"stringValue":"eu"}},
  {"key":"service.instance.id","value":{"stringValue":"i-1"}},{"key":"host.name","value":{"stringValue":"h1"}},
  {"key":"service","value":{"stringValue":"7"}},{"key":"os.type","value":{"stringValue":"linux"}}]},
 "scopeMetrics":[{"metrics":[
  {"name":"queue.length","gauge":{"dataPoints":[{"timeUnixNano":"1893499200000000000","asInt":"-5","attributes":[
     {"key":"queue.name","value":{"stringValue":"a"}},{"key":"n","value":{"intValue":"3"}},{"key":"l","value":{"arrayValue":{"values":[{"boolValue":true},{"stringValue":"x"}]}}}]}]}},
  {"name":"http.requests","unit":"1","sum":{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1893499200000000000","asDouble":2.5}]}},
  {"name":"delta","sum":{"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"1893499200000000000","asDouble":2.5}]}},
  {"name":"latency","unit":"s","histogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1893499200000000000","count":"6","sum":9.5,"bucketCounts":["1","2","3"],"explicitBounds":[0.5,1]}]}},
  {"name":"exp","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1893499200000000000","count":"3","sum":5,"positive":{"offset":0,"bucketCounts":["1","2"]},
     "attributes":[{"key":"a","value":{"stringValue":"b"}}]}]}},
  {"name":"size","unit":"By","summary":{"dataPoints":[{"timeUnixNano":"1893499200000000000","count":"2","sum":3,"quantileValues":[{"quantile":0.5,"value":1.5}]}]}}
 ]}]}]}`

const otlpWant = `queue_length{RES, l=[true,"x"], n=3, queue_name=a, service=7} -5
http_requests_total{RES, service=7} 2.5
delta{RES, service=7} 2.5
latency_seconds_count{RES, service=7} 6
latency_seconds_sum{RES, service=7} 9.5
latency_seconds_bucket{RES, le=0.5, service=7} 1
latency_seconds_bucket{RES, le=1, service=7} 3
latency_seconds_bucket{RES, le=+Inf, service=7} 6
exp{a=b, RES, service=7} 0
exp_count{a=b, RES, service=7} 3
exp_sum{a=b, RES, service=7} 5
size_bytes_count{RES, service=7} 2
size_bytes_sum{RES, service=7} 3
size_bytes{RES, quantile=0.5, service=7} 1.5
`

func TestDecodeOTLP(t *testing.T) {
	b := NewBatch()
	defer b.Free()
	if err := DecodeOTLPJSON(b, []byte(otlpJSON)); err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(strings.ReplaceAll(show(b), "host_name=h1, instance=i-1, job=eu/shop", "RES"), " @12:00:00.000", "")
	if got != otlpWant {
		t.Errorf("got\n%swant\n%s", got, otlpWant)
	}
	for _, p := range b.points {
		if name := b.series[p.series].name; p.delta != (name == "delta") || (p.histogram != nil) != (name == "exp") {
			t.Errorf("%s: %+v", name, p)
		}
	}
	for _, bad := range []string{`{"resourceMetrics":5}`, `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{}}]}]}]}`, strings.Repeat(`{"resourceMetrics":[`, 50),
		`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"h","histogram":{"dataPoints":[{"explicitBounds":[1]}]}}]}]}]}`} {
		b.Reset()
		if err := DecodeOTLPJSON(b, []byte(bad)); err == nil {
			t.Errorf("%.60s passed", bad)
		}
	}
}

// otlpBytes is otlpJSON in protobuf.
func otlpBytes(t testing.TB) []byte {
	var r collector.ExportMetricsServiceRequest
	if err := protojson.Unmarshal([]byte(otlpJSON), &r); err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(&r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// What comes twice in a series refuses that series, and no other of the request.
func TestOTLPDoubledAttribute(t *testing.T) {
	attribute := func(name, value string) string {
		return `{"key":"` + name + `","value":{"stringValue":"` + value + `"}}`
	}
	point := func(attributes ...string) string {
		return `{"timeUnixNano":"1893499200000000000","asInt":"1","attributes":[` + strings.Join(attributes, ",") + `]}`
	}
	w := &witness{t: t}
	in := NewIntake(Options{Sink: w, Log: quiet})
	b := NewBatch()
	defer b.Free()
	if err := DecodeOTLPJSON(b, []byte(`{"resourceMetrics":[{"resource":{"attributes":[`+attribute("host.name", "h")+`]},"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[`+
		strings.Join([]string{point(attribute("a", "1"), attribute("a", "2")), point(attribute("a", "1")), point(attribute("host_name", "x"), attribute("host_name", "y")),
			point(attribute("host_name", "x"), attribute("a", "2"))}, ",")+`]}}]}]}]}`)); err != nil {
		t.Fatal(err)
	}
	r, err := in.Write(&Binding{}, b, noon)
	if n, why := r.Refused(); err != nil || n != 2 || !strings.Contains(why, `dimension "a" is given twice, in metric "m"`) {
		t.Errorf("%d %s, %v", n, why, err)
	}
	if got, want := w.seen(), "m{a=1, host_name=h} 1\nm{a=2, host_name=x} 1\n"; got != want {
		t.Errorf("sink saw\n%s", got)
	}
}
