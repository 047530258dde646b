// Package keystone tests Troupe together with a real Keystone, whose tokens are good for Troupe's Monasca.
package keystone

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The interpreter is Debian's: its packages are no other's.
const (
	python = "/usr/bin/python3"
	served = "/usr/bin/keystone-wsgi-public"
)

// A server is a real Keystone with a database of its own.
type server struct {
	t     testing.TB
	dir   string
	port  string
	admin string // the first user's password

	rootToken string        // see root
	ends      io.Closer     // its standard input
	exited    chan struct{} // after it has
	output    bytes.Buffer
}

// startServer makes a Keystone and starts it.
func startServer(t testing.TB) *server {
	t.Helper()
	if _, err := os.Stat(served); err != nil {
		t.Skip("needs Debian's python3-keystone, which scripts/setup installs")
	}
	s := &server{t: t, dir: t.TempDir(), port: "0", admin: "the first admin's"}
	must(t, os.Mkdir(filepath.Join(s.dir, "keys"), 0o700))
	must(t, os.WriteFile(filepath.Join(s.dir, "keystone.conf"), fmt.Appendf(nil, `
[DEFAULT]
log_dir =
[database]
connection = sqlite:///%[1]s/keystone.db
[fernet_tokens]
key_repository = %[1]s/keys
[fernet_receipts]
key_repository = %[1]s/keys
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memory
`, s.dir), 0o600))
	s.start()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("Keystone said, at its end:\n%s", s.output.Bytes()[max(0, s.output.Len()-1000):])
		}
	})
	return s
}

var ready = regexp.MustCompile(`Available at http://[^/]*:(\d+)/`)

// start starts it, again at the port that it had.
func (s *server) start() {
	s.t.Helper()
	began := time.Now()
	cmd := exec.Command(python, "testdata/serve.py", s.dir, s.port)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + s.dir, "LANG=C.UTF-8", "PYTHONWARNINGS=ignore", "PYTHONDONTWRITEBYTECODE=1", "OS_BOOTSTRAP_PASSWORD=" + s.admin}
	stdin, err := cmd.StdinPipe()
	must(s.t, err)
	out, w, err := os.Pipe()
	must(s.t, err)
	cmd.Stdout, cmd.Stderr = w, w
	must(s.t, cmd.Start())
	w.Close()
	at := make(chan string, 1)
	s.ends, s.exited = stdin, make(chan struct{})
	go func() {
		defer close(s.exited)
		defer close(at)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintln(&s.output, lines.Text())
			if m := ready.FindStringSubmatch(lines.Text()); m != nil {
				at <- m[1]
			}
		}
		_ = cmd.Wait() // what it said tells why
	}()
	port, ok := <-at
	if !ok {
		s.t.Fatalf("Keystone does not start:\n%s", s.output.String())
	}
	s.port = port
	s.t.Logf("Keystone serves after %v", time.Since(began).Round(time.Millisecond))
}

func (s *server) stop() {
	s.ends.Close()
	<-s.exited
}

func (s *server) url() string { return "http://127.0.0.1:" + s.port }

type object = map[string]any

// call sends a request that must succeed.
func (s *server) call(method, path, token string, body any) (http.Header, object) {
	s.t.Helper()
	var text []byte
	var err error
	if body != nil {
		text, err = json.Marshal(body)
		must(s.t, err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url()+"/v3"+path, bytes.NewReader(text))
	must(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Auth-Token", token)
	if method == http.MethodDelete && path == "/auth/tokens" {
		req.Header.Set("X-Subject-Token", token)
	}
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	must(s.t, err)
	if resp.StatusCode >= 300 {
		s.t.Fatalf("Keystone: %s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	var out object
	if len(answer) > 0 {
		must(s.t, json.Unmarshal(answer, &out))
	}
	return resp.Header, out
}

// make makes one of a kind, such as "project", and returns its id.
func (s *server) make(kind, token string, fields object) string {
	s.t.Helper()
	_, got := s.call(http.MethodPost, "/"+kind+"s", token, object{kind: fields})
	return got[kind].(object)["id"].(string)
}

// logIn returns a token of a user in a project, both by id.
func (s *server) logIn(user, password, project string) string {
	s.t.Helper()
	return s.authenticate(object{"methods": []string{"password"}, "password": object{"user": object{"id": user, "password": password}}}, object{"project": object{"id": project}})
}

func (s *server) authenticate(identity, scope object) string {
	s.t.Helper()
	auth := object{"identity": identity}
	if scope != nil {
		auth["scope"] = scope
	}
	header, _ := s.call(http.MethodPost, "/auth/tokens", "", object{"auth": auth})
	return header.Get("X-Subject-Token")
}

// root returns a token of Keystone's first administrator.
func (s *server) root() string {
	s.t.Helper()
	if s.rootToken == "" {
		standard := object{"id": "default"}
		s.rootToken = s.authenticate(object{"methods": []string{"password"}, "password": object{"user": object{"name": "admin", "domain": standard, "password": s.admin}}},
			object{"project": object{"name": "admin", "domain": standard}})
	}
	return s.rootToken
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holds fails the test for texts that a log or a file holds although they are secret.
func holds(t testing.TB, where, text string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s holds the secret %.12s…", where, secret)
		}
	}
}
