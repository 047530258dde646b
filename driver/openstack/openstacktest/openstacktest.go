//go:build linux

// Package openstacktest runs a small real OpenStack for tests, or shares the one that runs for several packages.
package openstacktest

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/openrc"
)

// What the cloud has from the start.
const (
	Image    = "tiny"
	Flavor   = "m1.tiny" // 1 processor, 512 MiB; m1.small has 2048 MiB and m1.medium 4096
	Network  = "private" // joined to External by a router
	External = "public"
	Project  = "shop"
	User     = "shopper" // a member of the project; its password is that of the administrator
)

// Variable names the folder of a cloud that runs for several packages: see scripts/with-openstack.
const Variable = "TROUPE_TEST_OPENSTACK"

// startTime is how long a start may take on a machine that does much else.
const startTime = 15 * time.Minute

// A Cloud is an OpenStack.
type Cloud struct {
	Dir      string // holds openrc, the administrator's, and the logs of the services
	Endpoint string // of Keystone
	Password string
	close    func() error
}

// ErrMissing is the class of what this machine lacks for a cloud.
var ErrMissing = errors.New("no OpenStack can be started here")

// A Shared cloud is opened by the first test that asks for it, and closed by the package's TestMain.
type Shared struct {
	once  sync.Once
	cloud *Cloud
	err   error
}

// Use returns the cloud; the test is skipped where there can be none.
func (s *Shared) Use(t testing.TB) *Cloud {
	t.Helper()
	s.once.Do(func() { s.cloud, s.err = Open() })
	if errors.Is(s.err, ErrMissing) {
		t.Skip(s.err)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.cloud
}

// Close ends the cloud if one was opened.
func (s *Shared) Close() error {
	if s.cloud == nil {
		return nil
	}
	return s.cloud.close()
}

//go:embed all:cloud
var files embed.FS

// Open waits for the cloud that runs for several packages, or starts one. The error is of class ErrMissing where that
// cannot be.
func Open() (*Cloud, error) {
	if dir := os.Getenv(Variable); dir != "" {
		return await(dir, nil)
	}
	if os.Getuid() != 0 {
		return nil, fmt.Errorf("%w: its services are started as root", ErrMissing)
	}
	for program, pack := range map[string]string{"keystone-manage": "keystone", "nova-manage": "nova-api", "neutron-server": "neutron-server", "cinder-manage": "python3-cinder",
		"heat-engine": "heat-engine", "glance-api": "glance-api", "placement-api": "placement-api", "uwsgi": "uwsgi-core", "mariadbd": "mariadb-server", "rabbitmqctl": "rabbitmq-server"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%w: %s is not installed (package %s; make setup)", ErrMissing, program, pack)
		}
	}
	dir, err := os.MkdirTemp("/tmp", "troupe-openstack-")
	if err != nil {
		return nil, err
	}
	c, err := start(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return c, nil
}

// start runs the script, which ends with its standard input: so also when the test is killed.
func start(dir string) (*Cloud, error) {
	scripts, run := filepath.Join(dir, "scripts"), filepath.Join(dir, "run")
	if err := unpack(scripts); err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/bash", filepath.Join(scripts, "run"), run)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // what it wrote tells why
	}()
	c, err := await(run, ended)
	if err != nil {
		return nil, errors.Join(err, end(stdin, ended))
	}
	c.close = func() error { return errors.Join(end(stdin, ended), os.RemoveAll(dir)) }
	return c, nil
}

func end(stdin io.Closer, ended <-chan struct{}) error {
	err := stdin.Close()
	select {
	case <-ended:
		return err
	case <-time.After(time.Minute):
		return errors.New("openstacktest: the cloud did not end within a minute")
	}
}

func unpack(to string) error {
	return fs.WalkDir(files, "cloud", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at := filepath.Join(to, strings.TrimPrefix(name, "cloud"))
		if d.IsDir() {
			return os.MkdirAll(at, 0o755)
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(at, text, 0o755)
	})
}

// await waits until a cloud is ready.
func await(dir string, ended <-chan struct{}) (*Cloud, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; {
		if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
			break
		}
		if text, err := os.ReadFile(filepath.Join(dir, "failed")); err == nil {
			return nil, fmt.Errorf("openstacktest: %s", text)
		}
		if time.Since(began) > startTime {
			text, _ := os.ReadFile(filepath.Join(dir, "log/progress"))
			return nil, fmt.Errorf("openstacktest: the cloud in %s is not ready after %v:\n%s", dir, startTime, text)
		}
		select {
		case <-ended:
			return nil, errors.New("openstacktest: the cloud has ended while it started")
		case <-tick.C:
		}
	}
	set, err := openrc.Read(filepath.Join(dir, "openrc"))
	if err != nil {
		return nil, err
	}
	return &Cloud{Dir: dir, Endpoint: set["OS_AUTH_URL"], Password: set["OS_PASSWORD"], close: func() error { return nil }}, nil
}

// Account returns the options of an account of the member's, with others in their place.
func (c *Cloud) Account(more map[string]any) map[string]any {
	values := map[string]any{"endpoint": c.Endpoint, "username": User, "password": c.Password, "project": Project, "region": "RegionOne"}
	for name, value := range more {
		values[name] = value
	}
	return values
}

// Administrator returns the options of an account of the administrator's in the same project.
func (c *Cloud) Administrator() map[string]any {
	return c.Account(map[string]any{"username": "admin", "measure": true})
}
