package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/egress"
)

var accountOptions = []driver.Option{
	{Name: "endpoint", Type: driver.String, Examples: []string{"unix:///run/podman/podman.sock", "tcp://10.0.0.5:2376"},
		Help: "Where the daemon listens: unix://PATH or tcp://HOST:PORT. By default what DOCKER_HOST says, or unix:///var/run/docker.sock."},
	{Name: "tls_ca", Type: driver.String, Help: "File of the authority that signed the daemon's certificate; it turns TLS on for tcp endpoints."},
	{Name: "tls_cert", Type: driver.String, Help: "File of the certificate that is shown to the daemon."},
	{Name: "tls_key", Type: driver.String, Help: "File of that certificate's key."},
	{Name: "registries", Type: driver.Map, Secret: true, Examples: []string{"{registry.example.org: \"user:password\"}"},
		Help: "Credentials by registry, as user:password; docker.io is Docker Hub."},
	{Name: "import_allow", Type: driver.List, Advanced: true, Examples: []string{"[127.0.0.1/32]"},
		Help: "Networks that images may be imported from although they are closed: those of the server's own machine and link."},
	{Name: "import_size", Type: driver.Size, Advanced: true, Default: "4G", Help: "The largest image that may be imported, unpacked."},
}

// A host is one opened account: one daemon, as one installation sees it.
type host struct {
	cli          *client.Client
	ctx          context.Context // of the account; what outlives its caller ends with it
	installation string
	registries   map[string]string
	fetcher      *http.Client // of what is imported
	importSize   int64

	// claims are of machines and resources. A creation that was sent to the daemon keeps its claim until that is
	// answered, whatever became of its caller, so that a removal comes after it.
	claims driver.Claims
	tokens driver.Tokens
	mu     sync.Mutex
	pulls  map[string]*pull
}

// verify says what open would refuse.
func verify(cfg driver.Config) error {
	cli, err := connect(cfg.Values)
	if err != nil {
		return err
	}
	_, err = registriesOf(cfg.Values)
	_, wrong := openNetworks(cfg.Values)
	return errors.Join(err, wrong, cli.Close())
}

// open asks the daemon nothing: it need not be there before it is used.
func open(ctx context.Context, cfg driver.Config) (driver.Driver, error) {
	cli, err := connect(cfg.Values)
	if err != nil {
		return nil, err
	}
	registries, err := registriesOf(cfg.Values)
	allow, wrong := openNetworks(cfg.Values)
	if err = errors.Join(err, wrong); err != nil {
		return nil, errors.Join(err, cli.Close())
	}
	context.AfterFunc(ctx, func() { _ = cli.Close() })
	h := &host{cli: cli, ctx: ctx, installation: cfg.Installation, registries: registries,
		fetcher: newFetcher(&egress.Guard{Allow: allow, Setting: "the account's import_allow:"}), importSize: driver.Get[int64](cfg.Values, "import_size"),
		pulls: map[string]*pull{}}
	return driver.Order(h), nil
}

// endpointOf returns where the daemon of an account listens.
func endpointOf(values map[string]any) string {
	return cmp.Or(driver.Get[string](values, "endpoint"), os.Getenv(client.EnvOverrideHost), client.DefaultDockerHost)
}

// connect makes the client for the values of an account.
func connect(values map[string]any) (*client.Client, error) {
	endpoint := driver.Get[string](values, "endpoint")
	ca, cert, key := driver.Get[string](values, "tls_ca"), driver.Get[string](values, "tls_cert"), driver.Get[string](values, "tls_key")
	var opts []client.Opt
	switch {
	case endpoint == "" && ca+cert+key == "":
		// The TLS settings of the environment are meant for the endpoint of the environment.
		opts = append(opts, client.WithTLSClientConfigFromEnv(), client.WithAPIVersionFromEnv())
		fallthrough
	case endpoint == "":
		endpoint = endpointOf(values)
	}
	url, err := client.ParseHostURL(endpoint)
	if err == nil && url.Scheme != "unix" && url.Scheme != "tcp" && url.Scheme != "npipe" {
		err = fmt.Errorf("%q is no way to reach a daemon", url.Scheme)
	}
	if err != nil {
		return nil, refuse("endpoint", fmt.Sprintf("%q: %v; give unix://PATH or tcp://HOST:PORT", endpoint, err))
	}
	opts = append(opts, client.WithHost(endpoint), client.WithUserAgent("troupe"))
	if url.Scheme != "npipe" {
		opts = append(opts, client.WithDialContext(dialer(url.Scheme, url.Host, endpoint)))
	}
	if ca+cert+key != "" {
		if url.Scheme != "tcp" {
			return nil, refuse("tls_ca", "TLS is for tcp endpoints")
		}
		opts = append(opts, client.WithTLSClientConfig(ca, cert, key))
	}
	cli, err := client.New(opts...)
	if err != nil {
		return nil, refuse("endpoint", err.Error())
	}
	return cli, nil
}

// dialer dials the daemon. Its errors tell for certain that the daemon was not asked, which the client's own do not.
func dialer(network, address, endpoint string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, address)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, &dialError{endpoint: endpoint, denied: errors.Is(err, os.ErrPermission), words: err.Error()}
	}
}

// A dialError is a connection that did not come about. It unwraps to nothing: the client would put its own words, which
// tell less, in the place of the system's errors.
type dialError struct {
	endpoint, words string
	denied          bool
}

func (e *dialError) Error() string {
	if e.denied {
		return fmt.Sprintf("no right to use %s; let the server's user into the group that owns the socket", e.endpoint)
	}
	return fmt.Sprintf("no daemon answers at %s", e.endpoint)
}

// registriesOf reads the credentials, by the registry's host name.
func registriesOf(values map[string]any) (map[string]string, error) {
	out := map[string]string{}
	for name, credential := range driver.Get[map[string]string](values, "registries") {
		if user, _, ok := strings.Cut(credential, ":"); !ok || user == "" {
			return nil, refuse("registries", fmt.Sprintf("that of %s must read user:password", name))
		}
		name = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(name, "https://"), "http://"), "/")
		if name == "index.docker.io" || name == "index.docker.io/v1" || name == "registry-1.docker.io" {
			name = "docker.io"
		}
		out[name] = credential
	}
	return out, nil
}

// openNetworks reads the networks that images may be imported from although they are closed.
func openNetworks(values map[string]any) (open []netip.Prefix, err error) {
	for _, text := range driver.Get[[]string](values, "import_allow") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, refuse("import_allow", fmt.Sprintf("%q is no network; give one such as 127.0.0.0/8", text))
		}
		open = append(open, p)
	}
	return open, nil
}

func refuse(option, problem string) error {
	return &driver.OptionError{Option: option, Problem: problem}
}

// answered runs a call that makes something to its end even when ctx ends first, and then lets nobody near what it is
// about before that end. It calls release, if ctx ended first, and returns false.
func answered(ctx context.Context, h *host, release func(), call func(context.Context) error) (in bool, err error) {
	done := make(chan error, 1)
	go func() { done <- call(h.ctx) }()
	select {
	case err := <-done:
		return true, err
	case <-ctx.Done():
		go func() { <-done; release() }()
		return false, ctx.Err()
	}
}
