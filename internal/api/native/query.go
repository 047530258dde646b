package native

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// The part of Prometheus' own HTTP API that Grafana asks for, in its shapes. The API's description leaves it out:
// Prometheus describes it.

const queryPrefix = "/prometheus/api/v1/"

// A query is one request of this API.
type query struct {
	*http.Request
	past   *telemetry.History
	tenant int
}

// queryTable puts the routes of the query API on the mux.
func (f *face) queryTable() {
	routes := map[string]func(*query, *answerWriter) error{
		"query": (*query).instant, "query_range": (*query).over, "series": (*query).series, "labels": (*query).labels,
	}
	for name, do := range routes {
		f.mux.HandleFunc(get+" "+queryPrefix+name, f.query(do))
		f.mux.HandleFunc(post+" "+queryPrefix+name, f.query(do))
	}
	f.mux.HandleFunc(get+" "+queryPrefix+"label/{label}/values", f.query((*query).values))
	f.mux.HandleFunc(get+" "+queryPrefix+"metadata", f.query(func(_ *query, w *answerWriter) error { return w.json(struct{}{}) })) // none is kept
	f.mux.HandleFunc(get+" "+queryPrefix+"status/buildinfo", f.query(func(_ *query, w *answerWriter) error {
		return w.json(map[string]string{"version": promQLVersion(), "application": "Troupe " + f.options.Version})
	}))
}

func (f *face) query(do func(*query, *answerWriter) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		api.Often(r)
		if err := r.ParseForm(); err != nil {
			f.fail(w, r, unformed(err))
			return
		}
		q := &query{Request: r}
		var err error
		if q.past, q.tenant, err = f.control.Past(api.Caller(r.Context()), r.Form.Get("project")); err == nil {
			ctx, cancel, e := q.bounded()
			if err = e; err == nil {
				defer cancel()
				q.Request = r.WithContext(ctx)
				err = do(q, &answerWriter{w: w})
			}
		}
		if err != nil {
			f.fail(w, r, err)
		}
	}
}

func unformed(err error) error {
	if errors.As(err, new(*http.MaxBytesError)) || errors.As(err, new(interface{ Timeout() bool })) {
		return api.BodyError(err)
	}
	return invalid("body", "not a form: "+err.Error())
}

// failQuery answers an error in Prometheus' shape.
func failQuery(w http.ResponseWriter, e *failure) {
	kind := map[int]string{http.StatusBadRequest: "bad_data", http.StatusUnprocessableEntity: "execution", http.StatusServiceUnavailable: "unavailable",
		http.StatusNotFound: "not_found", http.StatusInternalServerError: "internal", http.StatusTooManyRequests: "unavailable"}[e.Status]
	if kind == "" {
		kind = "bad_data"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_ = writeJSON(w, map[string]string{"status": "error", "errorType": kind, "error": e.Detail}) // a client that left hears nothing
}

// bounded returns the request's context, ended after its timeout if it names one.
func (q *query) bounded() (context.Context, context.CancelFunc, error) {
	text := q.Form.Get("timeout")
	if text == "" {
		return q.Context(), func() {}, nil
	}
	d, err := parseStep(text)
	if err != nil || d <= 0 {
		return nil, nil, q.wrong("timeout", "%.40q is no time span such as 30s", text)
	}
	ctx, cancel := context.WithTimeout(q.Context(), d)
	return ctx, cancel, nil
}

func (q *query) wrong(parameter, format string, args ...any) error {
	return invalid("query."+parameter, fmt.Sprintf(format, args...))
}

// time reads a parameter: seconds since 1970 or RFC 3339.
func (q *query) time(parameter string, def time.Time) (time.Time, error) {
	text := q.Form.Get(parameter)
	if text == "" {
		return def, nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(seconds) < 1e12 { // not NaN either
		return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return def, q.wrong(parameter, "%.40q is no time; write seconds since 1970, or 2030-01-05T02:00:00Z", text)
}

// span reads start and end, and returns the range that ends after end.
func (q *query) span() (from, to time.Time, err error) {
	if from, err = q.time("start", telemetry.Beginning); err != nil {
		return
	}
	if to, err = q.time("end", telemetry.End); err == nil && to.Before(from) {
		err = q.wrong("end", "is before the start")
	}
	return from, to.Add(time.Millisecond), err
}

// parseStep reads seconds or Prometheus' notation.
func parseStep(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(seconds) < 1e9 {
		return time.Duration(seconds * float64(time.Second)), nil
	}
	d, err := model.ParseDuration(text)
	return time.Duration(d), err
}

func (q *query) instant(w *answerWriter) error {
	at, err := q.time("time", time.Now())
	if err != nil {
		return err
	}
	r, err := q.past.Query(q.Context(), q.tenant, q.Form.Get("query"), at)
	if err != nil {
		return err
	}
	return w.result(r, at)
}

func (q *query) over(w *answerWriter) error {
	for _, name := range [...]string{"start", "end", "step"} {
		if q.Form.Get(name) == "" {
			return q.wrong(name, "is missing")
		}
	}
	start, err := q.time("start", time.Time{})
	if err != nil {
		return err
	}
	end, err := q.time("end", time.Time{})
	if err != nil {
		return err
	}
	step, err := parseStep(q.Form.Get("step"))
	if err != nil {
		return q.wrong("step", "%.40q is no time span; write seconds, or 15s", q.Form.Get("step"))
	}
	r, err := q.past.QueryRange(q.Context(), q.tenant, q.Form.Get("query"), start, end, step)
	if err != nil {
		return err
	}
	return w.result(r, start)
}

// selectors returns the filters of match[]; one that chooses all when there is none.
func (q *query) selectors() []telemetry.Filter {
	var out []telemetry.Filter
	for _, s := range q.Form["match[]"] {
		out = append(out, telemetry.Filter{Selector: s})
	}
	if len(out) == 0 {
		out = []telemetry.Filter{{}}
	}
	return out
}

// each unites what do finds for every selector, up to the limit that the request names.
func each[T any](q *query, compare func(a, b T) int, do func(f telemetry.Filter, from, to time.Time) ([]T, error)) ([]T, error) {
	from, to, err := q.span()
	if err != nil {
		return nil, err
	}
	limit := 0
	if text := q.Form.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 0 {
			return nil, q.wrong("limit", "%.40q is no number of 0 or more", text)
		}
	}
	out := []T{}
	for _, f := range q.selectors() {
		found, err := do(f, from, to)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.SortFunc(out, compare)
	out = slices.CompactFunc(out, func(a, b T) bool { return compare(a, b) == 0 })
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return out, nil
}

func (q *query) series(w *answerWriter) error {
	if len(q.Form["match[]"]) == 0 {
		return q.wrong("match[]", "is missing: name a selector such as {service=\"7\"}")
	}
	found, err := each(q, telemetry.CompareSeries, func(f telemetry.Filter, from, to time.Time) ([]*metric.Series, error) {
		return q.past.Series(q.Context(), q.tenant, f, from, to)
	})
	if err != nil {
		return err
	}
	out := make([]map[string]string, len(found))
	for i, s := range found {
		out[i] = s.Dimensions.Map()
		out[i][model.MetricNameLabel] = s.Name
	}
	return w.json(out)
}

func (q *query) labels(w *answerWriter) error {
	found, err := each(q, strings.Compare, func(f telemetry.Filter, from, to time.Time) ([]string, error) {
		names, err := q.past.DimensionNames(q.Context(), q.tenant, f, from, to)
		if some, e := q.past.Names(q.Context(), q.tenant, f, from, to); e == nil && len(some) > 0 {
			names = append(names, model.MetricNameLabel)
		}
		return names, err
	})
	if err != nil {
		return err
	}
	return w.json(found)
}

func (q *query) values(w *answerWriter) error {
	found, err := each(q, strings.Compare, func(f telemetry.Filter, from, to time.Time) ([]string, error) {
		if q.PathValue("label") == model.MetricNameLabel {
			return q.past.Names(q.Context(), q.tenant, f, from, to)
		}
		return q.past.DimensionValues(q.Context(), q.tenant, q.PathValue("label"), f, from, to)
	})
	if err != nil {
		return err
	}
	return w.json(found)
}

// An answerWriter writes good answers in Prometheus' shape.
type answerWriter struct {
	w http.ResponseWriter
}

func (w *answerWriter) json(data any) error {
	w.w.Header().Set("Content-Type", inJSON)
	_ = writeJSON(w.w, map[string]any{"status": "success", "data": data}) // a client that left hears nothing
	return nil
}

// result writes what a query answers as it goes: it may have millions of points.
func (w *answerWriter) result(r *telemetry.QueryResult, at time.Time) error {
	w.w.Header().Set("Content-Type", inJSON)
	out := bufio.NewWriterSize(w.w, 64<<10)
	var scratch []byte
	point := func(s telemetry.Sample) {
		scratch = append(scratch[:0], '[')
		scratch = appendSeconds(scratch, s.Time)
		scratch = append(scratch, ',', '"')
		scratch = strconv.AppendFloat(scratch, s.Value, formatOf(s.Value), -1, 64)
		out.Write(append(scratch, '"', ']')) // its error stays until Flush
	}
	fmt.Fprintf(out, `{"status":"success","data":{"resultType":%q,"result":`, r.Type)
	switch r.Type {
	case "scalar":
		point(r.Series[0].Samples[0])
	case "string":
		text, _ := json.Marshal(r.Text) // texts always marshal
		fmt.Fprintf(out, "[%s,%s]", appendSeconds(nil, at.UnixMilli()), text)
	default:
		out.WriteByte('[')
		for i := range r.Series {
			if i > 0 {
				out.WriteByte(',')
			}
			writeSeries(out, &r.Series[i], r.Type, point)
		}
		out.WriteByte(']')
	}
	out.WriteByte('}')
	if len(r.Warnings) > 0 {
		text, _ := json.Marshal(r.Warnings)
		fmt.Fprintf(out, `,"warnings":%s`, text)
	}
	out.WriteString("}\n")
	_ = out.Flush() // a client that left hears nothing
	return nil
}

func writeSeries(out *bufio.Writer, s *telemetry.SampledSeries, kind string, point func(telemetry.Sample)) {
	labels := s.Dimensions.Map()
	if s.Name != "" {
		labels[model.MetricNameLabel] = s.Name
	}
	text, _ := json.Marshal(labels) // texts always marshal
	out.WriteString(`{"metric":`)
	out.Write(text)
	switch {
	case kind == "vector" && len(s.Histograms) > 0:
		out.WriteString(`,"histogram":`)
		writeHistogram(out, &s.Histograms[0])
	case kind == "vector":
		out.WriteString(`,"value":`)
		point(s.Samples[0])
	default:
		if len(s.Samples) > 0 || len(s.Histograms) == 0 {
			writeList(out, `,"values":[`, s.Samples, point)
		}
		if len(s.Histograms) > 0 {
			writeList(out, `,"histograms":[`, s.Histograms, func(h telemetry.HistogramSample) { writeHistogram(out, &h) })
		}
	}
	out.WriteByte('}')
}

func writeList[T any](out *bufio.Writer, begin string, list []T, write func(T)) {
	out.WriteString(begin)
	for i, x := range list {
		if i > 0 {
			out.WriteByte(',')
		}
		write(x)
	}
	out.WriteByte(']')
}

// writeHistogram writes a native histogram as Prometheus does: buckets that are empty are left out, and each begins with
// which of its bounds belong to it.
func writeHistogram(out *bufio.Writer, s *telemetry.HistogramSample) {
	figure := func(v float64) string { return strconv.FormatFloat(v, formatOf(v), -1, 64) }
	fmt.Fprintf(out, `[%s,{"count":%q,"sum":%q`, appendSeconds(nil, s.Time), figure(s.Histogram.Count), figure(s.Histogram.Sum))
	begin := `,"buckets":[`
	for it := s.Histogram.AllBucketIterator(); it.Next(); {
		b := it.At()
		if b.Count == 0 {
			continue
		}
		bounds := 2 // neither
		switch {
		case b.LowerInclusive && b.UpperInclusive:
			bounds = 3
		case b.LowerInclusive:
			bounds = 1
		case b.UpperInclusive:
			bounds = 0
		}
		fmt.Fprintf(out, `%s[%d,%q,%q,%q]`, begin, bounds, figure(b.Lower), figure(b.Upper), figure(b.Count))
		begin = ","
	}
	if begin == "," {
		out.WriteByte(']')
	}
	out.WriteString("}]")
}

// formatOf is how Prometheus writes a value.
func formatOf(v float64) byte {
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return 'e'
	}
	return 'f'
}

// appendSeconds writes milliseconds as seconds.
func appendSeconds(b []byte, ms int64) []byte {
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if rest := ms % 1000; rest != 0 {
		b = append(b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	}
	return b
}

// promQLVersion is the release of Prometheus whose engine answers: its module v0.315.0 is 3.15.0.
func promQLVersion() string {
	info, _ := debug.ReadBuildInfo()
	if info != nil {
		for _, m := range info.Deps {
			var minor, patch int
			if m.Path != "github.com/prometheus/prometheus" {
				continue
			}
			if n, _ := fmt.Sscanf(m.Version, "v0.%d.%d", &minor, &patch); n == 2 && minor >= 300 {
				return fmt.Sprintf("%d.%d.%d", minor/100, minor%100, patch)
			}
		}
	}
	return "3.0.0" // a test binary does not know
}
