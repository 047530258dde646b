package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Metrics returns the calls about metrics of the caller's own project.
func (c *Client) Metrics() *Metrics { return &Metrics{c: c} }

// Metrics are the calls about metrics.
type Metrics struct {
	c       *Client
	project string
}

// Of returns the calls about the metrics of another project: a group, by name or number.
func (m *Metrics) Of(project string) *Metrics { return &Metrics{m.c, project} }

// A MetricFormat is a form in which samples are sent.
type MetricFormat string

// The formats.
const (
	MonascaJSON    MetricFormat = "monasca"
	PrometheusText MetricFormat = "prometheus"
	RemoteWrite    MetricFormat = "remote-write"  // in snappy
	RemoteWrite2   MetricFormat = "remote-write2" // likewise
	OTLP           MetricFormat = "otlp"
	OTLPJSON       MetricFormat = "otlp-json"
)

var metricRoutes = map[MetricFormat]struct {
	path []string
	kind string
}{
	MonascaJSON:    {[]string{"metrics"}, "application/json"},
	PrometheusText: {[]string{"metrics", "prometheus"}, "text/plain; version=0.0.4"},
	RemoteWrite:    {[]string{"prometheus", "write"}, "application/x-protobuf"},
	RemoteWrite2:   {[]string{"prometheus", "write"}, "application/x-protobuf;proto=io.prometheus.write.v2.Request"},
	OTLP:           {[]string{"otlp", "v1", "metrics"}, "application/x-protobuf"},
	OTLPJSON:       {[]string{"otlp", "v1", "metrics"}, "application/json"},
}

// A MetricSample is one value of a metric.
type MetricSample struct {
	Name       string
	Dimensions map[string]string
	Time       time.Time // now when zero
	Value      float64
	Meta       map[string]string
}

// MarshalJSON writes Monasca's form.
func (s MetricSample) MarshalJSON() ([]byte, error) {
	if s.Time.IsZero() {
		s.Time = time.Now()
	}
	text, err := json.Marshal(struct {
		Name       string            `json:"name"`
		Dimensions map[string]string `json:"dimensions,omitempty"`
		Time       int64             `json:"timestamp"`
		Value      float64           `json:"value"`
		Meta       map[string]string `json:"value_meta,omitempty"`
	}{s.Name, s.Dimensions, s.Time.UnixMilli(), s.Value, s.Meta})
	if err != nil {
		return nil, fmt.Errorf("sample of %s: %w", s.Name, err)
	}
	return text, nil
}

// A RefusedError says that the server has taken a request, but not all of its samples.
type RefusedError struct {
	Samples int // that were not taken
	Why     string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%d %s", e.Samples, e.Why) }

// refused reads what the header of an answer says of samples that were not taken.
func refused(h http.Header) error {
	number, why, _ := strings.Cut(h.Get("Troupe-Refused"), " ")
	if n, err := strconv.Atoi(number); err == nil && n > 0 {
		return &RefusedError{n, why}
	}
	return nil
}

// Push sends samples. All are refused when one is wrong; when the server does not take some, for their times say, the
// error is a *RefusedError, and it has the others.
func (m *Metrics) Push(ctx context.Context, samples ...MetricSample) error {
	for _, s := range samples {
		if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
			return fmt.Errorf("sample of %s: %v is not finite, and no such value is kept", s.Name, s.Value)
		}
	}
	body, err := json.Marshal(samples)
	if err != nil {
		return err
	}
	return m.PushText(ctx, MonascaJSON, body)
}

// PushText sends samples that are in one of the formats already. Its errors are those of Push.
func (m *Metrics) PushText(ctx context.Context, format MetricFormat, body []byte) error {
	route, ok := metricRoutes[format]
	if !ok {
		return fmt.Errorf("there is no format %q of metrics", format)
	}
	q := call{method: http.MethodPost, path: path(route.path...), raw: body, header: http.Header{"Content-Type": {route.kind}}}
	if m.project != "" {
		q.query = url.Values{"project": {m.project}}
	}
	resp, cancel, err := m.c.open(ctx, q)
	if err != nil {
		return err
	}
	defer cancel()
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	return refused(resp.Header)
}

// An OTLPTaken is an answer to metrics sent as OTLP in JSON.
type OTLPTaken struct {
	PartialSuccess *OTLPLeftOut `json:"partialSuccess,omitempty"`
}

// An OTLPLeftOut tells what of them was left out.
type OTLPLeftOut struct {
	RejectedDataPoints string `json:"rejectedDataPoints"`
	ErrorMessage       string `json:"errorMessage"`
}

// An OTLPFailure is an answer to metrics in OTLP's JSON that are refused: a google.rpc.Status.
type OTLPFailure struct {
	Message string `json:"message"`
}

// A QueryResult is what a query in PromQL answers.
type QueryResult struct {
	Type     string          `json:"type"` // vector, matrix, scalar or string
	Series   []QueriedSeries `json:"series"`
	Text     string          `json:"text,omitempty"` // of a string
	Warnings []string        `json:"warnings,omitempty"`
}

// A QueriedSeries is one line of a result. A scalar is one without labels.
type QueriedSeries struct {
	Labels     map[string]string  `json:"labels"` // __name__ is the metric's
	Points     []QueriedPoint     `json:"points"`
	Histograms []QueriedHistogram `json:"histograms,omitempty"`
}

// A QueriedHistogram is a native histogram at a time, without its buckets.
type QueriedHistogram struct {
	Time  time.Time `json:"time"`
	Count float64   `json:"count"`
	Sum   float64   `json:"sum"`
}

// UnmarshalJSON reads Prometheus' form.
func (h *QueriedHistogram) UnmarshalJSON(text []byte) error {
	var seconds float64
	var figures struct {
		Count float64 `json:"count,string"`
		Sum   string  `json:"sum"` // may be NaN
	}
	if err := json.Unmarshal(text, &[2]any{&seconds, &figures}); err != nil {
		return err
	}
	h.Time, h.Count = time.UnixMilli(int64(math.Round(seconds*1000))).UTC(), figures.Count
	var err error
	h.Sum, err = strconv.ParseFloat(figures.Sum, 64)
	return err
}

// A QueriedPoint is a value at a time.
type QueriedPoint struct {
	Time  time.Time
	Value float64
}

// MarshalJSON writes Prometheus' form: seconds and a text, which may be NaN.
func (p QueriedPoint) MarshalJSON() ([]byte, error) {
	return json.Marshal([2]any{float64(p.Time.UnixMilli()) / 1000, strconv.FormatFloat(p.Value, 'g', -1, 64)})
}

// UnmarshalJSON reads it.
func (p *QueriedPoint) UnmarshalJSON(text []byte) error {
	var seconds float64
	var value string
	if err := json.Unmarshal(text, &[2]any{&seconds, &value}); err != nil {
		return err
	}
	p.Time = time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
	var err error
	p.Value, err = strconv.ParseFloat(value, 64)
	return err
}

// Query evaluates PromQL at one instant; now when at is zero.
func (m *Metrics) Query(ctx context.Context, query string, at time.Time) (QueryResult, error) {
	q := url.Values{"query": {query}}
	if !at.IsZero() {
		q.Set("time", at.Format(time.RFC3339Nano))
	}
	return m.query(ctx, "query", q)
}

// QueryRange evaluates PromQL at start and at every step up to end.
func (m *Metrics) QueryRange(ctx context.Context, query string, start, end time.Time, step time.Duration) (QueryResult, error) {
	return m.query(ctx, "query_range", url.Values{"query": {query}, "start": {start.Format(time.RFC3339Nano)}, "end": {end.Format(time.RFC3339Nano)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}})
}

// Series returns the series that selectors of PromQL choose, all when there are none, and that had samples between start
// and end, of which each may be zero. limit bounds them; 0 for no bound.
func (m *Metrics) Series(ctx context.Context, selectors []string, start, end time.Time, limit int) ([]map[string]string, error) {
	q := url.Values{"match[]": selectors}
	if len(selectors) == 0 {
		q.Set("match[]", `{__name__!=""}`)
	}
	for name, t := range map[string]time.Time{"start": start, "end": end} {
		if !t.IsZero() {
			q.Set(name, t.Format(time.RFC3339Nano))
		}
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var out []map[string]string
	_, err := m.prometheus(ctx, "series", q, &out)
	return out, err
}

func (m *Metrics) query(ctx context.Context, route string, q url.Values) (QueryResult, error) {
	var data struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	}
	var out QueryResult
	var err error
	if out.Warnings, err = m.prometheus(ctx, route, q, &data); err != nil {
		return out, err
	}
	out.Type, out.Series = data.Type, []QueriedSeries{}
	switch data.Type {
	case "scalar":
		out.Series = []QueriedSeries{{Labels: map[string]string{}, Points: make([]QueriedPoint, 1)}}
		err = json.Unmarshal(data.Result, &out.Series[0].Points[0])
	case "string":
		err = json.Unmarshal(data.Result, &[2]any{new(float64), &out.Text})
	default:
		var series []struct {
			Metric map[string]string `json:"metric"`
			Value  *QueriedPoint     `json:"value"`
			Values []QueriedPoint    `json:"values"`

			Histogram  *QueriedHistogram  `json:"histogram"`
			Histograms []QueriedHistogram `json:"histograms"`
		}
		err = json.Unmarshal(data.Result, &series)
		for _, s := range series {
			if s.Value != nil {
				s.Values = []QueriedPoint{*s.Value}
			}
			if s.Histogram != nil {
				s.Histograms = []QueriedHistogram{*s.Histogram}
			}
			out.Series = append(out.Series, QueriedSeries{s.Metric, s.Values, s.Histograms})
		}
	}
	if err != nil {
		return out, fmt.Errorf("query: the answer cannot be read: %w", err)
	}
	return out, nil
}

// prometheus asks the part of the API that is Prometheus' own.
func (m *Metrics) prometheus(ctx context.Context, route string, q url.Values, data any) (warnings []string, err error) {
	if m.project != "" {
		q.Set("project", m.project)
	}
	answer := struct {
		Data     any      `json:"data"`
		Warnings []string `json:"warnings"`
	}{Data: data}
	r := call{method: http.MethodPost, path: path("prometheus", "api", "v1", route), raw: []byte(q.Encode()),
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
	err = m.c.do(ctx, r, &answer)
	return answer.Warnings, err
}

// A MetricsHealth tells how the intake of samples is.
type MetricsHealth struct {
	Series  int64             `json:"series" doc:"In memory."`
	Taken   uint64            `json:"taken" doc:"Samples, since the start."`
	Refused map[string]uint64 `json:"refused" doc:"Samples that were dropped or noteworthy, by reason, since the start."`
	History *HistoryHealth    `json:"history,omitempty" doc:"None where no history is kept."`
}

// A HistoryHealth tells how the history of metrics is.
type HistoryHealth struct {
	Series    uint64     `json:"series" doc:"In its newest part."`
	DiskBytes int64      `json:"disk_bytes"`
	Oldest    *time.Time `json:"oldest,omitempty"`
	Failing   string     `json:"failing,omitempty" doc:"Why samples cannot be recorded."`
	Since     *time.Time `json:"since,omitempty" doc:"Since when."`
	Waiting   int        `json:"waiting,omitempty" doc:"Samples that wait in memory."`
	Lost      uint64     `json:"lost,omitempty" doc:"Samples that there was no room for."`
}
