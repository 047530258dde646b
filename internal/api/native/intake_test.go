package native_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// value returns what the administrator's project has of a metric, by a dimension.
func (s *stage) value(query, label string) map[string]float64 {
	s.t.Helper()
	r, err := s.Metrics().Query(s.t.Context(), query, time.Time{})
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, x := range r.Series {
		out[x.Labels[label]] = x.Points[0].Value
	}
	return out
}

func remoteWrite1(t *testing.T, name string, value float64) []byte {
	t.Helper()
	w := prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: []prompb.Label{{Name: "__name__", Value: name}, {Name: "host", Value: "a"}},
		Samples: []prompb.Sample{{Timestamp: time.Now().UnixMilli(), Value: value}}}}}
	text, err := w.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, text)
}

func remoteWrite2(t *testing.T, name string, value float64) []byte {
	t.Helper()
	w := writev2.Request{Symbols: []string{"", "__name__", name, "host", "b"}, Timeseries: []writev2.TimeSeries{{LabelsRefs: []uint32{1, 2, 3, 4},
		Samples: []writev2.Sample{{Timestamp: time.Now().UnixMilli(), Value: value}}}}}
	text, err := w.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, text)
}

func otlpJSON(name string, kind string) string {
	return fmt.Sprintf(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":%q,%s}]}]}]}`, name, kind)
}

func point(value float64) string {
	return fmt.Sprintf(`"dataPoints":[{"timeUnixNano":"%d","asDouble":%g,"attributes":[{"key":"host","value":{"stringValue":"c"}}]}]`, time.Now().UnixNano(), value)
}

// Each form comes through its route to history.
func TestIntake(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	m := s.Metrics()
	for name, err := range map[string]error{
		"samples": m.Push(ctx, client.MetricSample{Name: "queue", Dimensions: map[string]string{"host": "m"}, Value: 12, Meta: map[string]string{"leader": "q1"}}),
		"text":    m.PushText(ctx, client.PrometheusText, []byte("# HELP queue x\nqueue{host=\"t\"} 13\n")),
		"write":   m.PushText(ctx, client.RemoteWrite, remoteWrite1(t, "queue", 14)),
		"write 2": m.PushText(ctx, client.RemoteWrite2, remoteWrite2(t, "queue", 15)),
		"otlp":    m.PushText(ctx, client.OTLPJSON, []byte(otlpJSON("queue", `"gauge":{`+point(16)+`}`))),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	got := s.value("queue", "host")
	for host, want := range map[string]float64{"m": 12, "t": 13, "a": 14, "b": 15, "c": 16} {
		if got[host] != want {
			t.Errorf("queue{host=%s} is %v, not %v", host, got[host], want)
		}
	}
	r := s.send("POST", "/v1/prometheus/write", string(remoteWrite2(t, "queue2", 1)), "Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
	if r.status != 204 || r.header.Get("X-Prometheus-Remote-Write-Samples-Written") != "1" {
		t.Errorf("write 2: %d %v %s", r.status, r.header, r.body)
	}
	status, err := s.Status(ctx)
	if err != nil || status.Metrics == nil || status.Metrics.Series != 6 || status.Metrics.Taken != 6 || status.Metrics.History == nil || status.Metrics.History.Failing != "" {
		t.Errorf("status %+v, %v", status.Metrics, err)
	}
}

// Native histograms come through to PromQL, and what cannot be taken is told.
func TestIntakeHistograms(t *testing.T) {
	s := newStage(t)
	now := time.Now().Truncate(time.Second)
	h := prompb.FromIntHistogram(now.UnixMilli(), &histogram.Histogram{Count: 4, Sum: 9, ZeroThreshold: 1e-128, ZeroCount: 1,
		PositiveSpans: []histogram.Span{{Offset: 1, Length: 2}}, PositiveBuckets: []int64{1, 1}})
	send := func(all ...prompb.Histogram) reply {
		w := prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: []prompb.Label{{Name: "__name__", Value: "latency"}}, Histograms: all}}}
		text, err := w.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return s.send("POST", "/v1/prometheus/write", string(snappy.Encode(nil, text)), "Content-Type", "application/x-protobuf")
	}
	if r := send(h); r.status != 204 || r.header.Get("X-Prometheus-Remote-Write-Histograms-Written") != "1" || r.header.Get("X-Prometheus-Remote-Write-Samples-Written") != "0" {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}
	wrong := h
	wrong.Schema = 99
	if r := send(h, wrong); r.status != 400 || !strings.Contains(r.body, "1 a histogram that contradicts itself") {
		t.Errorf("%d %s", r.status, r.body)
	}
	at := now.Unix()
	want := fmt.Sprintf(`[{"metric":{"__name__":"latency"},"histogram":[%d,{"count":"4","sum":"9","buckets":[[3,"-1e-128","1e-128","1"],[0,"1","2","1"],[0,"2","4","2"]]}]}]`, at)
	if r := s.send("GET", fmt.Sprintf("/v1/prometheus/api/v1/query?query=latency&time=%d", at), nil); r.status != 200 || !strings.Contains(r.body, want) {
		t.Errorf("%d %s, want %s", r.status, r.body, want)
	}
	r, err := s.Metrics().QueryRange(t.Context(), "latency", now, now.Add(2*time.Second), time.Second)
	if err != nil || len(r.Series) != 1 || len(r.Series[0].Histograms) != 3 || r.Series[0].Histograms[2].Sum != 9 || !r.Series[0].Histograms[0].Time.Equal(now) {
		t.Errorf("%+v, %v", r, err)
	}
	if got := s.value("histogram_quantile(0.5, latency)", "__name__")[""]; got != 2 {
		t.Errorf("the median is %g", got)
	}
	if got := s.value("latency_count", "__name__")["latency_count"]; got != 4 {
		t.Errorf("the count is %g", got)
	}
}

// A series whose label is doubled is refused alone, and its sender hears of it.
func TestRemoteWriteDoubledLabel(t *testing.T) {
	s := newStage(t)
	now := time.Now().UnixMilli()
	send := func(kind string, message interface{ Marshal() ([]byte, error) }) {
		t.Helper()
		text, err := message.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		r := s.send("POST", "/v1/prometheus/write", string(snappy.Encode(nil, text)), "Content-Type", "application/x-protobuf"+kind)
		if r.status != 400 || !strings.HasPrefix(r.header.Get("Troupe-Refused"), "2 samples were not taken: 2 with a name") || !strings.Contains(r.body, `"host" is given twice, in metric "bad"`) ||
			r.header.Get("X-Prometheus-Remote-Write-Samples-Written") != "1" {
			t.Errorf("%d %v %s", r.status, r.header, r.body)
		}
	}
	series := func(labels ...prompb.Label) prompb.TimeSeries {
		return prompb.TimeSeries{Labels: labels, Samples: []prompb.Sample{{Timestamp: now, Value: 1}}}
	}
	label := func(name, value string) prompb.Label { return prompb.Label{Name: name, Value: value} }
	send("", &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{series(label("__name__", "bad"), label("host", "a"), label("host", "b")),
		series(label("__name__", "good"), label("host", "a")), series(label("__name__", "worse"), label("__name__", "worst"))}})
	of := func(refs ...uint32) writev2.TimeSeries {
		return writev2.TimeSeries{LabelsRefs: refs, Samples: []writev2.Sample{{Timestamp: now, Value: 1}}}
	}
	send(";proto=io.prometheus.write.v2.Request", &writev2.Request{Symbols: []string{"", "__name__", "bad", "good", "host", "c", "d"},
		Timeseries: []writev2.TimeSeries{of(1, 2, 4, 5, 4, 6), of(1, 3, 4, 5), of(1, 2, 1, 3)}})
	if got := s.value(`{__name__=~".+"}`, "host"); len(got) != 2 || got["a"] != 1 || got["c"] != 1 {
		t.Errorf("taken were %v", got)
	}
}

// OTLP's senders are told what is left out, in their own form.
func TestOTLPPartialSuccess(t *testing.T) {
	s := newStage(t)
	delta := otlpJSON("hits", `"sum":{"aggregationTemporality":1,`+point(1)+`}`)
	if r := s.send("POST", "/v1/otlp/v1/metrics", delta); r.status != 200 || r.body != "{}\n" {
		t.Errorf("delta: %d %s", r.status, r.body)
	}
	if r := s.send("POST", "/v1/otlp/v1/metrics", delta); r.status != 200 || !strings.Contains(r.body, "1 a delta that is not newer") || !strings.Contains(r.body, `"rejectedDataPoints":"1"`) {
		t.Errorf("JSON: %d %s", r.status, r.body)
	}
	if r := s.send("POST", "/v1/otlp/v1/metrics", "", "Content-Type", "application/x-protobuf"); r.status != 200 || r.body != "" || r.header.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("nothing: %d %q %v", r.status, r.body, r.header)
	}
	r := s.send("POST", "/v1/otlp/v1/metrics", "\xff\xff", "Content-Type", "application/x-protobuf")
	number, kind, n := protowire.ConsumeTag([]byte(r.body))
	text, _ := protowire.ConsumeString([]byte(r.body)[max(n, 0):])
	if r.status != 400 || number != 2 || kind != protowire.BytesType || !strings.Contains(text, "OTLP") {
		t.Errorf("broken: %d %q", r.status, r.body)
	}
	// Whatever is wrong with it, JSON is answered by a Status in JSON.
	for _, body := range []string{"garbage", `{"resourceMetrics":1}`} {
		var answer map[string]any
		r := s.send("POST", "/v1/otlp/v1/metrics", body, "Content-Type", "application/json; charset=utf-8")
		if err := json.Unmarshal([]byte(r.body), &answer); err != nil || r.status != 400 || r.header.Get("Content-Type") != "application/json" || len(answer) != 1 || answer["message"] == "" {
			t.Errorf("%s: %d %v %s", body, r.status, r.header, r.body)
		}
	}
	if err := s.Metrics().PushText(t.Context(), client.OTLPJSON, []byte("garbage")); !client.IsInvalid(err) || !strings.Contains(err.Error(), "OTLP") {
		t.Errorf("the client says %v", err)
	}
}

func TestIntakeEncodings(t *testing.T) {
	s := newStage(t)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	fmt.Fprintln(z, "a 1")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		encoding, body string
		status         int
		says           string
	}{
		{"gzip", zipped.String(), 204, ""},
		{"snappy", string(snappy.Encode(nil, []byte("a 2"))), 204, ""},
		{"identity", "a 3", 204, ""},
		{"gzip", "this text is no gzip at all", 400, "gzip"},
		{"gzip", zipped.String()[:15], 400, ""},
		{"snappy", "\xff\xff\xff\xff\xff\xff", 400, "snappy"},
		{"snapy", "a 1", 415, `did you mean \"snappy\"?`},
	} {
		if r := s.send("POST", "/v1/metrics/prometheus", c.body, "Content-Encoding", c.encoding); r.status != c.status || !strings.Contains(r.body, c.says) {
			t.Errorf("%s %q: %d %s", c.encoding, c.body, r.status, r.body)
		}
	}
}

func TestIntakeMistakes(t *testing.T) {
	s := newStage(t)
	for name, c := range map[string]struct {
		path, body, kind string
		status           int
		says             string
	}{
		"no JSON":        {"/metrics", "{", "application/json", 400, ""},
		"no metric":      {"/metrics", `[{"name":"good","timestamp":1,"value":1},{"name":"ba<d","timestamp":1,"value":1}]`, "application/json", 422, "ba\\u003cd"},
		"nested deep":    {"/metrics", strings.Repeat("[", 100), "application/json", 400, ""},
		"no text":        {"/metrics/prometheus", "a 1\nb\n", "text/plain", 400, "line 2"},
		"no protobuf":    {"/prometheus/write", string(snappy.Encode(nil, []byte("abc"))), "application/x-protobuf", 400, "remote write"},
		"not compressed": {"/prometheus/write", "abc", "application/x-protobuf", 400, "snappy"},
		"other message":  {"/prometheus/write", "", "application/x-protobuf;proto=x", 415, "send application/x-protobuf"},
		"other type":     {"/prometheus/write", "", "text/plain", 415, ""},
		"OTLP's type":    {"/otlp/v1/metrics", "", "text/plain", 415, "application/json"},
		"OTLP's JSON":    {"/otlp/v1/metrics", `{"resourceMetrics":1}`, "application/json", 400, `{"message":"malformed request: OTLP: `},
		"parameter":      {"/metrics?projct=1", "[]", "application/json", 400, `did you mean \"project\"?`},
		"project":        {"/metrics?project=nobody", "[]", "application/json", 404, "nobody"},
		"too large":      {"/metrics/prometheus", strings.Repeat("#", 33<<20), "text/plain", 413, ""},
	} {
		r := s.send("POST", "/v1"+c.path, c.body, "Content-Type", c.kind)
		if r.status != c.status || !strings.Contains(r.body, c.says) {
			t.Errorf("%s: %d %.300s", name, r.status, r.body)
		}
	}
	// More than other routes take is taken here.
	if r := s.send("POST", "/v1/metrics/prometheus", strings.Repeat("# a comment\n", 1<<20)+"a 1\n"); r.status != 204 {
		t.Errorf("12 MiB: %d %s", r.status, r.body)
	}
	if r := s.send("GET", "/v1/metrics", nil); r.status != 405 {
		t.Errorf("GET: %d %s", r.status, r.body)
	}
}

// A project in debt is refused before its body is read, with the time to wait.
func TestIntakeLimit(t *testing.T) {
	s := newStage(t)
	s.Limits.Rate, s.Limits.Burst = 0.1, 2
	text := "a{n=\"1\"} 1\na{n=\"2\"} 1\na{n=\"3\"} 1\n"
	if r := s.send("POST", "/v1/metrics/prometheus", text); r.status != 204 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	r := s.send("POST", "/v1/metrics/prometheus", "no sample")
	after, err := strconv.Atoi(r.header.Get("Retry-After"))
	if r.status != 429 || err != nil || after < 1 || !strings.Contains(r.body, "limit reached") {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}
	ann := s.user("ann", "research")
	if err := ann.Metrics().Push(t.Context(), client.MetricSample{Name: "a", Value: 1}); err != nil {
		t.Errorf("another project waits: %v", err)
	}
	s.Limits.Rate, s.Limits.Burst, s.Limits.Series = 1000, 1000, 2
	if r := s.send("POST", "/v1/metrics/prometheus?project=users", text); r.status != 429 || !strings.Contains(r.body, "more than 2 series; 1 samples") {
		t.Errorf("series: %d %s", r.status, r.body)
	}
	// The project's own quota counts from the next request on.
	groups, five := s.Groups(), 5
	users, err := groups.Change(t.Context(), "users", client.ChangeGroup{Quota: &client.Quota{Series: &five}})
	if err != nil || *users.Quota.Series != five {
		t.Fatalf("%+v, %v", users, err)
	}
	if r := s.send("POST", "/v1/metrics/prometheus?project=users", text); r.status != 204 {
		t.Errorf("after a higher limit: %d %s", r.status, r.body)
	}
}

// Who may send, and for which project.
func TestIntakeRights(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	ann := s.user("ann", "research")
	push := func(scopes string, user string) *client.Client {
		bits, err := identity.ParseScopes(strings.Split(scopes, ","))
		if err != nil {
			t.Fatal(err)
		}
		u, err := s.Directory.UserNamed(user)
		if err != nil {
			t.Fatal(err)
		}
		text, _, err := s.Directory.AddToken(ctx, identity.NewToken{User: u.ID, Scopes: bits})
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.New(s.url, client.Options{Token: text, Attempts: 1, HTTP: &http.Client{Transport: inspected}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	sample := client.MetricSample{Name: "a", Value: 1}
	if err := push("push", "ann").Metrics().Push(ctx, sample); err != nil {
		t.Errorf("scope push: %v", err)
	}
	if _, err := push("push", "ann").Metrics().Query(ctx, "a", time.Time{}); !client.IsDenied(err) {
		t.Errorf("scope push reads: %v", err)
	}
	if _, err := push("push", "ann").Me(ctx); !client.IsDenied(err) {
		t.Errorf("scope push reads: %v", err)
	}
	if err := push("read", "ann").Metrics().Push(ctx, sample); !client.IsDenied(err) {
		t.Errorf("scope read: %v", err)
	}
	if err := ann.Metrics().Of("oneadmin").Push(ctx, sample); !client.IsNotFound(err) {
		t.Errorf("a stranger's project: %v", err)
	}
	if _, err := ann.Metrics().Of("oneadmin").Query(ctx, "a", time.Time{}); err == nil {
		t.Error("a stranger's project can be read")
	}
	if err := s.Metrics().Of("research").Push(ctx, client.MetricSample{Name: "b", Value: 2}); err != nil {
		t.Errorf("an administrator: %v", err)
	}
	r, err := ann.Metrics().Query(ctx, "b", time.Time{})
	if err != nil || len(r.Series) != 1 || r.Series[0].Points[0].Value != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if len(s.value("b", "")) != 0 {
		t.Error("another project sees it")
	}
}

// An instance sends by its own token, and only about itself.
func TestIntakeOfInstances(t *testing.T) {
	s := newStage(t)
	made := s.up(s.Client, web)
	var id, vm, token string
	s.Engine.View(made.ID, func(x *service.Service) {
		i := x.Instance(1)
		id = string(x.MachineID(i))
		vm, token = s.Control.InstanceVM(x.MachineID(i)), s.Control.InstanceToken(x.MachineID(i))
	})
	push := func(path, vm, token, body string, more ...string) reply {
		req, err := http.NewRequestWithContext(context.Background(), "POST", s.url+"/v1"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-ONEGATE-TOKEN", token)
		req.Header.Set("X-ONEGATE-VMID", vm)
		for n := 0; n+1 < len(more); n += 2 {
			req.Header.Set(more[n], more[n+1])
		}
		resp, err := inspected.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply{resp.StatusCode, resp.Header, string(text)}
	}
	if r := push("/metrics/prometheus", vm, token, `load{service="99",role="other"} 3`); r.status != 204 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := push("/metrics/prometheus", id, token, `load{n="2"} 4`); r.status != 204 {
		t.Fatalf("by machine id: %d %s", r.status, r.body)
	}
	got := s.value(fmt.Sprintf(`load{service="%d",instance="1"}`, made.ID), "exported_service")
	if got["99"] != 3 || got[""] != 4 {
		t.Errorf("taken: %v", got)
	}
	for name, r := range map[string]reply{
		"another's token":     push("/metrics/prometheus", vm[:len(vm)-1]+"2", token, "load 1"),
		"a wrong token":       push("/metrics/prometheus", vm, "x"+token, "load 1"),
		"elsewhere":           push("/services", vm, token, "{}"),
		"no number":           push("/metrics/prometheus", "", token, "load 1"),
		"with a bad password": push("/metrics/prometheus", vm, token, "load 1", "Authorization", "Bearer x"),
	} {
		if r.status != 401 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if r := push("/metrics?project=users", vm, token, "[]"); r.status != 400 {
		t.Errorf("project: %d %s", r.status, r.body)
	}
}

func TestQueryAPI(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	m := s.Metrics()
	base := time.Now().Add(-time.Minute).Truncate(time.Second)
	var samples []client.MetricSample
	for n := range 10 {
		for _, host := range []string{"a", "b"} {
			samples = append(samples, client.MetricSample{Name: "cpu.user_perc", Dimensions: map[string]string{"host": host}, Time: base.Add(time.Duration(n) * time.Second), Value: float64(n)})
		}
	}
	if err := m.Push(ctx, samples...); err != nil {
		t.Fatal(err)
	}
	r, err := m.QueryRange(ctx, `sum({"cpu.user_perc"})`, base, base.Add(9*time.Second), time.Second)
	if err != nil || r.Type != "matrix" || len(r.Series) != 1 || len(r.Series[0].Points) != 10 || r.Series[0].Points[9].Value != 18 || !r.Series[0].Points[9].Time.Equal(base.Add(9*time.Second)) {
		t.Errorf("range %+v, %v", r, err)
	}
	if r, err = m.Query(ctx, "1 / 0", time.Time{}); err != nil || r.Type != "scalar" || !math.IsInf(r.Series[0].Points[0].Value, 1) {
		t.Errorf("scalar %+v, %v", r, err)
	}
	if r, err = m.Query(ctx, `"text"`, time.Time{}); err != nil || r.Type != "string" || r.Text != "text" {
		t.Errorf("string %+v, %v", r, err)
	}
	if list, err := m.Series(ctx, nil, time.Time{}, time.Time{}, 0); err != nil || len(list) != 2 || list[0]["__name__"] != "cpu.user_perc" || list[1]["host"] != "b" {
		t.Errorf("series %v, %v", list, err)
	}
	ask := func(method, path, form string) string {
		t.Helper()
		path = "/v1/prometheus/api/v1/" + path
		if method == "POST" {
			r := s.send(method, path, form, "Content-Type", "application/x-www-form-urlencoded")
			return fmt.Sprint(r.status, " ", strings.TrimSpace(r.body))
		}
		if form != "" {
			path += "?" + form
		}
		r := s.send(method, path, nil)
		return fmt.Sprint(r.status, " ", strings.TrimSpace(r.body))
	}
	at := strconv.FormatInt(base.Add(9*time.Second).Unix(), 10)
	selector := url.QueryEscape(`{"cpu.user_perc",host="a"}`)
	for _, c := range [][4]string{
		{"GET", "query", "time=" + at + "&query=" + selector, `200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"cpu.user_perc","host":"a"},"value":[` + at + `,"9"]}]}}`},
		{"POST", "query", "time=" + at + ".5&query=1e-7", `200 {"status":"success","data":{"resultType":"scalar","result":[` + at + `.500,"1e-07"]}}`},
		{"GET", "labels", "", `200 {"data":["__name__","host"],"status":"success"}`},
		{"POST", "labels", "match[]=" + selector, `200 {"data":["__name__","host"],"status":"success"}`},
		{"GET", "label/host/values", "", `200 {"data":["a","b"],"status":"success"}`},
		{"GET", "label/host/values", "match[]=" + selector, `200 {"data":["a"],"status":"success"}`},
		{"GET", "label/__name__/values", "limit=5", `200 {"data":["cpu.user_perc"],"status":"success"}`},
		{"GET", "label/host/values", "start=1&end=2", `200 {"data":[],"status":"success"}`},
		{"GET", "series", "match[]=" + selector, `200 {"data":[{"__name__":"cpu.user_perc","host":"a"}],"status":"success"}`},
		{"GET", "metadata", "", `200 {"data":{},"status":"success"}`},
	} {
		if got := ask(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("%s %s %s\n got %s\nwant %s", c[0], c[1], c[2], got, c[3])
		}
	}
	if got := ask("GET", "status/buildinfo", ""); !strings.Contains(got, `"version":"3.`) {
		t.Error(got)
	}
	for _, c := range [][4]string{
		{"GET", "query", "query=sum(", `"errorType":"bad_data"`},
		{"GET", "query", "query=a&time=soon", `query.time`},
		{"GET", "query", "query=a&timeout=x", `query.timeout`},
		{"GET", "query_range", "query=a&start=1&end=2", `query.step`},
		{"GET", "query_range", "query=a&start=1&end=100000&step=1", `11000`},
		{"GET", "query_range", "query=a&start=2&end=1&step=1", `end`},
		{"GET", "query_range", "query=a&start=1&end=2&step=x", `query.step`},
		{"GET", "series", "", `match[]`},
		{"GET", "series", "match[]={", `bad_data`},
		{"GET", "labels", "limit=x", `query.limit`},
		{"GET", "labels", "start=2&end=1", `query.end`},
		{"POST", "query", "%zz", `body`},
	} {
		if got := ask(c[0], c[1], c[2]); !strings.HasPrefix(got, `400 {"error":`) || !strings.Contains(got, c[3]) || !strings.Contains(got, `"status":"error"`) {
			t.Errorf("%s %s %s: %s", c[0], c[1], c[2], got)
		}
	}
	if got := ask("GET", "query", "query=a&project=nobody"); !strings.HasPrefix(got, "404 ") || !strings.Contains(got, `"errorType":"not_found"`) {
		t.Error(got)
	}
	if got := ask("DELETE", "query", ""); !strings.HasPrefix(got, "405 ") {
		t.Error(got)
	}
	req, _ := http.NewRequestWithContext(ctx, "GET", s.url+"/v1/prometheus/api/v1/query?query=a", nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var e struct{ Status, ErrorType string }
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || resp.StatusCode != 401 || e.Status != "error" {
		t.Errorf("a stranger: %d %+v %v", resp.StatusCode, e, err)
	}
}

// A request allocates for itself, not for its samples.
func TestIntakeAllocations(t *testing.T) {
	s := newStage(t)
	request := func(n int) func() {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, "m{host=\"h%d\"} 1\n", i)
		}
		return func() {
			if r := s.send("POST", "/v1/metrics/prometheus", text.String()); r.status != 204 {
				t.Fatalf("%d %s", r.status, r.body)
			}
		}
	}
	one, many := request(1), request(2000)
	many()
	few, lots := testing.AllocsPerRun(20, one), testing.AllocsPerRun(20, many)
	t.Logf("1 sample: %v allocations; 2000: %v", few, lots)
	if lots > few+500 { // buffers of client and history: not one for each sample
		t.Errorf("2000 samples allocate %v times, 1 sample %v times", lots, few)
	}
}
