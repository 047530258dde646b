// Package apptest runs a whole Troupe within a test.
package apptest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
)

// A Server is a whole Troupe that runs in this process.
type Server struct {
	*app.App
	t    testing.TB
	stop func() error
}

// Start runs one and waits until it is ready. It keeps its data in a folder of the test's and listens at any port of loopback
// where the options name none; it ends with the test.
func Start(t testing.TB, o app.Options) *Server {
	t.Helper()
	if o.DataDir == "" {
		o.DataDir = t.TempDir()
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	a, err := app.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(context.WithoutCancel(t.Context())) }()
	s := &Server{App: a, t: t, stop: sync.OnceValue(func() error { return errors.Join(a.Stop(), <-ended) })}
	t.Cleanup(s.Close)
	select {
	case <-a.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return s
}

// Close stops it before the test's end, so that another can take its place.
func (s *Server) Close() {
	s.t.Helper()
	if err := s.stop(); err != nil {
		s.t.Error(err)
	}
}

// URL is where its main listener is.
func (s *Server) URL() string { return s.Addrs()["main"] }

// Client is one of the administrator's, which lasts as long as the test.
func (s *Server) Client() *client.Client {
	s.t.Helper()
	c, err := client.New(s.URL(), client.Options{User: "oneadmin", Password: s.Password()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}
