package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
)

// A reactor is a whole server with a receiver of webhooks, and a client of many connections.
type reactor struct {
	*server
	url   string
	http  *http.Client
	hooks sync.Map // of channels by the hosts' names
	sink  *http.Server
}

func startReactor(accounts ...app.Account) (*reactor, error) {
	dir, err := os.MkdirTemp("", "troupe-bench-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o711); err != nil { // processes run as another user
		return nil, err
	}
	if len(accounts) == 0 {
		accounts = []app.Account{{Driver: "sim"}}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o := app.Options{DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Accounts: accounts, Supervisor: []string{self, "supervise"}}
	o.Notifications.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	o.Metrics.Limits.Series, o.Metrics.Limits.Values, o.Metrics.Limits.Rate, o.Metrics.Limits.Burst, o.Metrics.Concurrent = 2e6, 2e6, 1e8, 1e8, 64
	a, err := app.New(context.Background(), o)
	if err != nil {
		return nil, err
	}
	r := &reactor{server: &server{app: a, dir: dir, done: make(chan error, 1)}, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	go func() { r.done <- a.Run(context.Background()) }()
	select {
	case <-a.Ready():
	case err := <-r.done:
		return nil, err
	}
	r.url = a.Addrs()["main"]
	if r.client, err = client.New(r.url, client.Options{User: "oneadmin", Password: a.Password()}); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.sink = &http.Server{Handler: http.HandlerFunc(r.hook), ReadHeaderTimeout: time.Second}
	go func() { _ = r.sink.Serve(l) }()
	name, kind, address := "sink", "WEBHOOK", "http://"+l.Addr().String()
	_, err = r.client.Notifications().Add(context.Background(), client.PutNotificationMethod{Name: &name, Type: &kind, Address: &address})
	return r, err
}

func (r *reactor) stop() {
	_ = r.sink.Close()
	r.server.stop()
}

// hook tells whoever waits for the alarm of a host.
func (r *reactor) hook(_ http.ResponseWriter, q *http.Request) {
	at := time.Now()
	var body struct {
		Metrics []struct{ Dimensions map[string]string }
	}
	if json.NewDecoder(q.Body).Decode(&body) == nil && len(body.Metrics) > 0 {
		if wait, ok := r.hooks.Load(body.Metrics[0].Dimensions["hostname"]); ok {
			select {
			case wait.(chan time.Time) <- at:
			default:
			}
		}
	}
}

// send posts a body and demands success.
func (r *reactor) send(path, kind, encoding string, body []byte) error {
	q, err := http.NewRequest(http.MethodPost, r.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", kind)
	if encoding != "" {
		q.Header.Set("Content-Encoding", encoding)
	}
	q.SetBasicAuth("oneadmin", r.app.Password())
	answer, err := r.http.Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s %s", path, answer.Status, text)
	}
	return nil
}

func host(n int) string { return fmt.Sprintf("host-%06d", n) }

// remoteWrite encodes one sample of each of count hosts from first on.
func remoteWrite(name string, first, count int, value float64, at time.Time) []byte {
	w := prompb.WriteRequest{Timeseries: make([]prompb.TimeSeries, count)}
	for i := range count {
		w.Timeseries[i] = prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: name}, {Name: "hostname", Value: host(first + i)}},
			Samples: []prompb.Sample{{Value: value, Timestamp: at.UnixMilli()}}}
	}
	raw, err := w.Marshal()
	if err != nil {
		panic(err) // plain data
	}
	return snappy.Encode(nil, raw)
}

const protobuf = "application/x-protobuf"

// fill makes alarms live, one of each host.
func (r *reactor) fill(hosts int) error {
	_, err := r.client.Alarms().Define(context.Background(), client.AlarmRule{Name: "busy", Expression: "last(cpu_user_perc) > 80", MatchBy: []string{"hostname"},
		Actions: client.AlarmActions{Alarm: []client.AlarmAction{{Notify: "sink"}}}})
	for first := 0; err == nil && first < hosts; first += 2000 {
		err = r.send("/v1/prometheus/write", protobuf, "snappy", remoteWrite("cpu_user_perc", first, min(2000, hosts-first), 20, time.Now()))
	}
	return err
}

// load sends samples at a rate until stop is called, which tells how many a second it came to.
func (r *reactor) load(hosts, rate int) (stop func() float64) {
	ctx, cancel := context.WithCancel(context.Background())
	var sent atomic.Int64
	var wait sync.WaitGroup
	began := time.Now()
	const each = 1000
	wait.Go(func() {
		tick := time.NewTicker(time.Duration(float64(time.Second) * each / float64(rate)))
		defer tick.Stop()
		for first := 0; ; first = (first + each) % (hosts - each) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if err := r.send("/v1/prometheus/write", protobuf, "snappy", remoteWrite("cpu_user_perc", first, each, 20, time.Now())); err != nil {
				fmt.Println("  load:", err)
				return
			}
			sent.Add(each)
		}
	})
	return func() float64 {
		cancel()
		wait.Wait()
		return float64(sent.Load()) / time.Since(began).Seconds()
	}
}

// react measures from a sample over HTTP until the webhook is received, under load.
func react() error {
	const hosts, probes = 100_000, 400
	r, err := startReactor()
	if err != nil {
		return err
	}
	defer r.stop()
	if err := r.fill(hosts); err != nil {
		return err
	}
	stop := r.load(hosts-probes, 50_000)
	time.Sleep(2 * time.Second)
	var took []time.Duration
	for n := range probes {
		name := host(hosts - probes + n)
		wait := make(chan time.Time, 1)
		r.hooks.Store(name, wait)
		at := time.Now()
		body := fmt.Sprintf(`{"name":"cpu_user_perc","dimensions":{"hostname":%q},"timestamp":%d,"value":95}`, name, at.UnixMilli())
		if err := r.send("/v1/metrics", "application/json", "", []byte(body)); err != nil {
			return err
		}
		select {
		case received := <-wait:
			took = append(took, received.Sub(at))
		case <-time.After(10 * time.Second):
			return fmt.Errorf("no webhook for %s", name)
		}
		time.Sleep(10 * time.Millisecond)
	}
	note("load meanwhile", fmt.Sprintf("%.4g", stop()), "samples/s")
	figure("sample over HTTP to webhook, median", percentile(took, 50), 10, "ms", false)
	figure("the same, p99", percentile(took, 99), 100, "ms", false)
	return nil
}

// silence measures how late it is noticed that a series fell silent.
func silence() error {
	r, err := startReactor()
	if err != nil {
		return err
	}
	defer r.stop()
	if _, err := r.client.Alarms().Define(context.Background(), client.AlarmRule{Name: "silent", Expression: "absent(cpu_user_perc, 2s)", MatchBy: []string{"hostname"},
		Actions: client.AlarmActions{Alarm: []client.AlarmAction{{Notify: "sink"}}}}); err != nil {
		return err
	}
	const hosts = 1000
	var wait sync.WaitGroup
	took := make([]time.Duration, hosts)
	for n := range hosts {
		heard := make(chan time.Time, 1)
		r.hooks.Store(host(n), heard)
		at := time.Now()
		if err := r.send("/v1/prometheus/write", protobuf, "snappy", remoteWrite("cpu_user_perc", n, 1, 20, at)); err != nil {
			return err
		}
		wait.Go(func() { took[n] = (<-heard).Sub(at) - 2*time.Second })
		time.Sleep(2 * time.Millisecond)
	}
	wait.Wait()
	note("silence of 2 s to webhook, beyond the 2 s, median", fmt.Sprintf("%.4g", percentile(took, 50)), "ms")
	figure("the same, p99", percentile(took, 99), 50, "ms", false)
	return nil
}

// intake measures how many samples a second are taken in over HTTP, stored and evaluated.
func intake() error {
	const hosts = 100_000
	r, err := startReactor()
	if err != nil {
		return err
	}
	defer r.stop()
	if err := r.fill(hosts); err != nil {
		return err
	}
	remote, monasca := make([][]byte, 50), make([][]byte, 50)
	prepare := func(at time.Time) {
		for n := range remote {
			remote[n] = remoteWrite("cpu_user_perc", n*2000, 2000, 20, at)
			var b strings.Builder
			for i := range 1000 {
				fmt.Fprintf(&b, `%c{"name":"cpu_user_perc","dimensions":{"hostname":"%s"},"timestamp":%d,"value":21}`, "[,"[min(i, 1)], host(n*2000+i), at.UnixMilli())
			}
			monasca[n] = []byte(b.String() + "]")
		}
	}
	measure := func(what string, each int, least float64, send func(n int) error) error {
		var sent atomic.Int64
		var failed atomic.Pointer[error]
		began, used := time.Now(), cpuTime()
		spent := time.Duration(0) // in making the bodies, which is not the server's
		for round := 0; time.Since(began)-spent < 5*time.Second && failed.Load() == nil; round++ {
			before := time.Now()
			prepare(before)
			spent += time.Since(before)
			var wait sync.WaitGroup
			for caller := range 4 {
				wait.Go(func() {
					for n := caller; n < len(remote); n += 4 {
						if err := send(n); err != nil {
							failed.Store(&err)
						}
						sent.Add(int64(each))
					}
				})
			}
			wait.Wait()
		}
		if err := failed.Load(); err != nil {
			return *err
		}
		took := time.Since(began) - spent
		figure(what, float64(sent.Load())/took.Seconds(), least, "samples/s", true)
		note("… processor time of server and sender, a sample", (cpuTime()-used-spent).Nanoseconds()/sent.Load(), "ns")
		return nil
	}
	if err := measure("remote write, stored and evaluated", 2000, 300_000, func(n int) error {
		return r.send("/v1/prometheus/write", protobuf, "snappy", remote[n])
	}); err != nil {
		return err
	}
	return measure("Monasca JSON, stored and evaluated", 1000, 100_000, func(n int) error {
		return r.send("/v1/metrics", "application/json", "", monasca[n])
	})
}

// cpuTime is what this process has used of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// grow measures from a sample over HTTP until a policy has started a new process.
func grow() error {
	r, err := startReactor(app.Account{Driver: "process"})
	if err != nil {
		return err
	}
	defer r.stop()
	ctx := context.Background()
	var took []time.Duration
	for n := range 20 {
		name := fmt.Sprintf("grow%d", n)
		text := fmt.Sprintf("name: %s\nroles:\n  app: {run: \"date +%%s%%N > started; exec sleep 600\", count: {min: 1, max: 3}, policies: {jobs: {queue: 'last(%s_waiting)', per_instance: 10}}}\n", name, name)
		if _, err := r.client.Services().Create(ctx, client.CreateService{Document: client.Document{Source: text}}); err != nil {
			return err
		}
		if _, err := r.starts(2*n + 1); err != nil {
			return err
		}
		time.Sleep(300 * time.Millisecond) // until the service runs, and its policies are asked
		at := time.Now()
		body := fmt.Sprintf(`{"name":"%s_waiting","timestamp":%d,"value":15}`, name, at.UnixMilli())
		if err := r.send("/v1/metrics", "application/json", "", []byte(body)); err != nil {
			return err
		}
		started, err := r.starts(2*n + 2)
		if err != nil {
			return err
		}
		took = append(took, started.Sub(at))
	}
	note("sample over HTTP to the new process, median", fmt.Sprintf("%.4g", percentile(took, 50)), "ms")
	figure("the same, most of 20", percentile(took, 100), 150, "ms", false)
	return nil
}

// starts waits until that many processes have written down when they started, and returns the last time.
func (r *reactor) starts(count int) (newest time.Time, err error) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		n := 0
		_ = filepath.WalkDir(filepath.Join(r.dir, "data", "drivers"), func(path string, _ os.DirEntry, _ error) error {
			text, err := os.ReadFile(path)
			if filepath.Base(path) != "started" || err != nil || len(text) == 0 {
				return nil
			}
			if at, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
				n++
				if t := time.Unix(0, at); t.After(newest) {
					newest = t
				}
			}
			return nil
		})
		if n >= count {
			return newest, nil
		}
		if time.Now().After(deadline) {
			return newest, fmt.Errorf("%d processes have started, not %d", n, count)
		}
	}
}
