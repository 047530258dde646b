package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"
)

// besidePrometheus measures how long a value that crosses a threshold takes to a webhook: with Prometheus as fast as it
// goes (it scrapes and evaluates each second, without Alertmanager: what it would tell that is received), and with Troupe,
// which is sent the value when it changes. Both run at the same time, in turns.
func besidePrometheus() error {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		return errors.New("needs the program prometheus (Debian's package of that name)")
	}
	r, err := startReactor()
	if err != nil {
		return err
	}
	defer r.stop()
	if err := r.fill(2000); err != nil {
		return err
	}
	p, err := startPrometheus(program, r.dir)
	if err != nil {
		return err
	}
	defer p.stop()
	var theirs, ours []time.Duration
	for n := range 20 {
		time.Sleep(rand.N(time.Second)) // at any phase of their seconds
		took, err := p.cross()
		if err != nil {
			return err
		}
		theirs = append(theirs, took)

		name := host(n)
		wait := make(chan time.Time, 1)
		r.hooks.Store(name, wait)
		at := time.Now()
		if err := r.send("/v1/prometheus/write", protobuf, "snappy", remoteWrite("cpu_user_perc", n, 1, 95, at)); err != nil {
			return err
		}
		ours = append(ours, (<-wait).Sub(at))
	}
	note("Prometheus, median and p90", fmt.Sprintf("%.4g and %.4g", percentile(theirs, 50), percentile(theirs, 90)), "ms")
	note("Troupe, median and p90", fmt.Sprintf("%.4g and %.4g", percentile(ours, 50), percentile(ours, 90)), "ms")
	figure("how many times faster, by the medians", percentile(theirs, 50)/percentile(ours, 50), 20, "×", true)
	return nil
}

// rival is a Prometheus that watches one value.
type rival struct {
	value  atomic.Int64
	alerts chan bool // firing or not
	server *http.Server
	cmd    *exec.Cmd
}

func startPrometheus(program, dir string) (*rival, error) {
	p := &rival{alerts: make(chan bool, 100)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "bench_value %d\n", p.value.Load()) })
	mux.HandleFunc("/api/v2/alerts", func(_ http.ResponseWriter, q *http.Request) {
		var list []struct{ EndsAt time.Time }
		if json.NewDecoder(q.Body).Decode(&list) == nil && len(list) > 0 {
			p.alerts <- list[0].EndsAt.After(time.Now())
		}
	})
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = p.server.Serve(l) }()
	rules := filepath.Join(dir, "rules.yml")
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(rules, []byte("groups: [{name: bench, interval: 1s, rules: [{alert: Busy, expr: bench_value > 80}]}]\n"), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
alerting: {alertmanagers: [{api_version: v2, static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: bench, static_configs: [{targets: [%q]}]}]
`, rules, l.Addr(), l.Addr()), 0o600); err != nil {
		return nil, err
	}
	p.cmd = exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "prometheus"), "--web.listen-address=127.0.0.1:0", "--log.level=error")
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := p.cross(); err != nil { // the first is that of its start
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *rival) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.server.Close()
}

// cross lets the value cross the threshold, waits for the alert, and for its end.
func (p *rival) cross() (time.Duration, error) {
	at := time.Now()
	p.value.Store(95)
	if err := p.until(true); err != nil {
		return 0, err
	}
	took := time.Since(at)
	p.value.Store(20)
	return took, p.until(false)
}

func (p *rival) until(firing bool) error {
	for limit := time.After(time.Minute); ; {
		select {
		case got := <-p.alerts:
			if got == firing {
				return nil
			}
		case <-limit:
			return errors.New("no word from Prometheus for a minute")
		}
	}
}
