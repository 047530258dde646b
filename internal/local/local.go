// Package local gives the commands of one user a server in a folder of theirs, without anybody having started
// one: the first command that needs it runs it inside itself and listens on a socket in the folder; others
// become its clients. When that command ends, the next that calls takes over; machines and state stay.
package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
)

// maxSocket is the longest name that a socket can have.
const maxSocket = 107

// A Server is the server of a folder, wherever it runs.
type Server struct {
	opts   app.Options
	socket string
	client *client.Client

	mu    sync.Mutex
	held  *os.File // the lock, while the server is in this process
	app   *app.App
	ended chan error
	shut  bool
}

// Open returns the server of the folder; it is started, or found, with the first call of its Client. Of the
// options, DataDir, Listen and Socket are set here.
func Open(dir string, o app.Options) (*Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("the server's folder: %w", err)
	}
	s := &Server{opts: o, socket: filepath.Join(dir, "socket")}
	if len(s.socket) > maxSocket {
		return nil, fmt.Errorf("the server's folder %s: the name of its socket would be longer than %d bytes; choose a shorter one", dir, maxSocket)
	}
	// Nobody but the user may reach the socket, whatever its own mode.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the server's folder: %w", err)
	}
	s.opts.DataDir, s.opts.Listen, s.opts.Socket = filepath.Join(dir, "data"), "127.0.0.1:0", s.socket
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx) }, MaxIdleConnsPerHost: 32}
	s.client, err = client.New("http://localhost", client.Options{HTTP: &http.Client{Transport: transport}, Agent: "local/" + o.Version})
	return s, err
}

// Client returns the server's client. It goes on working when the command that holds the server ends.
func (s *Server) Client() *client.Client { return s.client }

// Hold starts the server in this process, and waits while another holds it. It is for servers that are more than what
// commands share.
func (s *Server) Hold(ctx context.Context) error {
	for !s.Holds() {
		if err := s.hold(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// Addrs returns the URLs of the listeners by name; nil when the server is not in this process.
func (s *Server) Addrs() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.app == nil {
		return nil
	}
	return s.app.Addrs()
}

// Holds reports whether the server runs in this process.
func (s *Server) Holds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.app != nil
}

// Close stops the server if it runs in this process. Machines and state stay.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
	s.client.Close()
	if s.app == nil {
		return nil
	}
	err := s.app.Stop()
	if err == nil {
		err = <-s.ended
	}
	s.app = nil
	return errors.Join(err, s.held.Close())
}

// dial connects to the server, and starts it when nobody holds it.
func (s *Server) dial(ctx context.Context) (net.Conn, error) {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", s.socket)
		if err == nil || !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist) {
			return conn, err
		}
		if err := s.hold(ctx); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// hold starts the server in this process, unless another holds the folder. It returns once it serves.
func (s *Server) hold(ctx context.Context) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return net.ErrClosed
	}
	if s.app != nil {
		select {
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("the server in %s has ended: %w", s.opts.DataDir, err)
		default:
			return nil
		}
	}
	lock, err := os.OpenFile(s.socket+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("hold the server's folder: %w", err)
	}
	defer func() {
		if s.app == nil {
			lock.Close()
		}
	}()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) { // somebody holds it: the socket is about to be there
			return nil
		}
		return fmt.Errorf("hold the server's folder: %w", err)
	}
	a, err := app.New(ctx, s.opts)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(context.Background()) }() // Close waits for it
	select {
	case <-a.Ready():
		s.app, s.ended, s.held = a, ended, lock
		return nil
	case err := <-ended:
		return fmt.Errorf("the server in %s ended as it started: %w", s.opts.DataDir, err)
	case <-ctx.Done():
		return errors.Join(ctx.Err(), a.Stop(), <-ended)
	}
}
