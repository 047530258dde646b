package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver/process"
	"github.com/troupe-dev/troupe/internal/cli/occopus"
)

// The test binary is the program too: scripts run it as `troupe`.
func TestMain(m *testing.M) {
	program := func() {
		if len(os.Args) > 1 && os.Args[1] == "supervise" {
			unix.Exit(process.Supervise(os.Args[2:]))
		}
		os.Exit(Main())
	}
	names := map[string]func(){"troupe": program}
	for _, p := range occopus.Programs() {
		names[occopusPrefix+p.Name] = program
	}
	testscript.Main(m, names)
}

const testPassword = "correct-horse-battery"

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			sets, err := filepath.Abs("../format/occopus/testdata")
			if err != nil {
				return err
			}
			e.Setenv("SETS", sets)
			e.Setenv("TROUPE_USER", "oneadmin")
			e.Setenv("TROUPE_PASSWORD", testPassword)
			e.Setenv("TROUPE_ADMIN_PASSWORD_FILE", filepath.Join(e.WorkDir, "password"))
			e.Defer(func() { sweep(e.WorkDir) })
			return errors.Join(
				os.WriteFile(filepath.Join(e.WorkDir, "password"), []byte(testPassword+"\n"), 0o600),
				os.WriteFile(filepath.Join(e.WorkDir, "server.yaml"), []byte(serverYAML()), 0o600),
			)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await": await, "exits": exits, "eventually": eventually, "etcd": etcd, "signal": signalProcess, "certificate": certificate,
			"oldetcd": oldEtcd, "within": within, "appears": appears, "resolves": resolves,
		},
	})
}

// serverYAML is the configuration of the scripts' servers. Where they run as root, so do their machines:
// others cannot enter the folder of a script.
func serverYAML() string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user: root"
	}
	return `
listen: 127.0.0.1:0
oneflow-listen: 127.0.0.1:0
drivers:
  - driver: process
    options: {` + user + `}
  - driver: sim
`
}

// sweep ends processes that a failed script left behind.
func sweep(dir string) {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") // there is none elsewhere
	for _, link := range links {
		if at, err := os.Readlink(link); err == nil && strings.HasPrefix(at, dir+"/") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// poll calls ok until it is content, and reports whether it ever was.
func poll(limit time.Duration, ok func() bool) bool {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-ticker.C {
		if ok() {
			return true
		}
	}
	return ok()
}

// await waits for the ready file of a server and makes it the one that commands speak to:
//
//	await FILE
func await(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	if !poll(20*time.Second, func() bool { _, err := os.Stat(file); return err == nil }) {
		ts.Fatalf("no server is ready: %s is missing", file)
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		name, address, _ := strings.Cut(strings.TrimSpace(line), "=")
		if name == "main" {
			ts.Setenv("TROUPE_URL", address)
		} else {
			ts.Setenv(strings.ToUpper(name)+"_URL", address)
		}
	}
}

// exits runs a command that must end with a code:
//
//	exits CODE COMMAND [ARG...]
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, not %d", strings.Join(args[1:], " "), got, want)
	}
}

// eventually runs a command until its output matches:
//
//	eventually PATTERN COMMAND [ARG...]
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[0])
	if !poll(20*time.Second, func() bool {
		err := ts.Exec(args[1], args[2:]...)
		return err == nil && pattern.MatchString(ts.ReadFile("stdout")) != neg
	}) {
		ts.Fatalf("%s never printed %q", strings.Join(args[1:], " "), args[0])
	}
}

// resolves asks the name server until what it says matches: the data of the records in order, or the code where there are none:
//
//	resolves PATTERN NAME TYPE
func resolves(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	at := strings.TrimPrefix(ts.Getenv("DNS_URL"), "dns://")
	said := ""
	if !poll(20*time.Second, func() bool {
		r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(args[1]), dns.StringToType[args[2]]), at)
		if err != nil {
			said = err.Error()
			return false
		}
		var out []string
		for _, rr := range r.Answer {
			out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
		if out == nil {
			out = []string{dns.RcodeToString[r.Rcode]}
		}
		slices.Sort(out)
		said = strings.Join(out, " ")
		return pattern.MatchString(said)
	}) {
		ts.Fatalf("%s is %s", args[1], said)
	}
}

// signalProcess sends a signal to the process whose number a file holds:
//
//	signal KILL|STOP|CONT FILE
func signalProcess(ts *testscript.TestScript, _ bool, args []string) {
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[1])))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, unix.SignalNum("SIG"+args[0])))
}

// certificate writes cert.pem and key.pem, for 127.0.0.1 and signed by itself.
func certificate(ts *testscript.TestScript, _ bool, _ []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		ts.Check(os.WriteFile(ts.MkAbs(name), pem.EncodeToMemory(block), 0o600))
	}
}

// freeURL returns the URL of a port that is free now.
func freeURL(ts *testscript.TestScript) url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer l.Close()
	return url.URL{Scheme: "http", Host: l.Addr().String()}
}

// etcd starts a cluster of one member; $ETCD is its address.
func etcd(ts *testscript.TestScript, _ bool, _ []string) {
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.LogOutputs, c.UnsafeNoFsync = ts.MkAbs("etcd-data"), "error", []string{"/dev/null"}, true // a busy disk must not end leases
	peer, public := freeURL(ts), freeURL(ts)
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{public}, []url.URL{public}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	e, err := embed.StartEtcd(c)
	ts.Check(err)
	ts.Defer(e.Close)
	<-e.Server.ReadyNotify()
	ts.Setenv("ETCD", fmt.Sprint(&public))
}

// oldEtcd starts the program etcd as a cluster of one member; $ETCD is its address. second.yaml becomes
// server.yaml with a known port, $PORT.
func oldEtcd(ts *testscript.TestScript, _ bool, _ []string) {
	peer, public, port := freeURL(ts), freeURL(ts), freeURL(ts)
	data, err := os.MkdirTemp("/dev/shm", "troupe-etcd-") // in memory: a busy disk must not end leases
	if err != nil {
		data = ts.MkAbs("etcd-data")
	} else {
		ts.Defer(func() { _ = os.RemoveAll(data) })
	}
	c := exec.Command("etcd", "--data-dir", data, "--listen-client-urls", public.String(), "--advertise-client-urls", public.String(),
		"--listen-peer-urls", peer.String(), "--initial-advertise-peer-urls", peer.String(), "--initial-cluster", "default="+peer.String())
	ts.Check(c.Start())
	ts.Defer(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	ts.Setenv("ETCD", public.String())
	ts.Setenv("PORT", port.Port())
	text := strings.Replace(ts.ReadFile("server.yaml"), "\nlisten: 127.0.0.1:0\n", "\nlisten: "+port.Host+"\n", 1)
	ts.Check(os.WriteFile(ts.MkAbs("second.yaml"), []byte(text), 0o600))
}

// within waits for a file, for so long at most:
//
//	within TIME FILE
func within(ts *testscript.TestScript, _ bool, args []string) {
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	began := time.Now()
	if !poll(limit, func() bool { _, err := os.Stat(ts.MkAbs(args[1])); return err == nil }) {
		ts.Fatalf("%s is missing after %s", args[1], limit)
	}
	ts.Logf("%s is there after %s", args[1], time.Since(began).Round(time.Millisecond))
}

// appears waits until a file holds a match; $MATCH is what its first group matches:
//
//	appears PATTERN FILE
func appears(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[0])
	var found []string
	if !poll(20*time.Second, func() bool {
		text, _ := os.ReadFile(ts.MkAbs(args[1])) // it may not be there yet
		found = pattern.FindStringSubmatch(string(text))
		return found != nil
	}) {
		ts.Fatalf("%s never held %q", args[1], args[0])
	}
	if len(found) > 1 {
		ts.Setenv("MATCH", found[1])
	}
}
