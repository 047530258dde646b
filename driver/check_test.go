package driver_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/driver"
)

var kind = &driver.Kind{
	Name: "test",
	Account: []driver.Option{
		{Name: "url", Type: driver.String, Required: true},
		{Name: "password", Type: driver.String, Secret: true},
	},
	Options: []driver.Option{
		{Name: "command", Type: driver.List},
		{Name: "count", Type: driver.Int, Default: 1},
		{Name: "share", Type: driver.Float},
		{Name: "tty", Type: driver.Bool},
		{Name: "grace", Type: driver.Duration, Default: "10s"},
		{Name: "memory", Type: driver.Size},
		{Name: "labels", Type: driver.Map},
		{Name: "network", Type: driver.String, Choices: []string{"host", "bridge"}},
		{Name: "pin", Type: driver.Int, Secret: true},
	},
}

func TestCheck(t *testing.T) {
	with := func(name string, v any) map[string]any {
		m := map[string]any{"count": 1, "grace": 10 * time.Second}
		m[name] = v
		return m
	}
	for _, tt := range []struct {
		name  string
		given any
		want  any // nil: an error that holds each of says
		says  string
	}{
		{name: "count", given: 3, want: 3},
		{name: "count", given: uint64(3), want: 3},
		{name: "count", given: 3.0, want: 3},
		{name: "count", given: "3", want: 3},
		{name: "count", given: json.Number("3"), want: 3},
		{name: "count", given: nil, want: 1},
		{name: "count", given: 3.5, says: `option "count": must be a whole number, not "3.5"`},
		{name: "count", given: true, says: "whole number"},
		{name: "count", given: 1e300, says: "whole number"},
		{name: "share", given: "0.5", want: 0.5},
		{name: "share", given: "NaN", says: "number"},
		{name: "tty", given: "yes", want: true},
		{name: "tty", given: "maybe", says: `must be true or false, not "maybe"`},
		{name: "tty", given: 1, says: "true or false"},
		{name: "grace", given: "1m30s", want: 90 * time.Second},
		{name: "grace", given: 90, want: 90 * time.Second},
		{name: "grace", given: 1.5, want: 1500 * time.Millisecond},
		{name: "grace", given: time.Second, want: time.Second},
		{name: "grace", given: "-1s", says: "duration"},
		{name: "grace", given: "soon", says: `not "soon"`},
		{name: "memory", given: "512M", want: int64(512 << 20)},
		{name: "memory", given: float64(1 << 30), want: int64(1 << 30)},
		{name: "memory", given: "1.5 GiB", want: int64(3 << 29)},
		{name: "memory", given: "-1", says: "size"},
		{name: "memory", given: "512X", says: "size"},
		{name: "memory", given: "9999999P", says: "size"},
		{name: "command", given: []any{"sleep", 10}, want: []string{"sleep", "10"}},
		{name: "command", given: "sleep 10", says: `must be a list of strings, as in [a, b], not "sleep 10"`},
		{name: "command", given: []any{map[string]any{}}, says: "list of strings"},
		{name: "labels", given: map[string]any{"a": 1, "b": nil}, want: map[string]string{"a": "1", "b": ""}},
		{name: "labels", given: map[any]any{1: true}, want: map[string]string{"1": "true"}},
		{name: "labels", given: []any{"a"}, says: "must be a map of strings, as in {a: b}, not a list"},
		{name: "network", given: "host", want: "host"},
		{name: "network", given: "brigde", says: `"brigde" is none of host, bridge; did you mean "bridge"?`},
		{name: "network", given: []any{"host"}, says: "one of host, bridge"},
		{name: "comand", given: "x", says: `option "comand": there is no such option; did you mean "command"?`},
		{name: "zzz", given: "x", says: "there are command, count"},
		{name: "pin", given: "hunter2", says: `option "pin": must be a whole number`},
	} {
		got, err := kind.Check(map[string]any{tt.name: tt.given})
		if tt.want != nil {
			if diff := cmp.Diff(with(tt.name, tt.want), got); err != nil || diff != "" {
				t.Errorf("%s %v: %v\n%s", tt.name, tt.given, err, diff)
			}
			continue
		}
		if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s %v: error %v, want %q", tt.name, tt.given, err, tt.says)
		}
	}
	_, err := kind.Check(map[string]any{"b": 1, "a": 1, "count": "x"})
	if n := strings.Count(err.Error(), "option"); n < 3 || !strings.HasPrefix(err.Error(), `option "a"`) {
		t.Errorf("three problems: %v", err)
	}
	if _, err := kind.CheckAccount(nil); err == nil || !strings.Contains(err.Error(), `option "url": is required`) {
		t.Errorf("a required option is missing: %v", err)
	}
}

func TestRedact(t *testing.T) {
	got := kind.RedactAccount(map[string]any{"url": "http://x", "password": "hunter2", "pasword": "hunter2"})
	want := map[string]any{"url": "http://x", "password": driver.Redacted, "pasword": driver.Redacted}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestGet(t *testing.T) {
	o := map[string]any{"a": 5}
	if driver.Get[int](o, "a") != 5 || driver.Get[string](o, "a") != "" || driver.Get[int](o, "b") != 0 {
		t.Error("Get returns something else")
	}
}

// What has been checked can be checked again.
func TestCheckTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given := map[string]any{
			"count":   rapid.IntRange(-1e9, 1e9).Draw(t, "count"),
			"grace":   rapid.SampledFrom([]any{"1h", 5, 0.25, "3"}).Draw(t, "grace"),
			"memory":  rapid.SampledFrom([]any{"1k", 5, "2T", 1e9}).Draw(t, "memory"),
			"command": rapid.SliceOf(rapid.String()).Draw(t, "command"),
			"labels":  rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "labels"),
			"share":   rapid.Float64Range(-1e9, 1e9).Draw(t, "share"),
		}
		once, err := kind.Check(given)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := kind.Check(once)
		if diff := cmp.Diff(once, twice); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"", "512M", "1.5GiB", "64 kb", "B", "1..2", "9223372036854775807", "8388608T", "-1", "1e3", "٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := driver.ParseSize(s); err == nil && n < 0 {
			t.Errorf("%q is %d bytes", s, n)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"", "1m30s", "90", "1e3", "-0", "-1s", "NaN", "Inf", "9999999999999", "0x10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := driver.ParseDuration(s); err == nil && d < 0 {
			t.Errorf("%q is %s", s, d)
		}
	})
}
