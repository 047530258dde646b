package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/store/storetest"
)

// The test binary is also a member of an external cluster, and a server on one.
func TestMain(m *testing.M) {
	switch os.Getenv("STORE_TEST_ROLE") {
	case "member":
		runMember()
	case "server":
		runServer()
	case "doomed":
		runDoomed()
	default:
		code := m.Run()
		if code == 0 {
			// Loggers of etcd's dependencies, and etcds that met their end on purpose, stay.
			if err := goleak.Find(goleak.IgnoreAnyFunction("go.etcd.io/etcd/server/v3/embed.StartEtcd"), goleak.IgnoreAnyFunction("github.com/troupe-dev/troupe/internal/store.(*doom).OnWrite")); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
		os.Exit(code)
	}
}

func TestMemory(t *testing.T) { storetest.Run(t, storetest.Memory()) }

func TestEmbedded(t *testing.T) {
	storetest.Run(t, storetest.Place{Options: func(t *testing.T) store.Options {
		return store.Options{DataDir: t.TempDir()}
	}})
}

func TestExternal(t *testing.T) {
	t.Parallel()
	endpoints := startCluster(t)
	for name, signal := range map[string]syscall.Signal{"kill": syscall.SIGKILL, "pause": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			takeOver(t, endpoints, signal)
		})
	}
	storetest.Run(t, external(endpoints))
}

// TestOldEtcd runs the contract on the distribution's etcd, which speaks an older API.
func TestOldEtcd(t *testing.T) {
	program, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("no etcd on the PATH (Debian: etcd-server)")
	}
	ports := freePorts(t, 2)
	client, peer := "http://"+ports[0], "http://"+ports[1]
	start(t, exec.Command(program, "--data-dir", t.TempDir(), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer))
	storetest.Run(t, external([]string{client}))
}

var places atomic.Int64

// external puts each state under a prefix of its own.
func external(endpoints []string) storetest.Place {
	return storetest.Place{Shared: true, Options: func(t *testing.T) store.Options {
		return store.Options{Endpoints: endpoints, Prefix: fmt.Sprintf("/test-%d/", places.Add(1)), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	}}
}

func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

func start(t *testing.T, c *exec.Cmd) {
	t.Helper()
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
}

func role(name string, env ...string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(append(os.Environ(), "STORE_TEST_ROLE="+name), env...)
	return c
}

// startCluster starts three members, each a process.
func startCluster(t *testing.T) (endpoints []string) {
	t.Helper()
	ports := freePorts(t, 6)
	var cluster []string
	for i := range 3 {
		endpoints = append(endpoints, "http://"+ports[i])
		cluster = append(cluster, fmt.Sprintf("m%d=http://%s", i, ports[3+i]))
	}
	for i := range 3 {
		start(t, role("member", fmt.Sprint("NAME=m", i), "DIR="+t.TempDir(), "CLIENT="+endpoints[i], "PEER=http://"+ports[3+i], "CLUSTER="+strings.Join(cluster, ",")))
	}
	return endpoints
}

func runMember() {
	c := embed.NewConfig()
	c.Name, c.Dir, c.InitialCluster, c.LogLevel = os.Getenv("NAME"), os.Getenv("DIR"), os.Getenv("CLUSTER"), "fatal"
	client, _ := url.Parse(os.Getenv("CLIENT"))
	peer, _ := url.Parse(os.Getenv("PEER"))
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	c.UnsafeNoFsync = true
	if _, err := embed.StartEtcd(c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}

// runServer takes the shards, says so, and commits under its fence at each line of its input.
func runServer() {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Endpoints: strings.Split(os.Getenv("ENDPOINTS"), ","), Prefix: os.Getenv("PREFIX"), Name: "child"})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	tenure, err := s.Acquire(ctx)
	fmt.Println("owner", err)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		_, owned := tenure.Owned(store.Shard("7"))
		txn := storetest.Put("7", "mine")
		txn.Guards = []store.Guard{tenure.Fence(store.Shard("7"))}
		_, err := s.Commit(ctx, txn)
		fmt.Println("owned", owned, "conflict", errors.Is(err, store.ErrConflict), "error", err != nil)
	}
}

// takeOver lets an owner die or pause. A standby follows within 5 s, and the paused one cannot
// commit when it wakes up.
func takeOver(t *testing.T, endpoints []string, signal syscall.Signal) {
	o := external(endpoints).Options(t)
	child := role("server", "ENDPOINTS="+strings.Join(endpoints, ","), "PREFIX="+o.Prefix)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, child)
	said := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		if said.Scan(); said.Text() != want {
			t.Fatalf("the owner says %q, want %q", said.Text(), want)
		}
	}
	expect("owner <nil>")
	fmt.Fprintln(in, "commit")
	expect("owned true conflict false error false")

	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := child.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	tenure, err := s.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took over after %s", took)
	} else {
		t.Logf("took over after %s", took)
	}
	if signal == syscall.SIGSTOP {
		fmt.Fprintln(in, "commit")
		if err := child.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		expect("owned false conflict true error true")
	}
	txn := storetest.Put("7", "ours")
	txn.Guards = []store.Guard{tenure.Fence(store.Shard("7"))}
	if _, err := s.Commit(t.Context(), txn); err != nil {
		t.Error(err)
	}
}

// TestDoom: an etcd that meets a fatal error does not take the process with it; the store says
// what happened, answers everybody, and can be closed and opened again.
func TestDoom(t *testing.T) {
	dir := t.TempDir()
	out, err := role("doomed", "DIR="+dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "closed") {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"ambiguous true", "full true", dir, "failed to commit tx"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in: %s", want, out)
		}
	}
	holds(t, dir)
}

func runDoomed() {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{DataDir: os.Getenv("DIR")})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := range 50 {
		if _, err := s.Commit(ctx, storetest.Put(fmt.Sprint("k/", i), "")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	s.Doom(fmt.Errorf("write db: %w", syscall.ENOSPC))
	<-s.Failed()
	_, err = s.Commit(ctx, storetest.Put("late", ""))
	fmt.Println("ambiguous", errors.Is(err, store.ErrAmbiguous), "full", errors.Is(err, store.ErrDiskFull))
	fmt.Println(s.Err())
	s.Close()
	fmt.Println("closed")
	os.Exit(0)
}

func TestUnreachable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := store.Open(ctx, store.Options{Endpoints: []string{"http://" + freePorts(t, 1)[0]}})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("no etcd there: %v", err)
	}
}
