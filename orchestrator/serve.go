package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// Main serves an orchestrator until the program is told to end, and ends the program. It finds out from the environment how it
// was started: the Cloud Controller names the program in DC_NAME, its address in TROUPE_ADDRESS and a place to keep things in
// TROUPE_DATA.
func Main(f Factory) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listen := "127.0.0.1:8051"
	if os.Getenv("DC_NAME") != "" {
		listen = net.JoinHostPort(os.Getenv("TROUPE_ADDRESS"), "8080")
	}
	o := Options{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if dir := os.Getenv("TROUPE_DATA"); dir != "" {
		o.State = filepath.Join(dir, "orchestrator.json")
	}
	if err := Serve(ctx, listen, f, o); err != nil {
		fmt.Fprintln(os.Stderr, "the orchestrator cannot be served:", err)
		os.Exit(1)
	}
}

// Serve serves an orchestrator at an address, "127.0.0.1:8051", until ctx ends. It returns when all that it started has ended.
func Serve(ctx context.Context, listen string, f Factory, o Options) error {
	h, err := NewHandler(ctx, f, o)
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	h.log.Info("serving", "address", l.Addr().String())
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 256 << 10}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// Whoever waits for a phase gets its answer, if that does not take too long.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = s.Shutdown(last)
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

func newID() string { return uuid.NewString() }
