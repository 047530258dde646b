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

// Main serves an orchestrator as [Surroundings] says, until the program is told to end, and ends the program.
func Main(f Factory) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listen, o := Surroundings()
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := Serve(ctx, listen, f, o); err != nil {
		fmt.Fprintln(os.Stderr, "the orchestrator cannot be served:", err)
		os.Exit(1)
	}
}

// Surroundings finds out from the environment how the program was started, and returns where it is to listen and keep things. The
// Cloud Controller names the program in DC_NAME, its address in TROUPE_ADDRESS and a folder for it in TROUPE_DATA: then it
// is port 8080 of that address. Otherwise it is port 8051 of this machine, and memory.
func Surroundings() (listen string, o Options) {
	listen = "127.0.0.1:8051"
	if os.Getenv("DC_NAME") != "" {
		listen = net.JoinHostPort(os.Getenv("TROUPE_ADDRESS"), "8080")
	}
	if dir := os.Getenv("TROUPE_DATA"); dir != "" {
		o.State = filepath.Join(dir, "orchestrator.json")
	}
	return listen, o
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
