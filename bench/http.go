package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
)

// A server is a whole Troupe in this process, with simulated machines.
type server struct {
	app    *app.App
	dir    string
	client *client.Client
	done   chan error
}

func startServer() (*server, error) {
	dir, err := os.MkdirTemp("", "troupe-bench-")
	if err != nil {
		return nil, err
	}
	a, err := app.New(context.Background(), app.Options{DataDir: dir, Listen: "127.0.0.1:0", Accounts: []app.Account{{Driver: "sim"}}})
	if err != nil {
		return nil, err
	}
	s := &server{app: a, dir: dir, done: make(chan error, 1)}
	go func() { s.done <- a.Run(context.Background()) }()
	select {
	case <-a.Ready():
	case err := <-s.done:
		return nil, err
	}
	s.client, err = client.New(a.Addrs()["main"], client.Options{User: "oneadmin", Password: a.Password()})
	return s, err
}

func (s *server) stop() {
	if err := s.app.Stop(); err != nil {
		fmt.Println("  stop:", err)
	}
	_ = os.RemoveAll(s.dir)
}

// deploy makes services with many callers and waits until all run.
func (s *server) deploy(prefix string, services, instances int) error {
	ctx := context.Background()
	work := make(chan int)
	var wait sync.WaitGroup
	var failed atomic.Pointer[error]
	for range 32 {
		wait.Go(func() {
			for n := range work {
				text := fmt.Sprintf("name: %s%d\nroles:\n  app: {machine: {driver: sim}, count: %d}\n", prefix, n, instances)
				if _, err := s.client.Services().Create(ctx, client.CreateService{Document: client.Document{Source: text}}); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	for n := range services {
		work <- n
	}
	close(work)
	wait.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	for n := range services {
		if _, err := s.client.Services().WaitFor(ctx, prefix+strconv.Itoa(n), "RUNNING"); err != nil {
			return err
		}
	}
	return nil
}

func deployHTTP() error {
	const services, instances = 1000, 10
	s, err := startServer()
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.deploy("warm", 20, instances); err != nil {
		return err
	}
	best := time.Duration(1 << 62)
	for n := range 3 {
		began := time.Now()
		if err := s.deploy(fmt.Sprintf("s%d-", n), services, instances); err != nil {
			return err
		}
		best = min(best, time.Since(began))
	}
	figure("instances deployed, over HTTP (best of 3)", services*instances/best.Seconds(), 8000, "instances/s", true)
	return nil
}

// get asks for one service over HTTP while others change. The callers share the processors with the server.
func get() error {
	const callers, writes, length = 32, 50, 10 * time.Second
	s, err := startServer()
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.deploy("s", 100, 3); err != nil {
		return err
	}
	one, err := s.client.Services().Get(context.Background(), "s7")
	if err != nil {
		return err
	}
	u, err := url.Parse(s.app.Addrs()["main"])
	if err != nil {
		return err
	}
	auth := base64.StdEncoding.EncodeToString([]byte("oneadmin:" + s.app.Password()))
	line := fmt.Appendf(nil, "GET /v1/services/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\n\r\n", one.Ref(), u.Host, auth)
	all, stop := context.WithTimeout(context.Background(), 2*length+time.Minute)
	defer stop()
	var writer sync.WaitGroup
	defer writer.Wait()
	defer stop()
	writer.Go(func() {
		for n := 0; all.Err() == nil; n++ {
			time.Sleep(time.Second / writes)
			_, _ = s.client.Services().Scale(context.Background(), "s"+strconv.Itoa(10+n%80), client.Scale{Role: "app", Cardinality: client.Cardinality(strconv.Itoa(2 + n/80%3))})
		}
	})
	most, err := crowd(u.Host, line, callers, 0, length)
	if err != nil {
		return err
	}
	figure("GET of one service, at most", float64(len(most))/length.Seconds(), 15000, "requests/s", true)
	note("p99 then", percentile(most, 99), "ms")
	paced, err := crowd(u.Host, line, callers, 15000, length)
	if err != nil {
		return err
	}
	note("GET of one service, paced", int(float64(len(paced))/length.Seconds()), "requests/s")
	figure("p99 then", percentile(paced, 99), 5, "ms", false)
	return nil
}

// crowd lets callers ask for a while, so many times a second in all; 0 for as often as they can.
func crowd(host string, line []byte, callers, rate int, length time.Duration) (times []time.Duration, err error) {
	ctx, stop := context.WithTimeout(context.Background(), length)
	defer stop()
	var wait sync.WaitGroup
	var mu sync.Mutex
	for n := range callers {
		wait.Go(func() {
			every := time.Duration(0)
			if rate > 0 {
				every = time.Second * time.Duration(callers) / time.Duration(rate)
				time.Sleep(every * time.Duration(n) / time.Duration(callers)) // callers are not in step
			}
			mine, e := hammer(ctx, host, line, every)
			mu.Lock()
			defer mu.Unlock()
			if times = append(times, mine...); e != nil {
				err = e
			}
		})
	}
	wait.Wait()
	return times, err
}

// hammer sends one request after the other on a connection, one each period or, with 0, at once.
func hammer(ctx context.Context, host string, line []byte, every time.Duration) (times []time.Duration, err error) {
	c, err := net.Dial("tcp", host)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	next := time.Now()
	for ctx.Err() == nil {
		if every > 0 {
			time.Sleep(time.Until(next))
			next = next.Add(every)
		}
		began := time.Now()
		if _, err := c.Write(line); err != nil {
			return times, err
		}
		length := -1
		for n := 0; ; n++ {
			head, err := in.ReadSlice('\n')
			if err != nil {
				return times, err
			}
			text := strings.TrimRight(string(head), "\r\n")
			if n == 0 && !strings.Contains(text, " 200 ") {
				return times, errors.New("answered " + text)
			}
			if text == "" {
				break
			}
			if k, v, _ := strings.Cut(text, ":"); strings.EqualFold(k, "Content-Length") {
				length, _ = strconv.Atoi(strings.TrimSpace(v))
			}
		}
		if length < 0 {
			return times, errors.New("an answer without a length")
		}
		if _, err := io.CopyN(io.Discard, in, int64(length)); err != nil {
			return times, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}

// startUp measures the program itself on an empty folder.
func startUp() error {
	dir, err := os.MkdirTemp("", "troupe-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // processes run as another user
		return err
	}
	program := filepath.Join(dir, "troupe")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/troupe-dev/troupe/cmd/troupe").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %s", out)
	}
	var best time.Duration
	var resident float64
	for n := range 3 {
		ready := filepath.Join(dir, "ready"+strconv.Itoa(n))
		cmd := exec.Command(program, "server", "--data-dir", filepath.Join(dir, "data"+strconv.Itoa(n)), "--listen", "127.0.0.1:0", "--ready-file", ready)
		var said strings.Builder
		cmd.Stderr = &said
		began := time.Now()
		if err := cmd.Start(); err != nil {
			return err
		}
		for {
			if _, err := os.Stat(ready); err == nil {
				break
			}
			if time.Since(began) > 20*time.Second {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				return errors.New("not ready in 20 s: " + said.String())
			}
			time.Sleep(time.Millisecond)
		}
		took := time.Since(began)
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		for _, l := range strings.Split(string(text), "\n") {
			if rest, ok := strings.CutPrefix(l, "VmRSS:"); ok {
				kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				resident = max(resident, kb*1024)
			}
		}
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if best == 0 || took < best {
			best = took
		}
	}
	figure("empty folder until ready (best of 3)", best.Seconds(), 1.5, "s", false)
	figure("resident then (most of 3)", resident/1e6, 80, "MB", false)
	return nil
}
