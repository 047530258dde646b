package audit

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string, records ...Record) *Trail {
	t.Helper()
	trail, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := trail.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, r := range records {
		if err := trail.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	return trail
}

func TestFilter(t *testing.T) {
	trail := open(t, t.TempDir(), Record{Time: time.Date(2026, 5, 1, 12, 0, 0, 5, time.UTC), Request: "r1", User: "ann", Project: "web", Face: "oneflow", Action: "service.scale", Object: "first", Outcome: Done},
		Record{Action: "x", Object: "second", Outcome: Denied, User: "bob"}, Record{Action: "x", Object: "third", Outcome: Done, User: "ann"})
	for _, tt := range []struct {
		n    int
		f    Filter
		want string
	}{
		{2, Filter{}, "third second"}, {0, Filter{}, ""}, {9, Filter{User: "ann"}, "third first"},
		{9, Filter{Outcome: Denied}, "second"}, {9, Filter{User: "bob", Outcome: Done}, ""},
		{9, Filter{Since: time.Now().Add(-time.Hour)}, "third second"}, {1, Filter{Request: "r1"}, "first"},
	} {
		records, err := trail.Last(t.Context(), tt.n, tt.f)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range records {
			got = append(got, r.Object)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%d %+v: %q, want %q", tt.n, tt.f, got, tt.want)
		}
	}
}

func TestSecretsAreMasked(t *testing.T) {
	dir := t.TempDir()
	secret := strings.Repeat("k7", 26)
	trail := open(t, dir, Record{Action: "token.use", Reason: "bad token trp_abcdefghijklm_" + secret + "!", Object: strings.Repeat("ü", 5000)})
	if err := trail.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "audit.jsonl"))
	if err != nil || bytes.Contains(text, []byte("k7k7")) || !bytes.Contains(text, []byte("trp_abcdefghijklm_***!")) {
		t.Errorf("%s %v", text, err)
	}
	if len(text) > 2*maxField {
		t.Errorf("%d bytes", len(text))
	}
}
