package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/store/storetest"
)

func TestMain(m *testing.M) {
	// A logger of etcd's dependencies stays after an etcd has stopped.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("go.etcd.io/etcd/server/v3/embed.StartEtcd"))
}

// options are those of a server on a folder, with simulated machines only and on any port.
func options(dir string) Options {
	return Options{DataDir: dir, Listen: "127.0.0.1:0", Accounts: []Account{{Driver: "sim"}}}
}

// serve runs a server; the result stops it and returns what Run returned.
func serve(t *testing.T, o Options) (*App, func() error) {
	t.Helper()
	a, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(context.Background()) }()
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		return errors.Join(a.Stop(), <-ended)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return a, stop
}

func awaitReady(t *testing.T, a *App) {
	t.Helper()
	select {
	case <-a.Ready():
	case <-time.After(20 * time.Second):
		word, reason := a.readiness()
		t.Fatalf("not ready after 20 s: %s: %s", word, reason)
	}
}

// get returns the code and body of a request as user.
func get(t *testing.T, address, user, password string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestServe(t *testing.T) {
	o := options(t.TempDir())
	o.OneFlowListen, o.OCCIListen, o.MonascaListen, o.KeystoneListen, o.ReadyFile = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", filepath.Join(t.TempDir(), "ready")
	var said bytes.Buffer
	o.Announce = &said
	began := time.Now()
	a, stop := serve(t, o)
	awaitReady(t, a)
	t.Logf("ready after %v", time.Since(began))
	main, flow, infrastructure, metrics, keystone := a.Addrs()["main"], a.Addrs()["oneflow"], a.Addrs()["occi"], a.Addrs()["monasca"], a.Addrs()["keystone"]
	if text, err := os.ReadFile(o.ReadyFile); err != nil || string(text) != "main="+main+"\noneflow="+flow+"\nocci="+infrastructure+"\nmonasca="+metrics+"\nkeystone="+keystone+"\n" {
		t.Errorf("ready file: %q, %v", text, err)
	}
	if a.Password() == "" || !strings.Contains(said.String(), a.Password()) {
		t.Errorf("announced %q", said.String())
	}
	for _, c := range []struct {
		url, user string
		code      int
		text      string
	}{
		{main + "/healthz", "", 200, "alive"},
		{main + "/readyz", "", 200, "ready"},
		{main + "/metrics", "", 401, ""},
		{main + "/metrics", "oneadmin", 200, "troupe_store_commits_total"},
		{main + "/nowhere", "", 404, "/v1"},
		{main + "/oneflow/service", "", 401, ""},
		{main + "/oneflow/service", "oneadmin", 200, "DOCUMENT_POOL"},
		{main + "/oneflow//service/", "oneadmin", 200, "DOCUMENT_POOL"},
		{main + "/oneflow", "oneadmin", 404, "there is nothing"},
		{flow + "/service", "oneadmin", 200, "DOCUMENT_POOL"},
		{main + "/occi/-/", "", 401, "password"},
		{main + "/occi/-/", "oneadmin", 200, `location="` + main + `/occi/compute/"`},
		{main + "/occi/compute/9", "oneadmin", 404, "/compute/9"},
		{infrastructure + "/-/", "oneadmin", 200, `location="` + infrastructure + `/compute/"`},
		{main + "/monasca/v2.0/alarms", "", 401, "Unauthorized"},
		{main + "/monasca//v2.0/alarms/", "oneadmin", 200, main + "/monasca/v2.0/alarms"},
		{metrics + "/v2.0/alarms", "oneadmin", 200, metrics + "/v2.0/alarms"},
		{metrics + "/healthcheck", "", 200, "OK"},
		{main + "/keystone/v3", "", 200, main + "/keystone/v3/"},
		{keystone + "/v3/", "", 200, keystone + "/v3/"},
		{keystone + "/v3/auth/catalog", "oneadmin", 200, metrics + "/v2.0"},
	} {
		if code, text := get(t, c.url, c.user, a.Password()); code != c.code || !strings.Contains(text, c.text) {
			t.Errorf("GET %s as %q: %d %s, want %d with %q", c.url, c.user, code, text, c.code, c.text)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Stop(); err != nil {
			t.Errorf("another Stop: %v", err)
		}
	}
	// The password was generated once.
	said.Reset()
	b, _ := serve(t, o)
	awaitReady(t, b)
	if said.Len() > 0 || b.Password() != "" {
		t.Errorf("the second start announced %q", said.String())
	}
	if code, _ := get(t, b.Addrs()["main"]+"/oneflow/service", "oneadmin", a.Password()); code != 200 {
		t.Errorf("the password of the first start: %d", code)
	}
}

func TestStopBeforeRun(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // the second finds everything closed
		a, err := New(t.Context(), options(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(a.Stop(), a.Stop()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunEndsWithContext(t *testing.T) {
	a, err := New(t.Context(), options(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	awaitReady(t, a)
	if err := a.Run(ctx); err == nil {
		t.Error("a server ran twice")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What cannot start says why, and leaves the folder free for the next try.
func TestRefusedOptions(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	missing := filepath.Join(t.TempDir(), "missing")
	empty := filepath.Join(t.TempDir(), "empty")
	short, open := filepath.Join(t.TempDir(), "short"), filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.WriteFile(empty, nil, 0o600), os.WriteFile(short, []byte("x\n"), 0o600), os.WriteFile(open, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	unknownUser := Account{Driver: "process", Values: map[string]any{"user": "nosuchuser"}}
	for name, c := range map[string]struct {
		edit func(*Options)
		want string
	}{
		"no mail server":        {func(o *Options) { o.Notifications.Mail.From = "a@b.example" }, "smtp-server"},
		"half a mail login":     {func(o *Options) { o.Notifications.Mail.Server, o.Notifications.Mail.User = "localhost", "a" }, "belong together"},
		"no mail sender":        {func(o *Options) { o.Notifications.Mail.Server = "localhost" }, "e-mail"},
		"no mail password":      {func(o *Options) { o.Notifications.MailPasswordFile = missing }, "password of the mail server"},
		"a relative command":    {func(o *Options) { o.Notifications.Commands = map[string][]string{"page": {"page"}} }, "whole path"},
		"a missing command":     {func(o *Options) { o.Notifications.Commands = map[string][]string{"page": {missing}} }, "cannot be run"},
		"a bad command name":    {func(o *Options) { o.Notifications.Commands = map[string][]string{"a b": {"/bin/true"}} }, "no name"},
		"short history":         {func(o *Options) { o.Metrics.Retain = time.Minute }, "metrics-retain"},
		"small history":         {func(o *Options) { o.Metrics.Size = 1 }, "metrics-size"},
		"no URL to forward to":  {func(o *Options) { o.Metrics.Forward = "prometheus:9090" }, "metrics-forward"},
		"measured too often":    {func(o *Options) { o.Metrics.Measure = time.Millisecond }, "measure-every"},
		"a negative limit":      {func(o *Options) { o.Metrics.Limits.Rate = -1 }, "metrics-rate-limit"},
		"no public URL":         {func(o *Options) { o.PublicURL = "troupe" }, "no URL for instances"},
		"no OneGate URL":        {func(o *Options) { o.OneGateURL = "ftp://x" }, "no URL for instances"},
		"no folder":             {func(o *Options) { o.DataDir = "" }, "--data-dir"},
		"busy port":             {func(o *Options) { o.Listen = busy.Addr().String() }, "address already in use"},
		"busy second port":      {func(o *Options) { o.OneFlowListen = busy.Addr().String() }, "listener oneflow"},
		"open to the world":     {func(o *Options) { o.Listen = "0.0.0.0:0" }, "--insecure"},
		"half of a TLS pair":    {func(o *Options) { o.Certificate = "x" }, "give both files"},
		"unknown driver":        {func(o *Options) { o.Accounts = []Account{{Driver: "proces"}} }, `did you mean "process"?`},
		"an account twice":      {func(o *Options) { o.Accounts = append(o.Accounts, o.Accounts[0]) }, "account sim is given twice"},
		"a wrong option":        {func(o *Options) { o.Accounts[0].Values = map[string]any{"sed": 1} }, `did you mean "seed"?`},
		"an unknown user":       {func(o *Options) { o.Accounts[0] = unknownUser }, "nosuchuser"},
		"a bad account name":    {func(o *Options) { o.Accounts[0].Name = "../x" }, "account name"},
		"no password file":      {func(o *Options) { o.AdminPasswordFile = missing }, "first password"},
		"empty password file":   {func(o *Options) { o.AdminPasswordFile = empty }, "is empty"},
		"no OneFlow settings":   {func(o *Options) { o.OneFlowConf = missing }, "OneFlow settings"},
		"no etcd":               {func(o *Options) { o.Etcd.PasswordFile, o.Etcd.Endpoints = missing, []string{"http://127.0.0.1:1"} }, "password of etcd"},
		"folder below a file":   {func(o *Options) { o.DataDir = filepath.Join(empty, "x") }, "not a directory"},
		"a bad name of oneself": {func(o *Options) { o.Admin = "a b" }, "user"},
		"a short password":      {func(o *Options) { o.AdminPasswordFile = short }, "at least"},
		"a small quota":         {func(o *Options) { o.Quota = 1 << 20 }, "64 MiB"},
		"another's key":         {func(o *Options) { o.MasterKey = short }, "no master key file"},
		"an open key":           {func(o *Options) { o.MasterKey = open }, "chmod 600"},
		"no URL of etcd":        {func(o *Options) { o.Etcd.Endpoints = []string{"ftp://a:1"} }, "give a URL"},
		"etcd without password": {func(o *Options) { o.Etcd = Etcd{Endpoints: []string{"http://a:1"}, User: "x"} }, "needs a password"},
		"etcd without its CA":   {func(o *Options) { o.Etcd = Etcd{Endpoints: []string{"http://a:1"}, CA: missing} }, "authority of etcd"},
		"credentials for none":  {func(o *Options) { o.Etcd.User = "x" }, "without a cluster"},
		"no ready file":         {func(o *Options) { o.ReadyFile = filepath.Join(missing, "ready") }, "ready file"},
		"a ready folder":        {func(o *Options) { o.ReadyFile = dir }, "is a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(dir)
			c.edit(&o)
			a, err := New(t.Context(), o)
			if err == nil {
				a.Stop()
				t.Fatalf("started; want an error with %q", c.want)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q in it", err, c.want)
			}
			// The check refuses the same in the same words, save for what others hold.
			checked := o.Check()
			if !strings.HasPrefix(name, "busy") && (checked == nil || checked.Error() != err.Error() || !errors.Is(err, ErrOptions)) {
				t.Errorf("the check said: %v; the start: %v", checked, err)
			}
		})
	}
	a, _ := serve(t, options(dir))
	awaitReady(t, a)
	if a.Password() == "" {
		t.Error("a refused start used up the first password")
	}
}

// Check refuses what the start would.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*Options)
		want string
	}{
		"good":              {func(*Options) {}, ""},
		"open to the world": {func(o *Options) { o.Listen = ":0" }, "listener main: :0 is reachable"},
		"open second port":  {func(o *Options) { o.OneFlowListen = "0.0.0.0:1" }, "listener oneflow: "},
		"open but allowed":  {func(o *Options) { o.Listen, o.Insecure = ":0", true }, ""},
		"no port":           {func(o *Options) { o.Listen = "127.0.0.1" }, "missing port"},
		"half of a pair":    {func(o *Options) { o.Key = "x" }, "give both files"},
		"missing TLS files": {func(o *Options) { o.Certificate, o.Key = "nothere.pem", "nothere.key" }, "nothere.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t.TempDir())
			c.edit(&o)
			err := o.Check()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

// A driver that cannot be opened ends the start before the first password is made and shown.
func TestPasswordComesLast(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	if os.Geteuid() == 0 {
		o.Accounts = append(o.Accounts, Account{Driver: "process", Values: map[string]any{"user": "root"}})
	} else {
		o.Accounts = append(o.Accounts, Account{Driver: "process"})
	}
	o.ReadyFile = filepath.Join(t.TempDir(), "ready")
	var said bytes.Buffer
	o.Announce = &said
	blocked := filepath.Join(dir, "drivers", "process", "machines")
	if err := errors.Join(os.MkdirAll(filepath.Dir(blocked), 0o711), os.WriteFile(blocked, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), o)
	if err == nil {
		err = a.Run(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "open driver process") {
		t.Fatalf("%v", err)
	}
	left, _ := filepath.Glob(o.ReadyFile + "*")
	if said.Len() > 0 || a.Password() != "" || len(left) > 0 {
		t.Errorf("the refused start said %q and left %v", said.String(), left)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	a, _ = serve(t, o)
	awaitReady(t, a)
	if a.Password() == "" || !strings.Contains(said.String(), a.Password()) {
		t.Errorf("announced %q", said.String())
	}
}

func TestFolders(t *testing.T) {
	t.Run("held", func(t *testing.T) {
		dir := t.TempDir()
		serve(t, options(dir))
		_, err := New(t.Context(), options(dir))
		if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), "pid") {
			t.Errorf("%v", err)
		}
	})
	t.Run("half written", func(t *testing.T) {
		dir := t.TempDir()
		snap := filepath.Join(dir, "etcd", "member", "snap")
		if err := os.MkdirAll(snap, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(snap, "db"), bytes.Repeat([]byte("x"), 9000), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := New(t.Context(), options(dir))
		if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "restore a backup") {
			t.Errorf("%v", err)
		}
	})
	t.Run("read only", func(t *testing.T) {
		if !storetest.Unprivileged(t) {
			return
		}
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		if _, err := New(t.Context(), options(dir)); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%v", err)
		}
	})
	t.Run("wrong key", func(t *testing.T) {
		dir := t.TempDir()
		_, stop := serve(t, options(dir))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		other := t.TempDir()
		_, stop = serve(t, options(other))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		o := options(dir)
		o.MasterKey = filepath.Join(other, "master.key")
		if _, err := New(t.Context(), o); !errors.Is(err, store.ErrWrongKey) {
			t.Errorf("%v", err)
		}
	})
}

// startEtcd runs a cluster of one member in this process.
func startEtcd(t *testing.T) string {
	t.Helper()
	free := func() url.URL {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return url.URL{Scheme: "http", Host: l.Addr().String()}
	}
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.LogOutputs, c.UnsafeNoFsync = t.TempDir(), "error", []string{"/dev/null"}, true // a busy disk must not end leases
	peer, public := free(), free()
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{public}, []url.URL{public}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	return public.String()
}

// A second server on the same etcd waits, says so, and takes over when the first ends.
func TestStandby(t *testing.T) {
	endpoint := startEtcd(t)
	o := options(t.TempDir())
	o.Etcd.Endpoints = []string{endpoint}
	first, stop := serve(t, o)
	awaitReady(t, first)
	second, _ := serve(t, o) // the same folder, and so the same master key
	main := second.Addrs()["main"]
	deadline := time.Now().Add(10 * time.Second)
	for {
		code, text := get(t, main+"/readyz", "", "")
		var s struct{ State, Reason string }
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if code == 503 && s.State == "standby" && strings.Contains(s.Reason, "takes over") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %s, want a standby", code, text)
		}
	}
	if code, text := get(t, main+"/oneflow/service", "oneadmin", first.Password()); code != 503 || !strings.Contains(text, "standby") {
		t.Errorf("a face of the standby: %d %s", code, text)
	}
	select {
	case <-second.Ready():
		t.Fatal("two servers are at work")
	default:
	}
	began := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, second)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("taken over after %v", took)
	} else {
		t.Logf("taken over after %v", took)
	}
	if code, text := get(t, main+"/oneflow/service", "oneadmin", first.Password()); code != 200 {
		t.Errorf("after the take-over: %d %s", code, text)
	}
}

// systemd is told when the server runs and when it stops.
func TestNotify(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	hear := func() string {
		text := make([]byte, 100)
		if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := l.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:n])
	}
	a, stop := serve(t, options(t.TempDir()))
	if got := hear(); got != "READY=1" {
		t.Errorf("told %q at the start", got)
	}
	select {
	case <-a.Ready():
	default:
		t.Error("told of readiness before the server was at work")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := hear(); got != "STOPPING=1" {
		t.Errorf("told %q at the end", got)
	}
}
