package agent

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestConfig(t *testing.T) {
	c, err := ParseConfig("agent.yaml", []byte(`
interval: 2s
hostname: web01.test
dimensions: {service: shop, zone: a}
troupe: {url: "https://troupe.test:7070", token-file: /etc/troupe/agent.secret}
collect: [cpu, memory]
processes:
  - {name: nginx, detailed: true}
http:
  - {url: "http://127.0.0.1/health", match: ok, timeout: 3s}
tcp:
  - {address: "db.test:5432", interval: 5s}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	if c.Interval != 2*time.Second || c.HTTP[0].Interval != 2*time.Second || c.HTTP[0].Timeout != 3*time.Second ||
		c.TCP[0].Interval != 5*time.Second || c.TCP[0].Timeout != defaultTimeout || !c.Processes[0].Detailed || c.Buffer != DefaultBuffer {
		t.Errorf("read %+v", c)
	}
}

func TestConfigErrors(t *testing.T) {
	const target = "troupe: {url: 'http://t.test', token-file: f}\n"
	for text, want := range map[string]string{
		"intervall: 2s":                   `agent.yaml:1:1: unknown field "intervall"; did you mean "interval"?`,
		"troupe:\n  token_file: x":        `agent.yaml:2:3: unknown field "token_file"; did you mean "token-file"?`,
		"interval: fast":                  "agent.yaml:1:11:",
		"a: [":                            "agent.yaml:1:4",
		"- 1":                             "agent.yaml:1:",
		target + "interval: 10ms":         "interval: 10ms is not between 1s and 1h0m0s",
		target + "collect: [cpus]":        `collect[0]: no part "cpus"; did you mean "cpu"?`,
		target + "http: [{url: ftp://x}]": "http[0].url: wants http://… or https://…",
		target + "http: [{url: 'http://u:secret@x'}]":       "http[0].url: holds a user or a password",
		target + "http: [{url: 'http://x', match: '('}]":    "http[0].match:",
		target + "tcp: [{address: nowhere}]":                `tcp[0].address: "nowhere" is not host:port`,
		target + "processes: [{detailed: true}]":            "processes[0]: name or search is missing",
		target + "dimensions: {_x: y}":                      "begins with an underscore",
		target + "buffer: -1":                               "buffer: -1 measurements",
		target + "monasca: {username: u}":                   "both given",
		"interval: 1s":                                      "nowhere to report to",
		"troupe: {url: 'http://t.test'}":                    "troupe.token-file: there is no token",
		"monasca: {keystone-url: 'http://k', username: u}":  "monasca.password-file: there is no password",
		"monasca: {keystone-url: 'http://k', password: pw}": `agent.yaml:1:37: unknown field "password"`,
	} {
		c, err := ParseConfig("agent.yaml", []byte(text))
		if err == nil {
			err = c.Complete()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("a password is in %v", err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	c := new(Config)
	c.Environment(environment(map[string]string{"OS_AUTH_URL": "http://k.test/v3", "OS_USERNAME": "u", "OS_PASSWORD": "p", "TROUPE_SERVICE": "7",
		"TROUPE_ROLE": "web", "TROUPE_INSTANCE": "web-0"}))
	if err := c.Complete(); err != nil || c.Monasca == nil || c.Monasca.password != "p" {
		t.Errorf("%+v, %v", c.Monasca, err)
	}
	if want := (map[string]string{"service": "7", "role": "web", "instance": "web-0"}); !maps.Equal(c.place, want) {
		t.Errorf("dimensions %v", c.place)
	}
	c = &Config{Troupe: &TroupeTarget{URL: "http://file.test", TokenFile: "f"}}
	c.Environment(environment(map[string]string{"TROUPE_URL": "http://env.test", "TROUPE_TOKEN": "t", "OS_AUTH_URL": "http://k.test", "TROUPE_SERVICE": "7"}))
	if c.Troupe.URL != "http://env.test" || c.Troupe.TokenFile != "" || c.Troupe.token != "t" || c.Monasca != nil || c.place["instance"] != "" {
		t.Errorf("%+v", c.Troupe)
	}
	c = &Config{Troupe: &TroupeTarget{URL: "http://file.test", TokenFile: "f"}}
	c.Environment(environment(map[string]string{"VMID": "3", "ONEGATE_TOKEN": "o"}))
	if c.Troupe.Instance != "" || c.Troupe.TokenFile != "f" {
		t.Errorf("OneGate's token replaced the configured one: %+v", c.Troupe)
	}
}

func TestSetup(t *testing.T) {
	dir := t.TempDir()
	setup := func(secret string, overwrite bool) (names []string, err error) {
		s := &Setup{
			Config: &Config{Interval: time.Second, Dimensions: map[string]string{"service": "a b: c", "zone": "x"}, Troupe: &TroupeTarget{URL: "http://t.test"}},
			Secret: secret, Command: []string{"/opt/my troupe", "agent"}, ConfigDir: filepath.Join(dir, "etc"), UnitDir: dir, Overwrite: overwrite,
		}
		written, err := s.Write()
		for _, w := range written {
			names = append(names, w.Name)
		}
		return names, err
	}
	names, err := setup("tok", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names[:2] {
		if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	c, err := ReadConfig(names[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Complete(); err != nil || c.Dimensions["service"] != "a b: c" || c.Interval != time.Second || c.Troupe.TokenFile != names[0] {
		t.Errorf("read %+v, %v", c, err)
	}
	unit, err := os.ReadFile(names[2])
	if err != nil || !strings.Contains(string(unit), `ExecStart="/opt/my troupe" agent --config `+names[1]+"\n") || strings.Contains(string(unit), "tok\n") {
		t.Errorf("the unit is %s, %v", unit, err)
	}
	if _, err := setup("tok", false); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if _, err := setup("other", false); err == nil {
		t.Error("another secret replaced the first")
	}
	if _, err := setup("other", true); err != nil {
		t.Error(err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("interval: 2s\ntroupe: {url: http://t.test, token-file: f}\nhttp: [{url: http://x}]\n"))
	f.Add([]byte("monasca: {keystone-url: http://k, username: u, password-file: p}\ndimensions: {a: b}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 10_000 {
			return
		}
		c, err := ParseConfig("f", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("an error without its place: %v", err)
			}
			return
		}
		if c.complete(false) == nil && (c.Interval < ShortestSpan || c.Buffer < 1) {
			t.Errorf("took %+v", c)
		}
	})
}
