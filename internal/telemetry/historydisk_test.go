//go:build linux

package telemetry

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/disktest"
	"github.com/troupe-dev/troupe/internal/metric"
)

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); !holds(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("not in a minute: ", what)
		}
	}
}

// A recorder appends to a history and knows what was taken.
type recorder struct {
	t      *testing.T
	series []*metric.Series
	at     time.Time
	taken  map[string]bool // "host second"
}

func newRecorder(t *testing.T, series int) *recorder {
	r := &recorder{t: t, at: time.Now().Truncate(time.Second).Add(-50 * time.Minute), taken: map[string]bool{}}
	r.more(series)
	return r
}

// more adds series.
func (r *recorder) more(n int) {
	for range n {
		id := uint32(len(r.series))
		r.series = append(r.series, &metric.Series{ID: id, Tenant: 1, Name: "m", Dimensions: metric.Dimensions{{Name: "host", Value: fmt.Sprint(id)}}})
	}
}

// record appends a sample of each series, a second after those before.
func (r *recorder) record(h *History) error {
	r.at = r.at.Add(time.Second)
	points := make([]metric.Point, len(r.series))
	for i, s := range r.series {
		points[i] = metric.Point{Series: s, Time: r.at.UnixMilli(), Value: float64(r.at.UnixNano()%1e9) + float64(i)*1.37}
	}
	err := h.Append(points)
	if err == nil {
		for i := range points {
			r.taken[fmt.Sprint(i, " ", points[i].Time)] = true
		}
	}
	return err
}

// found returns which samples history has.
func (r *recorder) found(h *History) (map[string]bool, error) {
	out := map[string]bool{}
	for p, err := range h.Measurements(context.Background(), 1, Filter{Name: "m"}, Beginning, End) {
		if err != nil {
			return nil, err
		}
		host, _ := p.Series.Dimensions.Get("host")
		out[fmt.Sprint(host, " ", p.Time)] = true
	}
	return out, nil
}

// complete checks that history has all that it took.
func (r *recorder) complete(h *History) {
	r.t.Helper()
	found, err := r.found(h)
	if err != nil {
		r.t.Fatal(err)
	}
	missing := 0
	for x := range r.taken {
		if !found[x] {
			missing++
		}
	}
	if missing > 0 {
		r.t.Errorf("%d of %d samples that were taken are missing", missing, len(r.taken))
	}
}

// A full disk costs what comes meanwhile and no more: what was taken before is there, what is taken afterwards too, also
// after a restart.
func TestHistoryOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	disktest.Mount(t, dir, 24<<20)
	open := func() *History {
		h, err := OpenHistory(HistoryOptions{Dir: filepath.Join(dir, "metrics"), Reserve: -1, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := open()
	r := newRecorder(t, 200)
	for range 50 {
		if err := r.record(h); err != nil {
			t.Fatal(err)
		}
	}
	empty := disktest.Fill(t, dir, 0)
	r.more(20) // series that come while nothing can be written are the hard ones
	var err error
	for range 200 {
		if err = r.record(h); err != nil {
			break
		}
	}
	if !ofDisk(err) {
		t.Fatalf("the full disk shows as %v", err)
	}
	if h.Health().Failing == nil {
		t.Error("the full disk does not show")
	}
	r.complete(h) // it can still be read
	empty()
	eventually(t, "recording again", func() bool { return r.record(h) == nil })
	for range 50 {
		if err := r.record(h); err != nil {
			t.Fatal(err)
		}
	}
	if why := h.Health().Failing; why != nil {
		t.Error(why)
	}
	r.complete(h)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open()
	r.complete(h)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

// The chunks that are written in the background do not take the program down when the disk is full, and are not lost: neither when
// that is seen before, nor when it happens under the database's hands.
func TestChunksOnFullDisk(t *testing.T) {
	for name, write := range map[string]func(h *History){
		"seen before": func(h *History) { h.write(context.Background()) },
		"under its hands": func(h *History) {
			if err := guarded(func() error { h.base.db.ForceHeadMMap(); return nil }); err != nil {
				h.fault(err, true)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			disktest.Mount(t, dir, 24<<20)
			h, err := OpenHistory(HistoryOptions{Dir: filepath.Join(dir, "metrics"), Reserve: -1, Log: quiet})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			r := newRecorder(t, 20)
			for range 300 { // chunks have 120 samples
				if err := r.record(h); err != nil {
					t.Fatal(err)
				}
			}
			empty := disktest.Fill(t, dir, 0)
			if write(h); !ofDisk(h.Health().Failing) {
				t.Fatalf("the full disk shows as %v", h.Health().Failing)
			}
			r.complete(h)
			empty()
			eventually(t, "recording again", func() bool { return r.record(h) == nil })
			h.write(t.Context())
			if why := h.Health().Failing; why != nil {
				t.Error(why)
			}
			r.complete(h)
		})
	}
}

// A disk that is full at the start does not keep the server from starting.
func TestOpenOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	disktest.Mount(t, dir, 8<<20)
	empty := disktest.Fill(t, dir, 0)
	h, err := OpenHistory(HistoryOptions{Dir: filepath.Join(dir, "metrics"), Reserve: -1, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r := newRecorder(t, 3)
	for range 5000 {
		if err = r.record(h); err != nil {
			break
		}
	}
	if err == nil {
		t.Fatal("a full disk took samples")
	}
	empty()
	eventually(t, "recording", func() bool { return r.record(h) == nil })
	r.complete(h)
}

// Nothing is recorded in the room that is left to others.
func TestHistoryLeavesRoom(t *testing.T) {
	dir := t.TempDir()
	disktest.Mount(t, dir, 32<<20)
	h, err := OpenHistory(HistoryOptions{Dir: filepath.Join(dir, "metrics"), Reserve: 16 << 20, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r := newRecorder(t, 3)
	if err := r.record(h); err != nil {
		t.Fatal(err)
	}
	empty := disktest.Fill(t, dir, 10<<20)
	eventually(t, "refusing", func() bool { return r.record(h) != nil })
	if !ofDisk(h.Health().Failing) {
		t.Error(h.Health().Failing)
	}
	r.complete(h)
	empty()
	eventually(t, "recording again", func() bool { return r.record(h) == nil })
}

// While another process has the folder, history is kept beside it; when that ends, both become one.
func TestHistoryBeside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "metrics")
	open := func() *History {
		h, err := OpenHistory(HistoryOptions{Dir: dir, Beside: true, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	folders := func() int {
		all, _ := filepath.Glob(dir + "*")
		return len(all)
	}
	old := open()
	r := newRecorder(t, 20)
	for range 150 {
		if err := r.record(old); err != nil {
			t.Fatal(err)
		}
	}
	before := len(r.taken)
	h := open()
	if folders() != 2 {
		t.Fatalf("%d folders, want one beside the other", folders())
	}
	marked := metric.Point{Series: r.series[0], Time: r.at.UnixMilli() + 500, Value: 7, Meta: map[string]string{"rack": "b"}}
	if err := h.Append([]metric.Point{marked}); err != nil {
		t.Fatal(err)
	}
	for range 150 {
		if err := r.record(h); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := r.found(h); err != nil || len(found) != len(r.taken)-before+1 {
		t.Errorf("%d samples are beside the others, want %d: %v", len(found), len(r.taken)-before+1, err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one folder", func() bool { return folders() == 1 })
	for range 10 {
		if err := r.record(h); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		r.complete(h)
		if found, err := r.found(h); err != nil || len(found) != len(r.taken)+1 {
			t.Errorf("%d samples, want %d, each once: %v", len(found), len(r.taken)+1, err)
		}
		if m := h.meta(seriesKey(marked.Series), marked.Time); m["rack"] != "b" {
			t.Errorf("value_meta is %v", m)
		}
	}
	check()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open()
	check()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

// A folder that a server left behind is joined at the next start.
func TestFolderLeftBehind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "metrics")
	r := newRecorder(t, 5)
	for _, name := range []string{dir + "-20300101T000000.000", dir} {
		h, err := OpenHistory(HistoryOptions{Dir: name, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			if err := r.record(h); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h, err := OpenHistory(HistoryOptions{Dir: dir, Beside: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	eventually(t, "one folder", func() bool { all, _ := filepath.Glob(dir + "*"); return len(all) == 1 })
	r.complete(h)
}
