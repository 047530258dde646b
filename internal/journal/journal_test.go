package journal

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

// A record of the tests.
type record struct {
	Time         time.Time
	Writer       string `json:",omitempty"`
	Object, Text string
}

func (r record) At() time.Time { return r.Time }

func all(*record) bool { return true }

func open(t testing.TB, opts Options[record]) *Journal[record] {
	t.Helper()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Name = "trail"
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

func add(t testing.TB, trail *Journal[record], records ...record) {
	t.Helper()
	for _, r := range records {
		if r.Time.IsZero() {
			r.Time = time.Now().UTC()
		}
		if err := trail.Append(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func objects(t testing.TB, trail *Journal[record], n int) string {
	t.Helper()
	records, err := trail.Last(context.Background(), n, time.Time{}, all)
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
	trail := open(t, Options[record]{Dir: filepath.Join(t.TempDir(), "a", "b")})
	full := record{Time: time.Date(2026, 5, 1, 12, 0, 0, 5, time.UTC), Object: "first", Text: "wanted \"5\"\nroles"}
	add(t, trail, full, record{Object: "second"}, record{Object: "third"})
	got, err := trail.Last(t.Context(), 10, time.Time{}, all)
	if err != nil || len(got) != 3 {
		t.Fatalf("%v, %v", got, err)
	}
	if diff := cmp.Diff(full, got[2]); diff != "" {
		t.Error(diff)
	}
	for n, want := range []string{"", "third", "third second", "third second first"} {
		if got := objects(t, trail, n); got != want {
			t.Errorf("the last %d: %q, want %q", n, got, want)
		}
	}
	if got, err := trail.Last(t.Context(), 9, time.Now().Add(-time.Hour), func(r *record) bool { return r.Object != "third" }); err != nil || len(got) != 1 || got[0].Object != "second" {
		t.Errorf("%v, %v", got, err)
	}
	info, err := os.Stat(trail.file.current())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info, err)
	}
}

// Whatever the sizes, restarts and rotations: every record comes back, newest first, once.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "trail")
		if err != nil {
			rt.Fatal(err)
		}
		opts := Options[record]{Dir: dir, Log: slog.New(slog.DiscardHandler), Size: int64(rapid.IntRange(1, 5000).Draw(rt, "file size"))}
		var want []string
		for range rapid.IntRange(1, 4).Draw(rt, "runs") {
			trail, err := Open(opts)
			if err != nil {
				rt.Fatal(err)
			}
			for range rapid.IntRange(0, 20).Draw(rt, "records") {
				object := fmt.Sprint(len(want), strings.Repeat("x", rapid.IntRange(0, 900).Draw(rt, "length")))
				add(t, trail, record{Object: object})
				want = append([]string{object}, want...)
				if rapid.Bool().Draw(rt, "flush") {
					if err := trail.Flush(context.Background()); err != nil {
						rt.Fatal(err)
					}
				}
			}
			if diff := cmp.Diff(strings.Join(want, " "), objects(t, trail, 1000)); diff != "" {
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
	trail := open(t, Options[record]{Dir: dir})
	const n = 3000
	for i := range n {
		add(t, trail, record{Object: fmt.Sprint(i), Text: strings.Repeat("y", i%1024)})
	}
	got, err := trail.Last(t.Context(), n+1, time.Time{}, all)
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
	path := filepath.Join(dir, "trail"+suffix)
	text := `{"Time":"2026-05-01T00:00:00Z","Object":"one"}` + "\nrubbish\n\x00\x00\n" +
		`{"Time":"2026-05-01T00:00:01Z","Object":"two"}` + "\n" + `{"Time":"2026-05-01T00:0`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	trail := open(t, Options[record]{Dir: dir, Age: 1000 * 24 * time.Hour})
	add(t, trail, record{Object: "three"})
	if got := objects(t, trail, 9); got != "three two one" {
		t.Errorf("got %q", got)
	}
}

// A full disk is logged and counted, the trail tells of the gap, and goes on when there is room.
func TestFullDisk(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	trail := open(t, Options[record]{Dir: t.TempDir(), Gap: func(n int64) record { return record{Time: time.Now(), Object: "gap", Text: fmt.Sprint(n)} }, Log: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), nil))})
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this system has no /dev/full")
	}
	defer full.Close()
	add(t, trail, record{Object: "before"})
	if err := trail.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := trail.file.f // the trail's goroutine is idle, and wakes by the channel
	trail.file.f = full
	add(t, trail, record{Object: "lost"})
	if err := trail.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if trail.Lost() != 1 {
		t.Errorf("%d lost", trail.Lost())
	}
	trail.file.f = good
	add(t, trail, record{Object: "after"})
	got, err := trail.Last(t.Context(), 9, time.Time{}, all)
	if err != nil || len(got) != 3 || got[0].Object != "after" || got[1].Object != "gap" || got[1].Text != "1" {
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
		trail := open(t, Options[record]{Dir: dir, Age: time.Hour, Retain: 5 * time.Hour})
		for i := range 24 {
			add(t, trail, record{Object: fmt.Sprint(i)})
			time.Sleep(time.Hour)
		}
		if err := trail.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		names, err := trail.file.finished()
		if err != nil || len(names) < 4 || len(names) > 6 {
			t.Errorf("%d finished files of one hour each, kept five hours: %v", len(names), err)
		}
		if got := objects(t, trail, 3); got != "23 22 21" {
			t.Errorf("got %q", got)
		}
	})
}

// A full queue makes Append wait, and only as long as its context lasts.
func TestAppendWaitsForTheDisk(t *testing.T) {
	trail := &Journal[record]{queue: make(chan entry[record], 1)}
	add(t, trail, record{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- trail.Append(ctx, record{}) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	go func() { done <- trail.Append(context.Background(), record{}) }()
	<-trail.queue
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestClosed(t *testing.T) {
	trail := open(t, Options[record]{Dir: t.TempDir()})
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	if err := trail.Append(t.Context(), record{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Append: %v", err)
	}
	if _, err := trail.Last(t.Context(), 1, time.Time{}, all); !errors.Is(err, ErrClosed) {
		t.Errorf("Last: %v", err)
	}
	if _, err := Open(Options[record]{Name: "x", Dir: filepath.Join("/dev/null", "x"), Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a folder below a device")
	}
}

func TestManyWriters(t *testing.T) {
	trail := open(t, Options[record]{Dir: t.TempDir(), Size: 20_000})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 200 {
				if err := trail.Append(context.Background(), record{Time: time.Now(), Writer: fmt.Sprint(w), Object: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
				if i%50 == 0 {
					if _, err := trail.Last(context.Background(), 10, time.Time{}, all); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for w := range 8 {
		if got, err := trail.Last(t.Context(), 1000, time.Time{}, func(r *record) bool { return r.Writer == fmt.Sprint(w) }); err != nil || len(got) != 200 {
			t.Errorf("writer %d: %d records, %v", w, len(got), err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	trail := open(b, Options[record]{Dir: b.TempDir()})
	r := record{Time: time.Now(), Writer: "ann", Object: "service 7", Text: "01J0000000000000000000000"}
	b.ReportAllocs()
	for b.Loop() {
		if err := trail.Append(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
