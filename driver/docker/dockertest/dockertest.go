//go:build linux

// Package dockertest starts a real Docker daemon for tests: with folders, a socket and a network of its own, and
// without a single rule in the host's firewall. Several may run side by side.
package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// Image is the one image that the daemon has: busybox as /bin/sh, and little else.
const Image = "tiny:1"

// Network is the daemon's one network, of a subnet of its own that the host reaches.
const Network = "testnet"

// ErrMissing is why the daemon cannot be started on this machine.
var ErrMissing = errors.New("no Docker daemon can be started here")

// A Daemon is a Docker daemon that belongs to this test.
type Daemon struct {
	Endpoint string       // unix://…
	Subnet   netip.Prefix // of Network
	Gateway  netip.Addr   // the host's address in the default network, where there is one
	Client   *client.Client

	dir    string
	args   []string
	bridge string
	claim  net.Listener // holds the number that the subnet comes from
	run    *run
}

// Options are what a daemon has beside the usual.
type Options struct {
	Flags []string // of dockerd
	Size  int64    // of the disk that it has to itself, in bytes; 0 for that of the host
	// Default: there is a default network, so that machines which name none have addresses that the host reaches.
	Default bool
}

// Start starts a daemon that ends with the test, which is skipped where that cannot be done.
func Start(t testing.TB, o Options) *Daemon {
	t.Helper()
	d, err := Open(o)
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Open is Start for a TestMain. The error is ErrMissing where no daemon can be started.
func Open(o Options) (*Daemon, error) {
	if err := able(); err != nil {
		return nil, err
	}
	claim, number, err := claimNumber()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "troupe-docker-") // short: a socket's path has 107 bytes at most
	if err != nil {
		claim.Close()
		return nil, err
	}
	d := &Daemon{dir: dir, claim: claim, bridge: fmt.Sprintf("troupe-dt%d", number), Endpoint: "unix://" + dir + "/s", Subnet: netip.MustParsePrefix(fmt.Sprintf("172.31.%d.0/24", 128+number))}
	d.args = append([]string{"--data-root", dir + "/data", "--exec-root", dir + "/exec", "--pidfile", dir + "/pid", "--host", d.Endpoint,
		"--iptables=false", "--default-address-pool", fmt.Sprintf("base=10.213.%d.0/20,size=26", 16*number)}, o.Flags...)
	bridge := "none"
	if o.Default {
		bridge, d.Gateway = d.bridge+"d", netip.AddrFrom4([4]byte{172, 30, byte(128 + number), 1})
	}
	d.args = append(d.args, "--bridge="+bridge)
	if err = os.Mkdir(d.Data(), 0o711); err == nil && o.Size > 0 {
		err = unix.Mount("tmpfs", d.Data(), "tmpfs", 0, fmt.Sprintf("size=%d", o.Size))
	}
	if err == nil && o.Default {
		err = makeBridge(bridge, d.Gateway)
	}
	if err == nil {
		d.Client, err = client.New(client.WithHost(d.Endpoint))
	}
	if err == nil {
		if err = d.Run(); err == nil {
			err = d.furnish()
		}
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// makeBridge makes a network of the host's. Docker itself makes only the one that it shares with every other daemon of the host.
func makeBridge(name string, gateway netip.Addr) error {
	for _, args := range [][]string{{"link", "add", name, "type", "bridge"}, {"addr", "add", gateway.String() + "/24", "dev", name}, {"link", "set", name, "up"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("dockertest: ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// Attach gives a daemon that runs already the image and the network, and takes them from it at the end of the test. It
// is for trying others than the Docker of this machine.
func Attach(t testing.TB, endpoint string) *Daemon {
	t.Helper()
	claim, number, err := claimNumber()
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{claim: claim, Endpoint: endpoint, bridge: fmt.Sprintf("troupe-dt%d", number), Subnet: netip.MustParsePrefix(fmt.Sprintf("172.31.%d.0/24", 128+number))}
	if d.Client, err = client.New(client.WithHost(endpoint)); err == nil {
		err = d.furnish()
	}
	t.Cleanup(func() {
		_, nerr := d.Client.NetworkRemove(context.Background(), Network, client.NetworkRemoveOptions{})
		_, ierr := d.Client.ImageRemove(context.Background(), Image, client.ImageRemoveOptions{Force: true})
		if err := errors.Join(nerr, ierr, d.Client.Close(), claim.Close()); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// able says what this machine lacks.
func able() error {
	if os.Getuid() != 0 {
		return fmt.Errorf("%w: dockerd needs root", ErrMissing)
	}
	for program, pack := range map[string]string{"dockerd": "docker.io", "iptables": "iptables", "/bin/busybox": "busybox-static"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: %s is not installed (package %s; make setup)", ErrMissing, program, pack)
		}
	}
	return nil
}

// claimNumber takes a number that no other daemon of this host has, for as long as the listener is open.
func claimNumber() (net.Listener, int, error) {
	for n := range 16 {
		if l, err := net.Listen("unix", fmt.Sprintf("@troupe-dockertest-%d", n)); err == nil {
			return l, n, nil
		}
	}
	return nil, 0, errors.New("dockertest: 16 daemons run already")
}

// furnish gives the daemon its image and its network.
func (d *Daemon) furnish() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	root, err := Rootfs()
	if err == nil {
		err = d.Import(ctx, Image, root, `CMD ["/bin/sh"]`, "ENV PATH=/bin")
	}
	if err != nil {
		return fmt.Errorf("dockertest: import the image: %w", err)
	}
	if _, err := d.Client.NetworkCreate(ctx, Network, client.NetworkCreateOptions{
		IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: d.Subnet}}}, Options: map[string]string{"com.docker.network.bridge.name": d.bridge},
	}); err != nil {
		return fmt.Errorf("dockertest: make the network: %w", err)
	}
	return nil
}

// Import gives the daemon an image made of a root file system, with changes as docker import takes them.
func (d *Daemon) Import(ctx context.Context, name string, root []byte, changes ...string) error {
	answer, err := d.Client.ImageImport(ctx, client.ImageImportSource{Source: bytes.NewReader(root), SourceName: "-"}, name, client.ImageImportOptions{Changes: changes})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer)
	return errors.Join(err, answer.Close())
}

// applets are the programs of the image.
var applets = []string{"cat", "chmod", "chown", "dd", "echo", "env", "httpd", "id", "ip", "kill", "hostname", "ls", "mkdir", "nc", "nslookup", "ping", "ps", "rm", "seq", "sh", "sleep",
	"stat", "sync", "tail", "test", "touch", "tr", "true", "false", "ulimit", "wc", "wget"}

// A File is one of an image.
type File struct {
	Name string // relative to the image's root
	Mode int64
	Text []byte
}

// Rootfs is the image's file system as a tar archive, with further files.
func Rootfs(more ...File) ([]byte, error) {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, dir := range []string{"bin/", "tmp/", "etc/", "root/", "var/", "www/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}); err != nil {
			return nil, err
		}
	}
	files := append([]File{
		{"bin/busybox", 0o755, busybox}, {"www/index.html", 0o644, []byte("hello\n")},
		{"etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")},
		{"etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n")},
	}, more...)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: f.Mode, Size: int64(len(f.Text))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Text); err != nil {
			return nil, err
		}
	}
	for _, name := range applets {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox", Mode: 0o777}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

// Data is the folder in which the daemon keeps what it has.
func (d *Daemon) Data() string { return d.dir + "/data" }

// Dir is a folder that ends with the daemon.
func (d *Daemon) Dir() string { return filepath.Join(d.dir, "more") }

// Log returns what the daemon has written.
func (d *Daemon) Log() string {
	text, _ := os.ReadFile(d.dir + "/log")
	return strings.TrimSpace(string(text))
}
