package oneflow

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestParseConf(t *testing.T) {
	const conf = `# OneFlow
################
:one_xmlrpc: http://localhost:2633/RPC2
:host: 0.0.0.0
:port: 2475
:default_cooldown: 120   # seconds
:shutdown_action: 'terminate-hard'
:action_number: 2
:action_period: 30
:vm_name_template: '$ROLE_NAME-$VM_NUMBER'
:autoscaler_interval: 60
:core_auth: cipher
:defualt_cooldown: 9
:log:
  :level: 3
  :system: file
`
	s, warnings, err := ParseConf([]byte(conf))
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{Host: "0.0.0.0", Port: 2475, Cooldown: 2 * time.Minute, ShutdownAction: "terminate-hard", ActionNumber: 2,
		ActionPeriod: 30 * time.Second, NamePattern: "$ROLE_NAME-$VM_NUMBER", AutoscalerInterval: time.Minute, LogLevel: slog.LevelDebug}
	if s != want {
		t.Errorf("%+v", s)
	}
	if got, want := fmt.Sprint(warnings), `[one_xmlrpc: has no meaning here and is ignored core_auth: has no meaning here and is ignored defualt_cooldown: unknown key, ignored; did you mean "default_cooldown"?]`; got != want {
		t.Error(got)
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", ":log:\n"} {
		if s, _, err := ParseConf([]byte(empty)); err != nil || s != DefaultSettings() {
			t.Errorf("%q: %+v %v", empty, s, err)
		}
	}
}

func TestParseConfErrors(t *testing.T) {
	for in, want := range map[string]string{
		":port: x":                     "line 1, column 8: port: must be a whole number, not 'x'",
		":host: a\n:port: 70000":       "line 2, column 8: port: must be a port from 0 to 65535",
		":default_cooldown: -1":        "line 1, column 20: default_cooldown: must be a whole number, not '-1'",
		":shutdown_action: kill":       "line 1, column 19: shutdown_action: must be one of terminate, terminate-hard, shutdown, shutdown-hard",
		":port: [1]":                   "line 1, column 8: port: must be a single value",
		"- a":                          `line 1, column 1: expected lines like ":host: 127.0.0.1"`,
		":host: a\n:port: {":           "line 2, column 8: not YAML: could not find flow mapping end token '}'",
		strings.Repeat("[", MaxConf):   "the file has more than 500 brackets",
		strings.Repeat("#", MaxConf+1): "the file is longer than 65536 bytes",
	} {
		if _, _, err := ParseConf([]byte(in)); err == nil || err.Error() != want {
			t.Errorf("%.40q: %v, want %s", in, err, want)
		}
	}
}

func FuzzParseConf(f *testing.F) {
	for _, s := range []string{":host: 127.0.0.1\n:port: 2474\n", ":log:\n  :level: 2\n", "a: &x 1\nb: *x\n", "- 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, _, err := ParseConf(data)
		if err == nil && (s.Port < 0 || s.Port > 65535 || s.Cooldown < 0) {
			t.Fatalf("%+v", s)
		}
	})
}
