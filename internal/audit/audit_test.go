package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, opts Options) *Trail {
	t.Helper()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	trail, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := trail.Close(); err != nil {
			t.Error(err)
		}
	})
	return trail
}

func add(t testing.TB, trail *Trail, records ...Record) {
	t.Helper()
	for _, r := range records {
		if err := trail.Append(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func objects(t testing.TB, trail *Trail, n int, f Filter) string {
	t.Helper()
	records, err := trail.Last(context.Background(), n, f)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range records {
		out = append(out, r.Object)
	}
	return strings.Join(out, " ")
}

func TestAppendAndLast(t *testing.T) {
	trail := open(t, Options{Dir: filepath.Join(t.TempDir(), "a", "b")})
	full := Record{Time: time.Date(2026, 5, 1, 12, 0, 0, 5, time.UTC), Request: "r1", User: "ann", Project: "web", Face: "oneflow",
		Action: "service.scale", Object: "service 7", Outcome: Done, Reason: "wanted \"5\"\nroles"}
	add(t, trail, full, Record{Action: "x", Object: "second", Outcome: Denied, User: "bob"}, Record{Action: "x", Object: "third", Outcome: Done, User: "ann"})
	got, err := trail.Last(t.Context(), 10, Filter{})
	if err != nil || len(got) != 3 {
		t.Fatalf("%v, %v", got, err)
	}
	if diff := cmp.Diff(full, got[2]); diff != "" {
		t.Error(diff)
	}
	if got[0].Time.IsZero() {
		t.Error("no time")
	}
	for _, tt := range []struct {
		n    int
		f    Filter
		want string
	}{
		{2, Filter{}, "third second"}, {0, Filter{}, ""}, {9, Filter{User: "ann"}, "third service 7"},
		{9, Filter{Outcome: Denied}, "second"}, {9, Filter{User: "bob", Outcome: Done}, ""},
		{9, Filter{Since: time.Now().Add(-time.Hour)}, "third second"}, {1, Filter{Request: "r1"}, "service 7"},
	} {
		if got := objects(t, trail, tt.n, tt.f); got != tt.want {
			t.Errorf("%d %+v: %q, want %q", tt.n, tt.f, got, tt.want)
		}
	}
}

func TestSecretsAreMasked(t *testing.T) {
	dir := t.TempDir()
	trail := open(t, Options{Dir: dir})
	secret := strings.Repeat("k7", 26)
	add(t, trail, Record{Action: "token.use", Reason: "bad token trp_abcdefghijklm_" + secret + "!", Object: strings.Repeat("ü", 5000)})
	if err := trail.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, currentName))
	if err != nil || bytes.Contains(text, []byte("k7k7")) || !bytes.Contains(text, []byte("trp_abcdefghijklm_***!")) {
		t.Errorf("%s %v", text, err)
	}
	if len(text) > 2*maxField {
		t.Errorf("%d bytes", len(text))
	}
	if info, _ := os.Stat(filepath.Join(dir, currentName)); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// Whatever the sizes, restarts and rotations: every record comes back, newest first, once.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "trail")
		if err != nil {
			rt.Fatal(err)
		}
		opts := Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Size: int64(rapid.IntRange(1, 5000).Draw(rt, "file size"))}
		var want []string
		for range rapid.IntRange(1, 4).Draw(rt, "runs") {
			trail, err := Open(opts)
			if err != nil {
				rt.Fatal(err)
			}
			for range rapid.IntRange(0, 20).Draw(rt, "records") {
				object := fmt.Sprint(len(want), strings.Repeat("x", rapid.IntRange(0, 900).Draw(rt, "length")))
				add(t, trail, Record{Action: "a", Object: object})
				want = append([]string{object}, want...)
				if rapid.Bool().Draw(rt, "flush") {
					if err := trail.Flush(context.Background()); err != nil {
						rt.Fatal(err)
					}
				}
			}
			if diff := cmp.Diff(strings.Join(want, " "), objects(t, trail, 1000, Filter{})); diff != "" {
				rt.Fatal(diff)
			}
			if err := trail.Close(); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// Lines longer and shorter than the blocks of the backward reader.
func TestReadingAcrossBlocks(t *testing.T) {
	dir := t.TempDir()
	trail := open(t, Options{Dir: dir})
	const n = 3000
	for i := range n {
		add(t, trail, Record{Action: "a", Object: fmt.Sprint(i), Reason: strings.Repeat("y", i%maxField)})
	}
	got, err := trail.Last(t.Context(), n+1, Filter{})
	if err != nil || len(got) != n {
		t.Fatalf("%d records, %v", len(got), err)
	}
	for i, r := range got {
		if r.Object != fmt.Sprint(n-1-i) {
			t.Fatalf("record %d is %s", i, r.Object)
		}
	}
}

// A crash in the middle of a line costs that line only; damage elsewhere is passed over.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, currentName)
	text := `{"time":"2026-05-01T00:00:00Z","action":"a","object":"one","outcome":"done"}` + "\nrubbish\n\x00\x00\n" +
		`{"time":"2026-05-01T00:00:01Z","action":"a","object":"two","outcome":"done"}` + "\n" + `{"time":"2026-05-01T00:0`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	trail := open(t, Options{Dir: dir, Age: 1000 * 24 * time.Hour})
	add(t, trail, Record{Action: "a", Object: "three"})
	if got := objects(t, trail, 9, Filter{}); got != "three two one" {
		t.Errorf("got %q", got)
	}
}

// A full disk is logged and counted, the trail tells of the gap, and goes on when there is room.
func TestFullDisk(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	trail := open(t, Options{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), nil))})
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this system has no /dev/full")
	}
	defer full.Close()
	add(t, trail, Record{Action: "a", Object: "before"})
	if err := trail.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := trail.file.f // the trail's goroutine is idle, and wakes by the channel
	trail.file.f = full
	add(t, trail, Record{Action: "a", Object: "lost"})
	if err := trail.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if trail.Lost() != 1 {
		t.Errorf("%d lost", trail.Lost())
	}
	trail.file.f = good
	add(t, trail, Record{Action: "a", Object: "after"})
	got, err := trail.Last(t.Context(), 9, Filter{})
	if err != nil || len(got) != 3 || got[0].Object != "after" || got[1].Action != "audit.gap" || got[1].Reason != "1 records could not be written" {
		t.Errorf("%+v, %v", got, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(log.String(), "no space left") {
		t.Errorf("log: %s", log.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRotationByAgeAndRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		trail := open(t, Options{Dir: dir, Age: time.Hour, Retain: 5 * time.Hour})
		for i := range 24 {
			add(t, trail, Record{Action: "a", Object: fmt.Sprint(i)})
			time.Sleep(time.Hour)
		}
		if err := trail.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		names, err := finishedFiles(dir)
		if err != nil || len(names) < 4 || len(names) > 6 {
			t.Errorf("%d finished files of one hour each, kept five hours: %v", len(names), err)
		}
		if got := objects(t, trail, 3, Filter{}); got != "23 22 21" {
			t.Errorf("got %q", got)
		}
	})
}

// A full queue makes Append wait, and only as long as its context lasts.
func TestAppendWaitsForTheDisk(t *testing.T) {
	trail := &Trail{queue: make(chan entry, 1)}
	add(t, trail, Record{Action: "a"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- trail.Append(ctx, Record{Action: "b"}) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	go func() { done <- trail.Append(context.Background(), Record{Action: "c"}) }()
	<-trail.queue
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestClosed(t *testing.T) {
	trail := open(t, Options{Dir: t.TempDir()})
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	if err := trail.Append(t.Context(), Record{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Append: %v", err)
	}
	if _, err := trail.Last(t.Context(), 1, Filter{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Last: %v", err)
	}
	if _, err := Open(Options{Dir: filepath.Join("/dev/null", "x"), Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a folder below a device")
	}
}

func TestManyWriters(t *testing.T) {
	trail := open(t, Options{Dir: t.TempDir(), Size: 20_000})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 200 {
				if err := trail.Append(context.Background(), Record{Action: "a", User: fmt.Sprint(w), Object: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
				if i%50 == 0 {
					if _, err := trail.Last(context.Background(), 10, Filter{}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for w := range 8 {
		if got, err := trail.Last(t.Context(), 1000, Filter{User: fmt.Sprint(w)}); err != nil || len(got) != 200 {
			t.Errorf("writer %d: %d records, %v", w, len(got), err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	trail := open(b, Options{Dir: b.TempDir()})
	r := Record{Request: "01J0000000000000000000000", User: "ann", Project: "web", Face: "native", Action: "service.scale", Object: "service 7", Outcome: Done}
	b.ReportAllocs()
	for b.Loop() {
		if err := trail.Append(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
