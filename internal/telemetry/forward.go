package telemetry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/troupe-dev/troupe/internal/metric"
)

// ForwardOptions say where samples are passed on to. Zero values take the defaults that are named.
type ForwardOptions struct {
	URL         string            // of a remote write (version 1) receiver
	Header      map[string]string // such as Authorization, or X-Scope-OrgID
	TenantLabel string            // the label that tells the tenant; "": none is sent
	Client      *http.Client      // nil: one with Timeout
	Timeout     time.Duration     // of one request; default 30 s
	Queue       int               // samples in memory; default 500,000
	Batch       int               // samples of one request; default 5,000
	Linger      time.Duration     // how long a request waits to become full; default 1 s
	Give        time.Duration     // how long one request is tried again; default 1 h
	Log         *slog.Logger      // nil: slog.Default
}

// A Forwarder passes samples on by remote write, so that what outgrows one machine can live in Prometheus, Mimir or
// VictoriaMetrics. It never makes its caller wait: what its queue has no room for is dropped and counted. Names get
// underscores for what older receivers refuse.
type Forwarder struct {
	o    ForwardOptions
	mu   sync.Mutex
	ring []metric.Point // metas left out
	head int            // of the oldest
	n    int
	wake chan struct{} // one place: there is a full batch

	sent, dropped, failed atomic.Uint64
	last                  atomic.Pointer[string]
}

// NewForwarder returns one whose Run has to be called.
func NewForwarder(o ForwardOptions) *Forwarder {
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.Queue = cmp.Or(o.Queue, 500_000)
	o.Batch = min(cmp.Or(o.Batch, 5_000), o.Queue)
	o.Linger = cmp.Or(o.Linger, time.Second)
	o.Give = cmp.Or(o.Give, time.Hour)
	if o.Client == nil {
		o.Client = &http.Client{Timeout: o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Forwarder{o: o, wake: make(chan struct{}, 1)}
}

// Append queues points, and drops those that there is no room for. It never fails.
func (f *Forwarder) Append(points []metric.Point) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n+len(points) > len(f.ring) && len(f.ring) < f.o.Queue {
		f.grow(f.n + len(points))
	}
	n := min(len(points), len(f.ring)-f.n)
	for i := range n {
		p := points[i]
		p.Meta = nil
		f.ring[(f.head+f.n)%len(f.ring)] = p
		f.n++
	}
	f.dropped.Add(uint64(len(points) - n))
	if f.n >= f.o.Batch {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// grow doubles the ring up to its bound.
func (f *Forwarder) grow(want int) {
	ring := make([]metric.Point, min(f.o.Queue, max(want, 2*len(f.ring))))
	for i := range f.n {
		ring[i] = f.ring[(f.head+i)%len(f.ring)]
	}
	f.ring, f.head = ring, 0
}

// Forget does nothing: queued points hold their series themselves.
func (f *Forwarder) Forget(*metric.Series) {}

// take moves the oldest points to the caller.
func (f *Forwarder) take(into []metric.Point) []metric.Point {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range min(f.n, f.o.Batch) {
		into = append(into, f.ring[f.head])
		f.ring[f.head] = metric.Point{}
		f.head = (f.head + 1) % len(f.ring)
		f.n--
	}
	return into
}

// Run sends until ctx ends. The caller waits for it. What is still queued then is lost.
func (f *Forwarder) Run(ctx context.Context) {
	linger := time.NewTicker(f.o.Linger)
	defer linger.Stop()
	var points []metric.Point
	var e remoteEncoder
	for {
		points = f.take(points[:0])
		if len(points) > 0 {
			f.deliver(ctx, e.encode(points, f.o.TenantLabel), len(points))
			clear(points)
		}
		f.mu.Lock()
		full := f.n >= f.o.Batch
		f.mu.Unlock()
		if full && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-linger.C:
		}
	}
}

// deliver sends one request until it is taken, refused for good, or too old.
func (f *Forwarder) deliver(ctx context.Context, body []byte, n int) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 30*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := f.send(ctx, body)
		if err != nil {
			f.failed.Add(1)
			text := err.Error()
			if f.last.Swap(&text) == nil {
				f.o.Log.Warn("samples cannot be forwarded; it will be tried again", "error", err)
			}
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(f.o.Give))
	if err != nil {
		f.dropped.Add(uint64(n))
		if ctx.Err() == nil {
			f.o.Log.Warn("samples were not forwarded", "samples", n, "error", err)
		}
		return
	}
	f.sent.Add(uint64(n))
	if f.last.Swap(nil) != nil {
		f.o.Log.Info("samples are forwarded again")
	}
}

func (f *Forwarder) send(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.o.URL, bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(err)
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	r.Header.Set("User-Agent", "troupe")
	for name, value := range f.o.Header {
		r.Header.Set(name, value)
	}
	answer, err := f.o.Client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	words, _ := io.ReadAll(io.LimitReader(answer.Body, 512))
	if answer.StatusCode/100 == 2 {
		return nil
	}
	err = fmt.Errorf("remote write: %s: %s", answer.Status, bytes.TrimSpace(words))
	switch {
	case answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable:
		if s, bad := strconv.Atoi(answer.Header.Get("Retry-After")); bad == nil && s > 0 {
			return errors.Join(err, backoff.RetryAfter(min(s, 300)))
		}
		return err
	case answer.StatusCode/100 == 5:
		return err
	}
	return backoff.Permanent(err)
}

// ForwardHealth is how forwarding fares.
type ForwardHealth struct {
	Queued                int
	Sent, Dropped, Failed uint64 // samples, samples, requests; since the start
	Error                 string // of the last request, "" when it was taken
}

// Health returns figures for /metrics and the status page.
func (f *Forwarder) Health() ForwardHealth {
	f.mu.Lock()
	n := f.n
	f.mu.Unlock()
	h := ForwardHealth{Queued: n, Sent: f.sent.Load(), Dropped: f.dropped.Load(), Failed: f.failed.Load()}
	if e := f.last.Load(); e != nil {
		h.Error = *e
	}
	return h
}

// A remoteEncoder makes remote write requests, in memory that it uses again.
type remoteEncoder struct {
	request prompb.WriteRequest
	at      map[*metric.Series]int
	plain   []byte
	packed  []byte
}

// encode puts points of one series together. The result lasts until the next call.
func (e *remoteEncoder) encode(points []metric.Point, tenantLabel string) []byte {
	if e.at == nil {
		e.at = make(map[*metric.Series]int)
	}
	clear(e.at)
	e.request.Timeseries = e.request.Timeseries[:0]
	for _, p := range points {
		i, ok := e.at[p.Series]
		if !ok {
			i = len(e.request.Timeseries)
			e.at[p.Series] = i
			e.request.Timeseries = append(e.request.Timeseries, prompb.TimeSeries{Labels: remoteLabels(p.Series, tenantLabel)})
		}
		ts := &e.request.Timeseries[i]
		if p.Histogram != nil {
			ts.Histograms = append(ts.Histograms, prompb.FromFloatHistogram(p.Time, p.Histogram))
			continue
		}
		ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: p.Time, Value: p.Value})
	}
	n := e.request.Size()
	if cap(e.plain) < n {
		e.plain = make([]byte, n)
	}
	n, err := e.request.MarshalToSizedBuffer(e.plain[:n])
	if err != nil {
		panic("telemetry: a request does not fit its own size: " + err.Error())
	}
	e.packed = snappy.Encode(e.packed[:cap(e.packed)], e.plain[:n])
	return e.packed
}

// remoteLabels returns a series' labels, sorted, in the narrow set of characters that every receiver takes.
func remoteLabels(s *metric.Series, tenantLabel string) []prompb.Label {
	out := make([]prompb.Label, 0, len(s.Dimensions)+2)
	out = append(out, prompb.Label{Name: "__name__", Value: narrow(s.Name, true)})
	for _, d := range s.Dimensions {
		out = append(out, prompb.Label{Name: narrow(d.Name, false), Value: d.Value})
	}
	if tenantLabel != "" {
		out = append(out, prompb.Label{Name: tenantLabel, Value: strconv.Itoa(s.Tenant)})
	}
	return sortedOnce(out)
}

// sortedOnce sorts labels; of two whose names became the same the first stays.
func sortedOnce(l []prompb.Label) []prompb.Label {
	slices.SortStableFunc(l, func(a, b prompb.Label) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(l, func(a, b prompb.Label) bool { return a.Name == b.Name })
}

func narrow(name string, colon bool) string {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r >= '0' && r <= '9' || r == ':' && colon)
	}
	if name[0] >= '0' && name[0] <= '9' {
		name = "_" + name
	}
	if strings.IndexFunc(name, bad) < 0 {
		return name
	}
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return '_'
		}
		return r
	}, name)
}
