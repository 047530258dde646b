package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
)

func TestExitCode(t *testing.T) {
	answered := func(status int) error { return fmt.Errorf("do: %w", &client.Problem{Status: status}) }
	for want, errs := range map[int][]error{
		exitOK:          {nil},
		exitError:       {errors.New("x"), answered(http.StatusInternalServerError)},
		exitUsage:       {usageError("x"), fmt.Errorf("y: %w", usageError("x"))},
		exitNotFound:    {answered(http.StatusNotFound)},
		exitRefused:     {answered(http.StatusConflict), answered(http.StatusPreconditionFailed)},
		exitDenied:      {answered(http.StatusForbidden), answered(http.StatusUnauthorized)},
		exitUnreachable: {answered(http.StatusServiceUnavailable), fmt.Errorf("GET: %w", syscall.ECONNREFUSED)},
		exitTimeout:     {context.DeadlineExceeded},
		exitInvalid:     {answered(http.StatusBadRequest), answered(http.StatusUnprocessableEntity)},
		exitInterrupted: {fmt.Errorf("GET: %w", context.Canceled)},
		42:              {silent(42)},
	} {
		for _, err := range errs {
			if got := exitCode(err); got != want {
				t.Errorf("%v: %d, want %d", err, got, want)
			}
		}
	}
}

func TestFormatOf(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "native",
		"name: x\nroles: {}\n":          "native",
		`{"name": "x", "roles": {}}`:    "native",
		`{"name": "x", "roles": [`:      "native",
		`{"name": "x", "roles": []}`:    "oneflow",
		"// a\n/* b */ {\"roles\": []}": "oneflow",
		"/* never ends":                 "native",
		`{"name": "x"}`:                 "native",
	} {
		if got := formatOf([]byte(text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestPlaces(t *testing.T) {
	for place, want := range map[string][2]string{
		"shop/app":     {"shop", "app"},
		"lab/shop/app": {"lab/shop", "app"},
		"shop":         {}, "shop/": {}, "/app": {}, "": {},
	} {
		service, role, err := splitRole(place)
		if [2]string{service, role} != want || (err != nil) != (want == [2]string{}) {
			t.Errorf("%q: %q %q %v", place, service, role, err)
		}
	}
	if _, err := assignments("--set", []string{"A=1", "B"}); err == nil || !strings.Contains(err.Error(), `--set "B"`) {
		t.Errorf("%v", err)
	}
	if _, err := assignments("--set", []string{"A=1", "B=2", "A=3"}); err == nil || err.Error() != `--set "A=3": A is given twice` {
		t.Error(err)
	}
	if m, err := assignments("--set", []string{"A=b=c"}); err != nil || m["A"] != "b=c" {
		t.Errorf("%v %v", m, err)
	}
}

func TestHasSettled(t *testing.T) {
	up := []string{"RUNNING", "COOLDOWN"}
	for _, c := range []struct {
		state   string
		leaving bool
		good    []string
		want    bool
	}{
		{"DEPLOYING", false, up, false},
		{"RUNNING", false, up, true},
		{"COOLDOWN", false, up, true},
		{"WARNING", false, up, true},
		{"FAILED_DEPLOYING", false, up, true},
		{"UNDEPLOYING", true, []string{"DONE"}, false},
		{"DONE", true, []string{"DONE"}, true},
		{"DONE", true, []string{client.Gone}, false},
		{"DONE", true, []string{"DONE", client.Gone}, true},
		{"DONE", true, up, true}, // rolled back after a failed deployment
		{"DONE", false, up, true},
		{"FAILED_UNDEPLOYING", true, []string{client.Gone}, true},
	} {
		if got := hasSettled(&client.Service{State: c.state, Leaving: c.leaving}, c.good); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
	mending := &client.Service{State: "WARNING", Roles: []client.Role{{Phases: map[string]int{"up": 1, "backoff": 1}}}}
	if hasSettled(mending, up) {
		t.Error("a service that mends itself counts as settled")
	}
}

// What keeps a server from listening is not a server that a client cannot reach.
func TestUnreachable(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	busy := &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
	for err, want := range map[error]bool{
		refused:                        true,
		busy:                           false,
		withCode(exitError, refused):   false, // a server's own: its cluster, say
		fmt.Errorf("start: %w", busy):  false,
		fmt.Errorf("GET: %w", refused): true,
	} {
		if got := exitCode(err) == exitUnreachable; got != want {
			t.Errorf("%v: %t", err, got)
		}
		if got := strings.Contains(explainError(err), "does the server run?"); got != want {
			t.Errorf("%v: hint %t", explainError(err), got)
		}
	}
}

func TestShieldNumbers(t *testing.T) {
	for in, want := range map[string]string{
		"scale shop/app -1":                "scale shop/app -- -1",
		"scale shop/app -10%":              "scale shop/app -- -10%",
		"scale shop/app -2 --timeout 5m":   "scale shop/app --timeout 5m -- -2",
		"scale shop/app -- -1":             "scale shop/app -- -1",
		"scale shop/app +1":                "scale shop/app +1",
		"scale shop/app -x":                "scale shop/app -x",
		"exec shop/app/0 -- kill -9 1":     "exec shop/app/0 -- kill -9 1",
		"metric push a -1.5 --time 1m":     "metric push a --time 1m -- -1.5",
		"metric push a -x":                 "metric push a -x",
		"metric push a --time -10m -3":     "metric push a --time -10m -- -3",
		"events -n -1":                     "events -n -1",
		"--url http://x scale shop/app -1": "--url http://x scale shop/app -- -1",
	} {
		if got := strings.Join(shieldNumbers(strings.Fields(in)), " "); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestQuotaEdit(t *testing.T) {
	seven := 7
	for _, c := range []struct {
		args []string
		want string // services instances cpus memory, or the error
	}{
		{[]string{"--instances", "3"}, "7 3 - -"},
		{[]string{"--services", "none", "--memory", "2G", "--cpus", "1.5"}, "- - 1.5 2147483648"},
		{[]string{"--services", "-1"}, `--services "-1"`},
		{[]string{"--cpus", "NaN"}, `--cpus "NaN"`},
		{[]string{"--memory", "much"}, `--memory "much"`},
	} {
		var o quotaOptions
		f := pflag.NewFlagSet("quota", pflag.ContinueOnError)
		o.addFlags(f)
		if err := f.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		q := client.Quota{Services: &seven}
		got := fmt.Sprint(o.edit(f, &q))
		if got == "<nil>" {
			got = strings.Join([]string{text(q.Services), text(q.Instances), text(q.CPUs), text(q.Memory)}, " ")
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%v: %s, want %s", c.args, got, c.want)
		}
	}
}

func text[T any](p *T) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprint(*p)
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m", 3 * time.Hour: "3h", 72 * time.Hour: "3d"} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1536: "1.5K", 3 << 30: "3.0G"} {
		if got := bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if got := oneLine("a\tb\n\x1b[31mc\u009b"); got != "a b [31mc" {
		t.Errorf("%q", got)
	}
}
