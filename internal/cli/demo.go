package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
)

// demoTime bounds the tour.
const demoTime = 55 * time.Second

func newDemoCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "a whole tour on this machine, in one command",
		Long: "Start a private server in a temporary folder, deploy a service of three tiers of real processes, kill one of\n" +
			"them, scale, let an alarm heal and a policy scale, let an orchestrator replace a silent machine of a Heat stack, explain,\n" +
			"and remove everything. On a terminal the server stays until Ctrl-C, for you to try it.",
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), t) },
	}
}

// A demo is a tour through a private server.
type demo struct {
	t       *terminal
	dir     string
	log     *slog.Logger // of the server
	app     *app.App
	ended   chan error
	client  *client.Client
	service client.Service
}

func runDemo(ctx context.Context, t *terminal) (err error) {
	d := &demo{t: t}
	tour, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	defer func() { err = errors.Join(err, d.end()) }()
	steps := []struct {
		title string
		do    func(context.Context) error
	}{
		{"A private server", d.start},
		{"Deploy a shop: web needs app, app needs db", d.deploy},
		{"Kill a process of app", d.kill},
		{"Scale web from 2 to 4", d.scale},
		{"An alarm: an instance of app says that it is stuck", d.alarm},
		{"A policy: web is busy", d.policy},
		{"A Heat template with an orchestrator: its machine goes silent", d.reactive},
		{"Explain", d.explain},
	}
	for i, s := range steps {
		fmt.Fprintf(t.out, "\n%s\n", t.paint(green, fmt.Sprintf("%d. %s", i+1, s.title)))
		if err := s.do(tour); err != nil {
			return fmt.Errorf("demo: step %d, %s: %w", i+1, strings.ToLower(s.title), err)
		}
	}
	if t.live {
		d.stay(ctx)
		ctx = context.WithoutCancel(ctx)
		tour, cancel = context.WithTimeout(ctx, demoTime)
		defer cancel()
	}
	fmt.Fprintf(t.out, "\n%s\n", t.paint(green, fmt.Sprintf("%d. Remove everything", len(steps)+1)))
	if err := d.remove(tour); err != nil {
		return fmt.Errorf("demo: remove everything: %w", err)
	}
	return nil
}

// start runs a server inside this process, in a folder that goes away with it.
func (d *demo) start(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "troupe-demo-"); err != nil {
		return err
	}
	if err := os.Chmod(d.dir, 0o711); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(d.dir, "server.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	d.log = slog.New(slog.NewTextHandler(log, nil))
	began := time.Now()
	account := app.Account{Driver: "process"}
	if os.Geteuid() == 0 { // the programs of the tour are this program, which others may not be able to read
		account.Values = map[string]any{"user": "root"}
	}
	d.app, err = app.New(ctx, app.Options{
		DataDir: filepath.Join(d.dir, "data"), Listen: "127.0.0.1:0", OneFlowListen: "127.0.0.1:0", Version: version(),
		Accounts: []app.Account{account, {Driver: "sim"}}, Log: d.log, Monasca: app.Monasca{Extended: true},
		Notifications: app.Notifications{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, // the orchestrator is in this program
	})
	if err != nil {
		return errors.Join(err, log.Close())
	}
	d.ended = make(chan error, 1)
	go func() {
		err := d.app.Run(context.Background())
		d.ended <- errors.Join(err, log.Close())
	}()
	select {
	case <-d.app.Ready():
	case err := <-d.ended:
		d.ended <- nil
		return fmt.Errorf("the server ended: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
	d.client, err = client.New(d.app.Addrs()["main"], client.Options{User: "oneadmin", Password: d.app.Password(), Agent: "demo"})
	if err != nil {
		return err
	}
	status, err := d.client.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.t.out, "ready after %d ms at %s, version %s\n", time.Since(began).Milliseconds(), d.app.Addrs()["main"], status.Version)
	return nil
}

// demoFile describes the service of the tour; %[1]s is this program.
const demoFile = `name: shop
alarms:
  stuck: {when: last(stuck) > 0, by: [instance], do: replace}
roles:
  db:
    identity: stable
    run: exec %[1]s demo-node --name db --listen $TROUPE_ADDRESS:5432
    check: {tcp: ":5432", interval: 1s}
  app:
    count: 2..6
    needs: db
    run: exec %[1]s demo-node --name app --listen $TROUPE_ADDRESS:8080 --needs http://$DB:5432
    env: {DB: "{{ roles.db[0].address }}"}
    check: {http: ":8080/", interval: 1s}
  web:
    count: {min: 1, max: 8, initial: 2}
    needs: app
    run: exec %[1]s demo-node --name web --listen $TROUPE_ADDRESS:8000 --needs http://$APP:8080
    env: {APP: "{{ roles.app[0].address }}"}
    check: {http: ":8000/", interval: 1s}
    policies:
      load: {target: avg(load), keep: 60}
`

// deploy checks that each role came up after the one that it needs, and that the tiers answer.
func (d *demo) deploy(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text := fmt.Sprintf(demoFile, strconv.Quote(self))
	began := time.Now()
	if d.service, err = d.client.Services().Create(ctx, client.CreateService{Document: client.Document{Source: text, File: "shop.yaml"}}); err != nil {
		return err
	}
	if err := d.settle(ctx, 0); err != nil {
		return err
	}
	fmt.Fprintf(d.t.out, "running after %d ms\n", time.Since(began).Milliseconds())
	instances, err := d.instances(ctx)
	if err != nil {
		return err
	}
	for _, order := range [...][2]string{{"db", "app"}, {"app", "web"}} {
		for _, parent := range instances[order[0]] {
			for _, child := range instances[order[1]] {
				if child.Created.Before(parent.Created) {
					return fmt.Errorf("%s was made before %s, which it needs", child.Name, parent.Name)
				}
			}
		}
	}
	answer, err := fetch(ctx, "http://"+instances["web"][0].Addresses[0]+":8000")
	if err != nil {
		return fmt.Errorf("the web tier does not answer: %w", err)
	}
	if !strings.HasPrefix(answer, "web") || !strings.Contains(answer, "<- app") || !strings.Contains(answer, "<- db") {
		return fmt.Errorf("the tiers do not reach each other: %q", answer)
	}
	fmt.Fprintf(d.t.out, "the web tier answers: %s\n", answer)
	return nil
}

// settle prints what happens to the service until it runs.
func (d *demo) settle(ctx context.Context, after int64) error {
	p := &progress{t: d.t}
	s, err := p.follow(ctx, d.client, d.service.Ref(), after, []string{"RUNNING"})
	p.clear()
	switch {
	case err != nil:
		return err
	case s.State != "RUNNING":
		return fmt.Errorf("service shop is %s: %s", s.State, s.Reason)
	}
	d.service = s
	return nil
}

// instances returns the instances that are up, by role.
func (d *demo) instances(ctx context.Context) (map[string][]client.Instance, error) {
	out := make(map[string][]client.Instance)
	for i, err := range d.client.Services().Instances(ctx, d.service.Ref(), client.InstanceFilter{}) {
		if err != nil {
			return nil, err
		}
		if i.Phase != "up" {
			continue
		}
		out[i.Role] = append(out[i.Role], i)
	}
	return out, nil
}

var demoPorts = map[string]string{"db": "5432", "app": "8080", "web": "8000"}

func (d *demo) pid(ctx context.Context, i client.Instance) (int, error) {
	text, err := fetch(ctx, "http://"+i.Addresses[0]+":"+demoPorts[i.Role]+"/pid")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// kill kills a process; the server sees it end.
func (d *demo) kill(ctx context.Context) error {
	instances, err := d.instances(ctx)
	if err != nil {
		return err
	}
	victim := instances["app"][1]
	pid, err := d.pid(ctx, victim)
	if err != nil {
		return err
	}
	return d.replaced(ctx, victim, 5, func() error {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill %s (pid %d): %w", victim.Name, pid, err)
		}
		fmt.Fprintf(d.t.out, "killed %s, process %d\n", victim.Name, pid)
		return nil
	})
}

// running checks that the service runs with so many live processes.
func (d *demo) running(ctx context.Context, want int) error {
	s, err := d.client.Services().WaitFor(ctx, d.service.Ref(), "RUNNING")
	if err != nil {
		return err
	}
	d.service = s
	instances, err := d.instances(ctx)
	if err != nil {
		return err
	}
	if n := len(instances["db"]) + len(instances["app"]) + len(instances["web"]); n != want {
		return fmt.Errorf("%d instances are up, not %d", n, want)
	}
	return nil
}

func (d *demo) scale(ctx context.Context) error {
	began := time.Now()
	revision, err := d.client.Services().Scale(ctx, d.service.Ref(), client.Scale{Role: "web", Cardinality: "+2"})
	if err != nil {
		return err
	}
	if err := d.settle(ctx, revision); err != nil {
		return err
	}
	fmt.Fprintf(d.t.out, "four after %d ms\n", time.Since(began).Milliseconds())
	return d.running(ctx, 7)
}

func (d *demo) explain(ctx context.Context) error {
	e, err := d.client.Services().Explain(ctx, d.service.Ref())
	if err != nil {
		return err
	}
	if e.State != "RUNNING" || len(e.Roles) != 3 {
		return fmt.Errorf("the explanation speaks of %s and %d roles", e.State, len(e.Roles))
	}
	d.t.explain("shop", e)
	return nil
}

// stay leaves the server running for the user, until Ctrl-C.
func (d *demo) stay(ctx context.Context) {
	out, urls := d.t.out, d.app.Addrs()
	fmt.Fprintf(out, "\nThe server stays until Ctrl-C. In another terminal, try:\n\n")
	fmt.Fprintf(out, "  export TROUPE_URL=%s TROUPE_USER=oneadmin TROUPE_PASSWORD=%s\n", urls["main"], d.app.Password())
	for _, line := range [...]string{"troupe events -f", "troupe ps shop", "troupe scale shop/web 6", "troupe act shop/app/0 terminate-hard", "troupe explain shop"} {
		fmt.Fprintf(out, "  %s\n", line)
	}
	fmt.Fprintf(out, "  curl -u oneadmin:%s %s/service\n", d.app.Password(), urls["oneflow"])
	d.log.Info("the tour is over; the server stays")
	<-ctx.Done()
	fmt.Fprintln(out)
}

// remove removes the service and checks that no process is left.
func (d *demo) remove(ctx context.Context) error {
	began := time.Now()
	if _, err := d.client.Services().Remove(ctx, d.service.Ref(), client.Undeploy{Data: true}); err != nil && !client.IsNotFound(err) {
		return err
	}
	if _, err := d.client.Services().WaitFor(ctx, d.service.Ref(), client.Gone); err != nil {
		return err
	}
	if left := processesOf(d.dir); len(left) > 0 {
		return fmt.Errorf("processes %v are still there", left)
	}
	fmt.Fprintf(d.t.out, "gone after %d ms: no process is left\n", time.Since(began).Milliseconds())
	return nil
}

// processesOf returns the processes that run in a folder, or supervise one in it.
func processesOf(dir string) []int {
	var out []int
	folders, _ := filepath.Glob("/proc/[0-9]*") // there are none on systems without /proc
	for _, f := range folders {
		pid, err := strconv.Atoi(filepath.Base(f))
		if err != nil || pid == os.Getpid() {
			continue
		}
		cwd, _ := os.Readlink(filepath.Join(f, "cwd"))         // of a process that has just ended
		command, _ := os.ReadFile(filepath.Join(f, "cmdline")) // likewise
		if strings.HasPrefix(cwd, dir+"/") || strings.Contains(string(command), "\x00"+dir+"/") {
			out = append(out, pid)
		}
	}
	return out
}

// end takes down what is left, however the tour went.
func (d *demo) end() error {
	var errs []error
	if d.client != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		errs = append(errs, d.removeAll(ctx))
		d.client.Close()
	}
	if d.app != nil {
		errs = append(errs, d.app.Stop(), <-d.ended)
	}
	if d.dir != "" {
		for _, pid := range processesOf(d.dir) { // when the server could not remove them any more
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

// removeAll removes every service there is, the user's own included.
func (d *demo) removeAll(ctx context.Context) error {
	for s, err := range d.client.Services().List(ctx, client.ServiceFilter{}) {
		if err != nil {
			return err
		}
		if _, err := d.client.Services().Remove(ctx, s.Ref(), client.Undeploy{Hard: true, Data: true, Force: true}); err != nil && !client.IsNotFound(err) {
			return err
		}
		if _, err := d.client.Services().WaitFor(ctx, s.Ref(), client.Gone); err != nil {
			return err
		}
	}
	return nil
}
