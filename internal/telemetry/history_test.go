package telemetry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/internal/metric"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("TROUPE_TEST_HISTORY"); dir != "" {
		recordForever(dir)
	}
	// A database whose writer panicked cannot be closed whole: see guarded.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/prometheus/prometheus/tsdb/wlog.(*WL).run"))
}

func openTest(t testing.TB, dir string) *History {
	t.Helper()
	h, err := OpenHistory(HistoryOptions{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// sendMonasca writes one metric in Monasca's form.
func sendMonasca(t testing.TB, in *Intake, tenant int, now time.Time, name, dimensions string, value float64, meta string) {
	t.Helper()
	b := NewBatch()
	defer b.Free()
	body := fmt.Sprintf(`{"name":%q,"dimensions":%s,"timestamp":%d,"value":%g,"value_meta":%s}`, name, dimensions, now.UnixMilli(), value, meta)
	if err := DecodeMonasca(b, []byte(body)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(&Binding{Tenant: tenant}, b, now); err != nil {
		t.Fatal(err)
	}
}

func lines[T any](t *testing.T, seq func(func(T, error) bool), print func(T) string) string {
	t.Helper()
	var out strings.Builder
	for x, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(print(x) + "\n")
	}
	return out.String()
}

func printPoint(p metric.Point) string {
	return fmt.Sprintf("%s %s @%s %v", p.Series, number(p.Value), time.UnixMilli(p.Time).UTC().Format("15:04:05"), p.Meta)
}

// filled returns a history with samples of two tenants.
func filled(t *testing.T, dir string) *History {
	h := openTest(t, dir)
	in := NewIntake(Options{History: h, Log: quiet})
	for i := range 4 {
		now := noon.Add(time.Duration(i) * 30 * time.Second)
		sendMonasca(t, in, 1, now, "cpu.user_perc", `{"hostname":"web01","role":"web"}`, float64(10+i), "null")
		sendMonasca(t, in, 1, now, "cpu.user_perc", `{"hostname":"db.1"}`, float64(50+i), "null")
		sendMonasca(t, in, 2, now, "cpu.user_perc", `{"hostname":"web01"}`, 99, "null")
	}
	sendMonasca(t, in, 1, noon.Add(time.Minute), "http_status", `{"url":"http://a.test:80/x"}`, 1, `{"rc":"503"}`)
	if h := in.Health().History; h.Failing != nil {
		t.Fatal(h.Failing)
	}
	return h
}

func TestHistory(t *testing.T) {
	h := filled(t, t.TempDir())
	ctx := context.Background()
	dims := func(text string) Filter {
		d, err := ParseDimensions(text)
		if err != nil {
			t.Fatal(err)
		}
		return Filter{Dimensions: d}
	}
	for _, c := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, "cpu.user_perc{hostname=db.1} cpu.user_perc{hostname=web01, role=web} http_status{url=http://a.test:80/x}"},
		{Filter{Name: "http_status"}, "http_status{url=http://a.test:80/x}"},
		{dims("hostname:web01|dbx1"), "cpu.user_perc{hostname=web01, role=web}"},
		{dims("hostname:web01|db.1"), "cpu.user_perc{hostname=db.1} cpu.user_perc{hostname=web01, role=web}"},
		{dims("hostname,role"), "cpu.user_perc{hostname=web01, role=web}"},
		{dims("url:http://a.test:80/x"), "http_status{url=http://a.test:80/x}"},
		{Filter{Selector: `{__name__=~"cpu.*",role!=""}`}, "cpu.user_perc{hostname=web01, role=web}"},
		{Filter{Selector: `{__tenant__="2"}`}, ""},
	} {
		series, err := h.Series(ctx, 1, c.f, Beginning, End)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range series {
			got = append(got, s.String())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %s, want %s", c.f, got, c.want)
		}
	}
	if _, err := ParseDimensions("_x:1"); !errors.Is(err, ErrQuery) {
		t.Error(err)
	}
	if _, err := h.Series(ctx, 1, Filter{Selector: "{"}, Beginning, End); !errors.Is(err, ErrQuery) {
		t.Error(err)
	}
	if _, err := h.Series(ctx, 1, Filter{}, End, Beginning); !errors.Is(err, ErrQuery) {
		t.Error(err)
	}
	names, err := h.Names(ctx, 1, Filter{}, Beginning, End)
	if err != nil || !slices.Equal(names, []string{"cpu.user_perc", "http_status"}) {
		t.Error(names, err)
	}
	names, err = h.DimensionNames(ctx, 1, Filter{Name: "cpu.user_perc"}, Beginning, End)
	if err != nil || !slices.Equal(names, []string{"hostname", "role"}) {
		t.Error(names, err)
	}
	names, err = h.DimensionValues(ctx, 1, "hostname", Filter{}, Beginning, End)
	if err != nil || !slices.Equal(names, []string{"db.1", "web01"}) {
		t.Error(names, err)
	}
}

func TestMeasurements(t *testing.T) {
	dir := t.TempDir()
	want := `cpu.user_perc{hostname=db.1} 50 @12:00:00 map[]
cpu.user_perc{hostname=db.1} 51 @12:00:30 map[]
cpu.user_perc{hostname=web01, role=web} 10 @12:00:00 map[]
cpu.user_perc{hostname=web01, role=web} 11 @12:00:30 map[]
`
	h := filled(t, dir)
	ctx := context.Background()
	cpu, minute := Filter{Name: "cpu.user_perc"}, noon.Add(time.Minute)
	if got := lines(t, h.Measurements(ctx, 1, cpu, noon, minute), printPoint); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got, want := lines(t, h.Measurements(ctx, 1, Filter{Name: "http_status"}, noon, End), printPoint), "http_status{url=http://a.test:80/x} 1 @12:01:00 map[rc:503]\n"; got != want {
		t.Errorf("got %s", got)
	}
	want = `cpu.user_perc{hostname=db.1} 50 @12:00:00 map[]
cpu.user_perc{hostname=web01, role=web} 10 @12:00:00 map[]
cpu.user_perc{hostname=db.1} 51 @12:00:30 map[]
cpu.user_perc{hostname=web01, role=web} 11 @12:00:30 map[]
`
	if got := lines(t, h.Replay(ctx, 1, cpu, noon, minute), printPoint); got != want {
		t.Errorf("replayed\n%swant\n%s", got, want)
	}
	s := &metric.Series{Tenant: 1, Name: "cpu.user_perc", Dimensions: metric.Dimensions{{Name: "hostname", Value: "db.1"}}}
	if got, want := lines(t, h.Range(ctx, s, noon.Add(time.Second), minute), printPoint), "cpu.user_perc{hostname=db.1} 51 @12:00:30 map[]\n"; got != want {
		t.Errorf("range %s", got)
	}
	print := func(s Statistic) string {
		return fmt.Sprintf("%s @%s %d %g %g %g %g", s.Series, time.UnixMilli(s.Start).UTC().Format("15:04:05"), s.Count, s.Min, s.Avg(), s.Max, s.Sum)
	}
	want = `cpu.user_perc{hostname=db.1} @12:00:00 2 50 50.5 51 101
cpu.user_perc{hostname=db.1} @12:01:00 2 52 52.5 53 105
cpu.user_perc{hostname=web01, role=web} @12:00:00 2 10 10.5 11 21
cpu.user_perc{hostname=web01, role=web} @12:01:00 2 12 12.5 13 25
`
	if got := lines(t, h.Statistics(ctx, 1, cpu, noon, End, time.Minute, false), print); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	want = `cpu.user_perc{hostname=db.1} @12:00:00 4 10 30.5 51 122
cpu.user_perc{hostname=db.1} @12:01:00 4 12 32.5 53 130
`
	if got := lines(t, h.Statistics(ctx, 1, cpu, noon, End, time.Minute, true), print); got != want {
		t.Errorf("merged\n%swant\n%s", got, want)
	}
}

func TestQuery(t *testing.T) {
	h := filled(t, t.TempDir())
	ctx, at := context.Background(), noon.Add(90*time.Second)
	r, err := h.Query(ctx, 1, `sum by (role) ({"cpu.user_perc"})`, at)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Series) != 2 || r.Type != "vector" {
		t.Fatalf("%+v", r)
	}
	r, err = h.Query(ctx, 1, `{__name__=~".+"}`, at)
	if err != nil || len(r.Series) != 3 || strings.Contains(fmt.Sprint(r), "tenant") {
		t.Errorf("%+v %v", r, err)
	}
	for _, q := range []string{`count({__tenant__="2"})`, `{__name__=~".+",__tenant__!="1"}`, `sum by (__tenant__) ({"cpu.user_perc"}) > 200`} {
		if r, err = h.Query(ctx, 1, q, at); err != nil || len(r.Series) != 0 {
			t.Errorf("%s: %+v %v", q, r, err)
		}
	}
	r, err = h.QueryRange(ctx, 1, `max_over_time({"cpu.user_perc",role="web"}[1m])`, noon, at, 30*time.Second)
	if err != nil || r.Type != "matrix" || len(r.Series) != 1 || len(r.Series[0].Samples) != 4 || r.Series[0].Samples[3].Value != 13 {
		t.Errorf("%+v %v", r, err)
	}
	for _, bad := range []string{"sum(", "no_such_function(x)"} {
		if _, err := h.Query(ctx, 1, bad, at); !errors.Is(err, ErrQuery) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := h.QueryRange(ctx, 1, "1", noon, noon.Add(24*time.Hour), time.Second); !errors.Is(err, ErrQuery) {
		t.Error(err)
	}
	h.o.QuerySamples = 1
	small, err := OpenHistory(HistoryOptions{Dir: t.TempDir(), QuerySamples: 1, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	in := NewIntake(Options{History: small, Log: quiet})
	sendMonasca(t, in, 1, noon, "a", `{"x":"1"}`, 1, "null")
	sendMonasca(t, in, 1, noon, "a", `{"x":"2"}`, 1, "null")
	if _, err := small.Query(ctx, 1, "a", noon); !errors.Is(err, ErrQueryCost) {
		t.Error(err)
	}
}

// recordForever is a process that records a sample at a time and says so, until it is killed.
func recordForever(dir string) {
	h, err := OpenHistory(HistoryOptions{Dir: dir, Log: quiet})
	if err != nil {
		panic(err)
	}
	for i := int64(0); ; i++ {
		s := &metric.Series{Tenant: 1, Name: "beat"}
		if err := h.Append([]metric.Point{{Series: s, Time: noon.UnixMilli() + i, Value: float64(i), Meta: map[string]string{"i": fmt.Sprint(i)}}}); err != nil {
			panic(err)
		}
		fmt.Println(i)
	}
}

func TestKill(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "TROUPE_TEST_HISTORY="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if said++; said == 500 {
			_ = child.Process.Kill()
		}
	}
	_ = child.Wait()
	if said < 500 {
		t.Fatalf("the child said %d", said)
	}
	h := openTest(t, dir)
	n := 0
	for p, err := range h.Measurements(context.Background(), 1, Filter{Name: "beat"}, Beginning, End) {
		if err != nil {
			t.Fatal(err)
		}
		if p.Value != float64(n) || p.Meta["i"] != fmt.Sprint(n) && n < said {
			t.Fatalf("sample %d is %v with %v", n, p.Value, p.Meta)
		}
		n++
	}
	if n < said {
		t.Errorf("%d samples were said to be recorded, %d are there", said, n)
	}
}

func TestRetention(t *testing.T) {
	h, err := OpenHistory(HistoryOptions{Dir: t.TempDir(), Retention: 10 * time.Minute, Block: time.Minute, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	s := &metric.Series{Tenant: 1, Name: "m"}
	rare := &metric.Series{ID: 1, Tenant: 2, Name: "rare"} // the database forgets where it is between its samples
	for i := range 60 {
		at := noon.Add(time.Duration(i) * time.Minute).UnixMilli()
		points := []metric.Point{{Series: s, Time: at, Value: float64(i)}, {Series: rare, Time: at, Value: float64(i)}}
		if i%15 != 14 {
			points = points[:1]
		}
		if err := h.Append(points); err != nil {
			t.Fatal(err)
		}
		if i%5 != 0 {
			continue
		}
		if err := h.base.db.Compact(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	first := -1.0
	for p, err := range h.Measurements(context.Background(), 1, Filter{}, Beginning, End) {
		if err != nil {
			t.Fatal(err)
		}
		if first < 0 {
			first = p.Value
		}
	}
	if first < 30 || first > 55 {
		t.Errorf("the first sample is that of minute %v", first)
	}
	if got := lines(t, h.Measurements(context.Background(), 2, Filter{}, noon.Add(58*time.Minute), End), printPoint); got != "rare 59 @12:59:00 map[]\n" {
		t.Errorf("the rare series: %s", got)
	}
	if health := h.Health(); health.Series == 0 || health.DiskBytes == 0 || health.Oldest.Before(noon.Add(20*time.Minute)) {
		t.Errorf("health %+v", health)
	}
}

func TestMetaLog(t *testing.T) {
	dir := t.TempDir()
	m, err := openMetaLog(dir, 256<<10)
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{"x": strings.Repeat("y", 1000)}
	const n = 1000
	for i := range n {
		if err := m.add(uint64(i%3), int64(i), text); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		if m.get((n-1)%3, n-1)["x"] != text["x"] || m.get(0, 0) != nil || m.get(0, 1) != nil {
			t.Error("the last must be there, the first must not")
		}
		if m.size() > 256<<10 {
			t.Errorf("%d bytes", m.size())
		}
	}
	check()
	if err := m.close(); err != nil {
		t.Fatal(err)
	}
	// A record that a crash cut off is cut away.
	f, err := os.OpenFile(filepath.Join(dir, "newer"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write([]byte{200, 0, 0, 0, 1, 2, 3, 4, 5})
	_ = f.Close()
	if m, err = openMetaLog(dir, 256<<10); err != nil {
		t.Fatal(err)
	}
	check()
	if err := errors.Join(m.add(7, 7, text), m.close()); err != nil {
		t.Fatal(err)
	}
	if m, err = openMetaLog(dir, 256<<10); err != nil {
		t.Fatal(err)
	}
	if m.get(7, 7)["x"] != text["x"] {
		t.Error("what was added after the repair is lost")
	}
	check()
	_ = m.close()
}
