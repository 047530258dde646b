// Package prometheus tests Troupe together with a real Prometheus: it writes into Troupe, and Troupe answers its queries.
package prometheus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/app/apptest"
)

// serve runs a whole Troupe in this process.
func serve(t *testing.T) *apptest.Server {
	t.Helper()
	return apptest.Start(t, app.Options{Accounts: []app.Account{{Driver: "sim"}}})
}

// prometheus runs the distribution's Prometheus with a configuration.
func prometheus(t *testing.T, config string) {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("needs the program prometheus (Debian's package of that name)")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var output bytes.Buffer
	cmd := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
}

// What Prometheus scrapes from Troupe it writes into Troupe, and Troupe's query API answers as Prometheus' own does.
func TestRemoteWrite(t *testing.T) {
	a := serve(t)
	url := a.Addrs()["main"]
	prometheus(t, fmt.Sprintf(`
global: {scrape_interval: 1s}
scrape_configs:
- job_name: troupe
  basic_auth: {username: oneadmin, password: %[2]q}
  static_configs: [{targets: [%[3]q]}]
remote_write:
- url: %[1]s/v1/prometheus/write
  basic_auth: {username: oneadmin, password: %[2]q}
  queue_config: {batch_send_deadline: 100ms}
`, url, a.Password(), strings.TrimPrefix(url, "http://")))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		answer := query(t, a, `count_over_time(up{job="troupe"}[1m])`)
		if answer.Status == "success" && len(answer.Data.Result) == 1 && answer.Data.Result[0].Metric["job"] == "troupe" && answer.Data.Result[0].Value[1] != "0" {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("Prometheus' samples did not come: %+v", answer)
		}
	}
	if answer := query(t, a, `troupe_services`); answer.Status != "success" {
		t.Errorf("%+v", answer)
	}
	if answer := query(t, a, `sum by (`); answer.Status != "error" || answer.ErrorType != "bad_data" {
		t.Errorf("a wrong query: %+v", answer)
	}
}

// An answer is that of Prometheus' query API.
type answer struct {
	Status    string
	ErrorType string
	Data      struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
}

func query(t *testing.T, a *apptest.Server, promql string) (out answer) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.Addrs()["main"]+"/v1/prometheus/api/v1/query", strings.NewReader("query="+promql))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("oneadmin", a.Password())
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return out
}
