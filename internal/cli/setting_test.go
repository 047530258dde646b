package cli

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func serverFlagSet() (*serverOptions, *pflag.FlagSet) {
	o := &serverOptions{}
	f := pflag.NewFlagSet("server", pflag.ContinueOnError)
	o.addFlags(f, func(string) string { return "" })
	return o, f
}

func TestSettle(t *testing.T) {
	const file = "listen: 127.0.0.1:1\nretain: 1h\netcd: [http://a:2379, http://b:2379]\ninsecure: true\nadmin: file\n"
	env := map[string]string{"TROUPE_LISTEN": "127.0.0.1:2", "TROUPE_RETAIN": "2h"}
	o, flags := serverFlagSet()
	if err := flags.Parse([]string{"--listen", "127.0.0.1:3"}); err != nil {
		t.Fatal(err)
	}
	c, err := parseConfig("server.yaml", []byte(file), flags)
	if err != nil {
		t.Fatal(err)
	}
	if err := settle(flags, func(k string) string { return env[k] }, c); err != nil {
		t.Fatal(err)
	}
	a := o.app
	if a.Listen != "127.0.0.1:3" || a.Retain.Hours() != 2 || strings.Join(a.Etcd.Endpoints, " ") != "http://a:2379 http://b:2379" || !a.Insecure || a.Admin != "file" {
		t.Errorf("%+v", a)
	}
	env["TROUPE_RETAIN"] = "soon"
	if err := settle(flags, func(k string) string { return env[k] }, c); err == nil || !strings.Contains(err.Error(), `TROUPE_RETAIN: "soon"`) {
		t.Errorf("%v", err)
	}
}

func TestUnits(t *testing.T) {
	o, flags := serverFlagSet()
	if err := flags.Parse([]string{"--retain", "7d", "--audit-retain=36h", "--quota", "8G"}); err != nil {
		t.Fatal(err)
	}
	if o.app.Retain.Hours() != 7*24 || o.app.AuditRetain.Hours() != 36 || o.app.Quota != 8<<30 {
		t.Errorf("%+v", o.app)
	}
	for flag, want := range map[string]string{"--retain=soon": "such as 90m", "--retain=-1d": "such as 90m", "--quota=much": "such as 512M"} {
		if err := flags.Parse([]string{flag}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

func TestParseConfig(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "",
		"# nothing\n":                       "",
		"---\nlisten: 127.0.0.1:0\n":        "",
		"drivers: []\n":                     "",
		"listen: 1\nlisten: 2\n":            "f:2:1: ",
		"listen: {a: b}\n":                  "f:1:1: listen: wants a value",
		"config: x\n":                       "no such setting",
		"help: x\n":                         "no such setting",
		"drivers: process\n":                "drivers are a list",
		"drivers: [{name: x}]\n":            "drivers[0]: driver is missing",
		"drivers: [{driver: sim, opt: 1}]":  "unknown field",
		"- a\n":                             "a list of settings",
		"just text\n":                       "a list of settings",
		"a: b: c\n":                         "f:",
		"log_level: info\n":                 `did you mean "log-level"?`,
		"listen: \"\\ud800\"\n":             "f:1:",
		"<<: {listen: x}\n":                 "no such setting",
		"tls-cert: &a x\ntls-key: *a\n":     "wants a value",
		"listen: |\n  127.0.0.1:0\n":        "",
		strings.Repeat("[", 10000) + "\n":   "f:",
		strings.Repeat("{a: ", 5000) + "\n": "f:",
	} {
		_, flags := serverFlagSet()
		_, err := parseConfig("f", []byte(text), flags)
		switch {
		case want == "" && err != nil:
			t.Errorf("%.40q: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%.40q: %.200v; want %q in it", text, err, want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, text := range []string{"listen: 127.0.0.1:0\n", "etcd: [a, b]\n", "drivers: [{driver: sim, options: {seed: 1}}]\n", "a: &x [*x]\n", "? {a: b}\n: c\n", "- x\n", "\xff", "%YAML 1.2\n---\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, flags := serverFlagSet()
		c, err := parseConfig("f", []byte(text), flags)
		if err != nil {
			return
		}
		// Whatever was read can be taken over or is refused; the defaults stay otherwise.
		if settle(flags, func(string) string { return "" }, c) == nil && c.values["listen"] == "" && o.app.Listen != "127.0.0.1:7070" {
			t.Errorf("listen became %q", o.app.Listen)
		}
	})
}
