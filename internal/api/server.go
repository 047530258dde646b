// Package api is the HTTP server below all faces: listeners, TLS, time-outs and limits, request
// ids, authentication, access log, metrics, and the answers that every face needs (errors, event
// streams). The faces themselves are the packages below it.
//
// A [Face] says how one API authenticates and how it words errors; [Server.Face] wraps its routes.
// [Server.Listen] puts any handler made of such faces on an address.
package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"github.com/troupe-dev/troupe/internal/identity"
)

// Limits of every request, on every listener.
const (
	maxHeader = 64 << 10 // bytes
	maxBody   = 8 << 20  // bytes
	maxDepth  = 64       // of JSON
)

// bounds are the limits that tests tighten. Streams lift read and write (see LiftDeadlines).
type bounds struct {
	header, read, write, idle time.Duration
	grace                     time.Duration // for running requests when the server stops
	connections               int           // of one listener; more wait to be accepted
}

var usualBounds = bounds{header: 10 * time.Second, read: time.Minute, write: time.Minute, idle: 2 * time.Minute,
	grace: 10 * time.Second, connections: 10_000}

// An Authenticator says who shows the credentials; identity.Directory is one.
type Authenticator interface {
	Authenticate(ctx context.Context, c identity.Credentials) (*identity.Caller, error)
}

// Options make a Server. Auth and Log must be set.
type Options struct {
	Auth Authenticator
	Log  *slog.Logger
	// Metrics is where the server registers its figures and what /metrics shows; nil for a new one.
	Metrics *prometheus.Registry
	// Ready tells the state of the process: "ready", or another word such as "starting" or
	// "standby", with the reason. nil means always ready.
	Ready func() (state, reason string)
	// Certificate and Key are PEM files; with them every listener speaks TLS (and HTTP/2). They
	// are read again when they change.
	Certificate, Key string
	// Insecure allows listeners beyond loopback without TLS.
	Insecure bool
	// OpenMetrics shows /metrics to everybody.
	OpenMetrics bool
}

// A Server serves any number of listeners, which share limits, log and metrics.
type Server struct {
	opts    Options
	bounds  bounds
	tls     *tls.Config // nil for plain HTTP
	metrics *metrics
	log     *slog.Logger

	stopping chan struct{} // closed when Stop begins: streams end
	stopped  chan struct{} // closed when Stop is done
	stopOnce sync.Once
	stopErr  error

	mu        sync.Mutex
	listeners []*listener
	serving   bool
}

type listener struct {
	name string
	net.Listener
	http *http.Server
}

// New returns a server without listeners. It fails if the certificate cannot be read.
func New(opts Options) (*Server, error) {
	if opts.Metrics == nil {
		opts.Metrics = prometheus.NewRegistry()
	}
	s := &Server{opts: opts, bounds: usualBounds, log: opts.Log, stopping: make(chan struct{}), stopped: make(chan struct{})}
	var err error
	if s.metrics, err = newMetrics(opts.Metrics); err != nil {
		return nil, fmt.Errorf("register the API's metrics: %w", err)
	}
	if (opts.Certificate == "") != (opts.Key == "") {
		return nil, errors.New("a TLS certificate needs its key and a key its certificate: give both files")
	}
	if opts.Certificate != "" {
		c, err := newCertificate(opts.Certificate, opts.Key, opts.Log)
		if err != nil {
			return nil, err
		}
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	}
	return s, nil
}

// A Listener is an address with what is served there.
type Listener struct {
	Name string
	// Address is HOST:PORT, port 0 for any, or "unix:" and the path of a socket, which only this process's
	// own user (and root) may connect to.
	Address string
	Handler http.Handler
	// Guest says who makes the requests that show no credentials; nil refuses them. Such a listener answers
	// neither pages in browsers nor requests that call it by a name that is not its own.
	Guest func() (*identity.Caller, error)
}

const socketScheme = "unix:"

// Admit says what is wrong with an address for Listen, without binding it.
func (s *Server) Admit(l Listener) error {
	if _, ok := strings.CutPrefix(l.Address, socketScheme); ok {
		return nil
	}
	at, err := net.ResolveTCPAddr("tcp", l.Address)
	switch {
	case err != nil:
		return fmt.Errorf("listener %s: %w", l.Name, err)
	case l.Guest != nil && !at.IP.IsLoopback():
		return fmt.Errorf("listener %s: %s is reachable from other machines, and whoever calls there needs no credentials: listen on 127.0.0.1", l.Name, l.Address)
	case s.tls == nil && !s.opts.Insecure && !at.IP.IsLoopback():
		return fmt.Errorf("listener %s: %s is reachable from other machines, and passwords would cross the network in the clear: "+
			"give a TLS certificate and key, listen on 127.0.0.1, or allow it with --insecure", l.Name, l.Address)
	}
	return nil
}

// Listen binds the listener's address and will serve its handler there. Connections are taken from now on and
// answered once Serve runs. It refuses addresses beyond loopback without TLS, unless Options.Insecure is
// set, and with guests always. A socket that is left over is replaced: its owner keeps other processes away
// by other means.
func (s *Server) Listen(ctx context.Context, def Listener) (net.Addr, error) {
	if err := s.Admit(def); err != nil {
		return nil, err
	}
	ln, err := bind(ctx, def.Address)
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", def.Name, err)
	}
	l := &listener{name: def.Name, Listener: netutil.LimitListener(ln, s.bounds.connections), http: &http.Server{
		Handler:           s.wrap(def.Name, def.Guest, def.Handler),
		ReadHeaderTimeout: s.bounds.header,
		ReadTimeout:       s.bounds.read,
		WriteTimeout:      s.bounds.write,
		IdleTimeout:       s.bounds.idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.With("listener", def.Name).Handler(), slog.LevelDebug),
	}}
	if s.tls != nil && !l.socket() {
		l.http.TLSConfig = s.tls.Clone()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving {
		ln.Close()
		return nil, fmt.Errorf("listener %s: the server is already running", def.Name)
	}
	s.listeners = append(s.listeners, l)
	return ln.Addr(), nil
}

// bind listens at an address of either kind.
func bind(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	file, ok := strings.CutPrefix(address, socketScheme)
	if !ok {
		return lc.Listen(ctx, "tcp", address)
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// Nobody may connect before the mode is right: the socket gets its name last.
	half := file + ".new"
	_ = os.Remove(half)
	ln, err := lc.Listen(ctx, "unix", half)
	if err != nil {
		return nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err = errors.Join(os.Chmod(half, 0o600), os.Rename(half, file)); err != nil {
		ln.Close()
		return nil, err
	}
	return socket{ln, file}, nil
}

// A socket is a Unix socket under its final name, which goes with it.
type socket struct {
	net.Listener
	file string
}

func (s socket) Addr() net.Addr { return &net.UnixAddr{Name: s.file, Net: "unix"} }

func (s socket) Close() error {
	_ = os.Remove(s.file)
	return s.Listener.Close()
}

func (l *listener) socket() bool { return l.Addr().Network() == "unix" }

// Addrs returns the URL of each listener by its name, with the port that it really has; unix:///PATH for a socket.
func (s *Server) Addrs() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	scheme := "http://"
	if s.tls != nil {
		scheme = "https://"
	}
	urls := make(map[string]string, len(s.listeners))
	for _, l := range s.listeners {
		if l.socket() {
			urls[l.name] = "unix://" + l.Addr().String()
			continue
		}
		urls[l.name] = scheme + l.Addr().String()
	}
	return urls
}

// Serve answers requests on all listeners until ctx ends, Stop is called or a listener breaks. It
// returns when all of them are closed: after ctx ended, running requests get ten seconds.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	s.serving = true
	listeners := s.listeners
	s.mu.Unlock()

	var wg sync.WaitGroup
	broken := make(chan error, len(listeners))
	for _, l := range listeners {
		wg.Go(func() {
			var err error
			if l.http.TLSConfig != nil {
				err = l.http.ServeTLS(l.Listener, "", "")
			} else {
				err = l.http.Serve(l.Listener)
			}
			if !errors.Is(err, http.ErrServerClosed) {
				broken <- fmt.Errorf("listener %s: %w", l.name, err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case <-s.stopping:
	case err = <-broken:
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.bounds.grace)
	defer cancel()
	err = errors.Join(err, s.Stop(grace))
	wg.Wait()
	return err
}

// Stop closes the listeners at once, ends streams, and waits for running requests until ctx ends;
// then it cuts them off and says so. A second call waits for the first.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() {
		defer close(s.stopped)
		s.mu.Lock()
		s.serving = true
		listeners := s.listeners
		s.mu.Unlock()
		close(s.stopping)
		errs := make([]error, len(listeners))
		var wg sync.WaitGroup
		for i, l := range listeners {
			wg.Go(func() {
				if err := l.http.Shutdown(ctx); err != nil {
					l.http.Close()
					errs[i] = fmt.Errorf("listener %s: requests were cut off: %w", l.name, err)
				}
				l.Close() // for listeners that were never served
			})
		}
		wg.Wait()
		s.stopErr = errors.Join(errs...)
	})
	<-s.stopped
	return s.stopErr
}
