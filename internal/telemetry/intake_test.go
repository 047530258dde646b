package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/value"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A witness is a sink that remembers what it saw, and checks the order of calls.
type witness struct {
	t      testing.TB
	mu     sync.Mutex
	live   map[uint32]*metric.Series
	points []metric.Point
	gone   []string
}

func (w *witness) Joined(s *metric.Series) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.live == nil {
		w.live = make(map[uint32]*metric.Series)
	}
	if w.live[s.ID] != nil {
		w.t.Errorf("ID %d of %s is taken", s.ID, s)
	}
	w.live[s.ID] = s
}

func (w *witness) Observe(points []metric.Point, _ time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range points {
		if w.live[p.Series.ID] != p.Series {
			w.t.Errorf("point of %s, which is not there", p.Series)
		}
	}
	w.points = append(w.points, points...)
}

func (w *witness) Dropped(s *metric.Series) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.live[s.ID] != s {
		w.t.Errorf("dropped %s, which is not there", s)
	}
	delete(w.live, s.ID)
	w.gone = append(w.gone, s.String())
}

func (w *witness) seen() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out strings.Builder
	for _, p := range w.points {
		fmt.Fprintf(&out, "%s %s\n", p.Series, number(p.Value))
	}
	w.points = nil
	return out.String()
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// send writes lines of the text exposition format.
func send(t testing.TB, in *Intake, who *Binding, now time.Time, lines ...string) (Result, error) {
	t.Helper()
	b := NewBatch()
	defer b.Free()
	if err := DecodeText(b, []byte(strings.Join(lines, "\n")), now); err != nil {
		t.Fatal(err)
	}
	return in.Write(who, b, now)
}

func TestWrite(t *testing.T) {
	w := &witness{t: t}
	in := NewIntake(Options{Sink: w, Log: quiet})
	ms := func(d time.Duration) int64 { return noon.Add(d).UnixMilli() }
	r, err := send(t, in, &Binding{Tenant: 1}, noon,
		`m{b="2",a="1"} 1`,
		fmt.Sprintf(`m{a="1",b="2"} 1 %d`, ms(0)),
		fmt.Sprintf(`m{a="1",b="2"} 2 %d`, ms(0)),
		fmt.Sprintf(`m{a="1",b="2"} 3 %d`, ms(-time.Minute)),
		fmt.Sprintf(`m{a="1",b="2"} 4 %d`, ms(-2*time.Hour)),
		fmt.Sprintf(`m{a="1",b="2"} 5 %d`, ms(10*time.Minute)),
		`m{a="1",b="2"} NaN`, `m{a="1",b="2"} -Inf`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w.seen(), "m{a=1, b=2} 1\nm{a=1, b=2} 3\n"; got != want {
		t.Errorf("sink saw\n%swant\n%s", got, want)
	}
	want := map[Reason]int{Doubled: 1, Conflict: 1, OutOfOrder: 1, Late: 1, Future: 1, NotFinite: 2}
	for reason := range reasons {
		if r.Counts[reason] != want[reason] {
			t.Errorf("%s: %d, want %d", reason, r.Counts[reason], want[reason])
		}
	}
	if h := in.Health(); r.Taken != 3 || h.Taken != 3 || h.Series != 1 || h.Counts[NotFinite] != 2 {
		t.Errorf("taken %d, health %+v", r.Taken, h)
	}
	// Another tenant's series of the same name is another.
	if _, err := send(t, in, &Binding{Tenant: 2}, noon, `m{b="2",a="1"} 1`); err != nil || len(w.live) != 2 {
		t.Errorf("%v, %d series", err, len(w.live))
	}
}

func TestEndOfSeriesGoesToHistoryAlone(t *testing.T) {
	w, h := &witness{t: t}, &flaky{}
	in := NewIntake(Options{Sink: w, History: h, Log: quiet})
	b := NewBatch()
	defer b.Free()
	if err := errors.Join(b.end("m", b.begin()), b.point(noon.UnixMilli(), 1), b.point(noon.UnixMilli()+1, math.Float64frombits(value.StaleNaN))); err != nil {
		t.Fatal(err)
	}
	if r, err := in.Write(&Binding{}, b, noon); err != nil || r.Counts[Ended] != 1 {
		t.Error(r, err)
	}
	if got := w.seen(); got != "m 1\n" || h.points.Load() != 2 {
		t.Errorf("sink saw %s, history %d", got, h.points.Load())
	}
}

// What comes late is history, and nothing that an alarm could take for news.
func TestLateSamples(t *testing.T) {
	w := &witness{t: t}
	h, err := OpenHistory(HistoryOptions{Dir: t.TempDir(), Retention: 10 * 24 * time.Hour, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	in := NewIntake(Options{Sink: w, History: h, Retain: 10 * 24 * time.Hour, Log: quiet})
	at := func(v string, ago time.Duration) string { return fmt.Sprintf("m %s %d", v, noon.Add(-ago).UnixMilli()) }
	day := 24 * time.Hour
	r, err := send(t, in, &Binding{Tenant: 1}, noon, at("1", 0), at("2", 9*day), at("3", 2*time.Hour), at("4", 5*day), at("5", 30*time.Minute), at("6", 11*day))
	if err != nil || r.Taken != 5 || r.Counts[Late] != 3 || r.Counts[Old] != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if got := w.seen(); got != "m 1\nm 5\n" {
		t.Errorf("sink saw\n%s", got)
	}
	var got []string
	for p, err := range h.Measurements(t.Context(), 1, Filter{Name: "m"}, Beginning, End) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%g", p.Value))
	}
	if strings.Join(got, " ") != "2 4 3 5 1" || h.Health().TooOld != 0 {
		t.Errorf("history has %v; %+v", got, h.Health())
	}
	// A series of which only the past came is no news either, and the present is taken as ever.
	if _, err := send(t, in, &Binding{Tenant: 2}, noon, at("1", day)); err != nil || w.seen() != "" {
		t.Error(err)
	}
	if _, err := send(t, in, &Binding{Tenant: 2}, noon, at("2", 0)); err != nil || w.seen() != "m 2\n" {
		t.Error(err)
	}
}

func TestWriteInvalid(t *testing.T) {
	w := &witness{t: t}
	in := NewIntake(Options{Sink: w, Log: quiet})
	// Prometheus' series that are not refused are taken, and the sender is told of the others.
	r, err := send(t, in, &Binding{}, noon, `good{path="/a?b=c&d"} 1`, `bad{__x="1"} 1`, `bad{a="1",a="2"} 1`, "bad{a=\"\xff\"} 1")
	if err != nil || r.Counts[Invalid] != 3 || r.Taken != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if n, why := r.Refused(); n != 3 || why != `samples were not taken: 3 with a name or dimension that is not allowed (dimension name "__x" begins with two underscores, which are kept for the system, in metric "bad")` {
		t.Errorf("%d %s", n, why)
	}
	if got, want := w.seen(), "good{path=/a?b=c&d} 1\n"; got != want {
		t.Errorf("sink saw %s", got)
	}
	// Where nothing is allowed, there is nothing to take.
	var m *MetricError
	if r, err = send(t, in, &Binding{}, noon, `bad{a="1",a="2"} 1`, `bad{__x="1"} 1`); !errors.As(err, &m) || m.Name != "bad" || m.Element != 0 || !strings.Contains(err.Error(), "twice") || r.Counts[Invalid] != 2 {
		t.Errorf("%+v, error %v", r, err)
	}
	// Monasca's are all or nothing, and its rules are narrower.
	b := NewBatch()
	defer b.Free()
	if err := DecodeMonasca(b, []byte(`[{"name":"x","timestamp":1893499200000,"value":2},{"name":"y","timestamp":1893499200000,"value":2,"dimensions":{"path":"b=c"}}]`)); err != nil {
		t.Fatal(err)
	}
	_, err = in.Write(&Binding{}, b, noon)
	if !errors.As(err, &m) || m.Element != 1 || !strings.HasSuffix(err.Error(), "y") {
		t.Errorf("error %v", err)
	}
	if got := w.seen(); got != "" || in.Health().Series != 1 {
		t.Errorf("sink saw %s, %d series", got, in.Health().Series)
	}
}

func TestBinding(t *testing.T) {
	instance := &Binding{Tenant: 1, Origin: metric.Origin{Service: 7, Role: "web", Serial: 3}}
	user := &Binding{Tenant: 1, MayClaim: func(o metric.Origin) bool { return o.Service == 7 }}
	nobody := &Binding{Tenant: 1}
	for _, c := range []struct {
		who    *Binding
		sent   string
		series string
		origin metric.Origin
	}{
		{instance, `cpu`, `cpu{instance=3, role=web, service=7}`, instance.Origin},
		{instance, `cpu{role="web"}`, `cpu{instance=3, role=web, service=7}`, instance.Origin},
		{instance, `cpu{service="8",instance="localhost:9100",x="y"}`, `cpu{exported_instance=localhost:9100, exported_service=8, instance=3, role=web, service=7, x=y}`, instance.Origin},
		{user, `cpu{service="7",role="web",instance="3"}`, `cpu{instance=3, role=web, service=7}`, instance.Origin},
		{user, `cpu{service="7",role="web"}`, `cpu{role=web, service=7}`, metric.Origin{Service: 7, Role: "web"}},
		{user, `cpu{service="8",role="web"}`, `cpu{exported_role=web, exported_service=8}`, metric.Origin{}},
		{user, `cpu{service="7",instance="x"}`, `cpu{exported_instance=x, exported_service=7}`, metric.Origin{}},
		{user, `cpu{service="monitoring",role="web",instance="a:1"}`, `cpu{instance=a:1, role=web, service=monitoring}`, metric.Origin{}},
		{nobody, `cpu{service="7",role="web",instance="3"}`, `cpu{exported_instance=3, exported_role=web, exported_service=7}`, metric.Origin{}},
		{nobody, `cpu{instance="10.0.0.1:9100"}`, `cpu{instance=10.0.0.1:9100}`, metric.Origin{}},
	} {
		w := &witness{t: t}
		in := NewIntake(Options{Sink: w, Log: quiet})
		if _, err := send(t, in, c.who, noon, c.sent+" 1"); err != nil {
			t.Fatal(err)
		}
		if s := w.points[0].Series; s.String() != c.series || s.Origin != c.origin {
			t.Errorf("%s became %s of %+v, want %s of %+v", c.sent, s, s.Origin, c.series, c.origin)
		}
	}
	// A series that its owner made does not open the door to others.
	w := &witness{t: t}
	in := NewIntake(Options{Sink: w, Log: quiet})
	_, _ = send(t, in, instance, noon, `cpu 1`)
	_, _ = send(t, in, nobody, noon, `cpu{service="7",role="web",instance="3"} 2`)
	if got, want := w.seen(), "cpu{instance=3, role=web, service=7} 1\ncpu{exported_instance=3, exported_role=web, exported_service=7} 2\n"; got != want {
		t.Errorf("sink saw\n%s", got)
	}
}

func TestLimits(t *testing.T) {
	w := &witness{t: t}
	in := NewIntake(Options{Sink: w, Log: quiet, Limits: func(int) Limits { return Limits{Series: 5, Values: 3, Rate: 10, Burst: 20} }})
	who := &Binding{Tenant: 1}
	if _, err := send(t, in, who, noon, `m{a="1"} 1`, `m{a="2"} 1`, `m{a="3"} 1`); err != nil {
		t.Fatal(err)
	}
	var limit *LimitError
	r, err := send(t, in, who, noon.Add(1), `m{a="4"} 1`, `m{a="3"} 2`)
	if !errors.As(err, &limit) || limit.Reason != OverValues || limit.Dimension != "a" || limit.Refused != 1 || limit.RetryAfter <= 0 || r.Taken != 0 {
		t.Errorf("%+v, %v", r, err) // the time is the same millisecond: m{a="3"} is a conflict
	}
	if _, err = send(t, in, who, noon.Add(time.Second), `m{a="3"} 2`, `n 1`, `o 1`, `p 1`); !errors.As(err, &limit) || limit.Reason != OverSeries || limit.Limit != 5 {
		t.Error(err)
	}
	w.seen()
	lines := make([]string, 30)
	for i := range lines {
		lines[i] = fmt.Sprintf(`n %d %d`, i, noon.UnixMilli()+1000+int64(i))
	}
	if _, err := send(t, in, who, noon.Add(time.Second), lines...); err != nil {
		t.Fatal(err)
	}
	// It has taken 39 of 20 + 10 a second.
	_, err = send(t, in, who, noon.Add(time.Second), `n 1`)
	if !errors.As(err, &limit) || limit.Reason != OverRate || limit.RetryAfter < 500*time.Millisecond || limit.RetryAfter > 2*time.Second {
		t.Errorf("%v after %s", err, limit.RetryAfter)
	}
	if _, err := in.Admit(context.Background(), 1, noon.Add(time.Second)); !errors.As(err, &limit) {
		t.Errorf("admitted: %v", err)
	}
	later := noon.Add(time.Second + limit.RetryAfter + time.Millisecond)
	if _, err = send(t, in, who, later, `n 1`); err != nil {
		t.Errorf("after the pause: %v", err)
	}
	// Another tenant is not concerned, and one that goes away makes room.
	if _, err := send(t, in, &Binding{Tenant: 2}, later, `m{a="4"} 1`); err != nil {
		t.Error(err)
	}
	in.Expire(later.Add(2 * time.Hour))
	if _, err := send(t, in, who, later.Add(2*time.Hour), `m{a="4"} 1`); err != nil || in.SeriesOf(1) != 1 {
		t.Errorf("after expiry: %v, %d series", err, in.SeriesOf(1))
	}
}

func TestLimitsChange(t *testing.T) {
	limits := Limits{Series: 2, Values: 10, Rate: 1, Burst: 5}
	in := NewIntake(Options{Log: quiet, Limits: func(int) Limits { return limits }})
	who := &Binding{Tenant: 1}
	refused := func(at time.Time, reason Reason, lines ...string) {
		t.Helper()
		var limit *LimitError
		if _, err := send(t, in, who, at, lines...); !errors.As(err, &limit) || limit.Reason != reason {
			t.Errorf("%v; want %v", err, reason)
		}
	}
	taken := func(at time.Time, lines ...string) {
		t.Helper()
		if r, err := send(t, in, who, at, lines...); err != nil || r.Taken != len(lines) {
			t.Errorf("%+v, %v", r, err)
		}
	}
	taken(noon, `m{a="1"} 1`, `m{a="2"} 1`)
	refused(noon, OverSeries, `m{a="3"} 1`)
	limits.Series = 3
	taken(noon, `m{a="3"} 1`)
	limits.Series = 1 // known ones go on
	refused(noon.Add(1e6), OverSeries, `m{a="4"} 1`)
	limits.Series, limits.Values = 10, 3
	taken(noon.Add(2e6), `m{a="3"} 1`) // in debt from now on
	refused(noon.Add(3e6), OverRate, `m{a="4"} 1`)
	limits.Rate, limits.Burst = 10_000, 10_000
	refused(noon.Add(4e6), OverValues, `m{a="4"} 1`)
	limits.Values = 4
	taken(noon.Add(5e6), `m{a="4"} 1`)
	limits.Rate, limits.Burst = 0, 0
	refused(noon.Add(6e6), OverRate, `m{a="4"} 1`)
	if _, err := in.Admit(context.Background(), 1, noon.Add(7e6)); err == nil {
		t.Error("a project that may send nothing is admitted")
	}
}

func TestExpire(t *testing.T) {
	w := &witness{t: t}
	in := NewIntake(Options{Sink: w, Log: quiet, Idle: time.Hour})
	_, _ = send(t, in, &Binding{}, noon, `a 1`, `b 1`, `c 1`)
	var pinned *metric.Series
	for _, s := range w.live {
		if s.Name == "b" {
			pinned = s
		}
	}
	in.Pin(pinned)
	_, _ = send(t, in, &Binding{}, noon.Add(30*time.Minute), `c 2`)
	if n := in.Expire(noon.Add(time.Hour)); n != 1 || len(w.gone) != 1 || w.gone[0] != "a" {
		t.Errorf("dropped %d: %v", n, w.gone)
	}
	in.Unpin(pinned)
	if n := in.Expire(noon.Add(time.Hour)); n != 1 || w.gone[1] != "b" {
		t.Errorf("dropped %d: %v", n, w.gone)
	}
	// IDs are given again, and are dense.
	_, _ = send(t, in, &Binding{}, noon.Add(time.Hour), `d 1`, `e 1`, `f 1`)
	if len(w.live) != 4 {
		t.Errorf("%d live", len(w.live))
	}
	for id := range w.live {
		if id > 3 {
			t.Errorf("ID %d of 4", id)
		}
	}
}

// TestExpireRace drops series while they are written to: the witness complains of points of series that are gone.
func TestExpireRace(t *testing.T) {
	w := &witness{t: t}
	in := NewIntake(Options{Sink: w, Log: quiet, Idle: time.Millisecond, Limits: func(int) Limits { return Limits{Series: 1e6, Values: 1e6, Rate: 1e9, Burst: 1e9} }})
	var writers sync.WaitGroup
	for g := range 4 {
		writers.Go(func() {
			for i := range 300 {
				now := noon.Add(time.Duration(i) * time.Millisecond)
				_, _ = send(t, in, &Binding{}, now, fmt.Sprintf(`m{a="%d"} %d`, (i+g)%7, i), `n 1`)
			}
		})
	}
	for i := range 300 {
		in.Expire(noon.Add(time.Duration(i+2) * time.Millisecond))
	}
	writers.Wait()
}

// A flaky recorder fails when told to.
type flaky struct {
	fail   atomic.Bool
	tries  atomic.Int64
	points atomic.Int64
}

func (f *flaky) Append(points []metric.Point) error {
	f.tries.Add(1)
	if f.fail.Load() {
		return errors.New("no space left on device")
	}
	f.points.Add(int64(len(points)))
	return nil
}

func (f *flaky) Forget(*metric.Series) {}

func TestHistoryFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := &witness{t: t}, &flaky{}
		var log strings.Builder
		in := NewIntake(Options{Sink: w, History: h, Backlog: 3, Log: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { in.Run(ctx) })
		h.fail.Store(true)
		for range 5 {
			if _, err := send(t, in, &Binding{}, time.Now(), `m 1`); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		}
		if got := strings.Count(w.seen(), "\n"); got != 5 {
			t.Errorf("alarms saw %d", got)
		}
		health := in.Health().History
		if health.Failing == nil || health.Waiting != 3 || health.Lost != 2 || !strings.Contains(health.String(), "no space left") {
			t.Errorf("health %+v", health)
		}
		time.Sleep(10 * time.Second)
		if n := h.tries.Load(); n < 3 || n > 12 {
			t.Errorf("%d tries in ten seconds", n)
		}
		h.fail.Store(false)
		time.Sleep(time.Minute)
		if health := in.Health().History; health.Failing != nil || health.Waiting != 0 || h.points.Load() != 3 {
			t.Errorf("health %+v, %d recorded", health, h.points.Load())
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
			t.Errorf("said %d times:\n%s", n, log.String())
		}
		_, _ = send(t, in, &Binding{}, time.Now(), `m 1`)
		if h.points.Load() != 4 {
			t.Error("does not record again")
		}
		cancel()
		run.Wait()
	})
}

// TestFlood shows that a tenant in debt costs next to nothing, and that one whose requests hang takes no place of
// another's.
func TestFlood(t *testing.T) {
	in := NewIntake(Options{Log: quiet, Limits: func(int) Limits { return Limits{Series: 100, Values: 100, Rate: 10, Burst: 10} }, Concurrent: 2})
	for range 2 {
		if _, err := in.Admit(t.Context(), 1, noon); err != nil {
			t.Fatal(err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := in.Admit(gone, 1, noon); !errors.Is(err, context.Canceled) {
		t.Errorf("a third request of the tenant: %v", err)
	}
	done, err := in.Admit(t.Context(), 2, noon)
	if err != nil {
		t.Fatal(err)
	}
	done()
	// A million distinct series from one sender.
	refused := 0
	for i := range 10_000 {
		lines := make([]string, 0, 100)
		if _, err := in.Admit(t.Context(), 3, noon); err != nil {
			refused++
			continue
		}
		<-in.tenant(3).slots
		for j := range 100 {
			lines = append(lines, fmt.Sprintf(`m{id="%d"} 1`, i*100+j))
		}
		_, _ = send(t, in, &Binding{Tenant: 3}, noon, lines...)
	}
	if refused < 9_990 || in.SeriesOf(3) > 100 {
		t.Errorf("%d refused before decoding, %d series", refused, in.SeriesOf(3))
	}
	if _, err := send(t, in, &Binding{Tenant: 2}, noon, `m{id="0"} 1`); err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	b := NewBatch()
	defer b.Free()
	before := Load{CPUSeconds: 10, NetRxBytes: 1000, NetTxBytes: 5000}
	now := Load{CPUSeconds: 11, MemoryBytes: 3 << 20, NetRxBytes: 3000, NetTxBytes: 4000, DiskBytes: 1 << 19}
	if err := AddUsage(b, before, now, 2*time.Second, noon); err != nil {
		t.Fatal(err)
	}
	want := "mem.used_mb 3 @12:00:00.000\ndisk.used_mb 0.5 @12:00:00.000\ncpu.percent 50 @12:00:00.000\nnet.in_bytes_sec 1000 @12:00:00.000\n"
	if got := show(b); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Series of an instance that is gone are not kept for an hour: where instances come and go they would be most of all.
func TestExpireOfGoneInstances(t *testing.T) {
	w := &witness{t: t}
	gone := map[uint32]bool{}
	in := NewIntake(Options{Sink: w, Log: quiet, Gone: func(o metric.Origin) bool { return gone[o.Serial] }})
	for serial := range uint32(3) { // 0: the service as a whole
		_, _ = send(t, in, &Binding{Tenant: 1, Origin: metric.Origin{Service: 7, Role: "web", Serial: serial}}, noon, fmt.Sprintf(`m%d 1`, serial))
	}
	gone[0], gone[1] = true, true
	if n := in.Expire(noon.Add(goneIdle - time.Second)); n != 0 {
		t.Errorf("dropped %d at once: late samples may come", n)
	}
	if n := in.Expire(noon.Add(goneIdle)); n != 1 || !strings.HasPrefix(w.gone[0], "m1{") {
		t.Errorf("dropped %d: %v", n, w.gone)
	}
}
