package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

type demoNodeOptions struct{ name, listen, needs string }

// newDemoNodeCommand is one program of the service that `troupe demo` runs: it answers over HTTP, once it has
// reached what it needs. /pid is its process id, and /tell?KEY=VALUE lets it tell the server of itself.
func newDemoNodeCommand(t *terminal) *cobra.Command {
	var o demoNodeOptions
	cmd := &cobra.Command{
		Use: "demo-node", Hidden: true, Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemoNode(cmd.Context(), t, &o) },
	}
	cmd.Flags().StringVar(&o.name, "name", "node", "")
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:0", "")
	cmd.Flags().StringVar(&o.needs, "needs", "", "")
	return cmd
}

func runDemoNode(ctx context.Context, t *terminal, o *demoNodeOptions) error {
	answer := func(ctx context.Context) (string, error) {
		text := o.name + " at " + o.listen
		if o.needs == "" {
			return text, nil
		}
		below, err := fetch(ctx, o.needs)
		if err != nil {
			return "", err
		}
		return text + " <- " + below, nil
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	text, err := answer(ctx)
	if err != nil {
		return fmt.Errorf("%s: what it needs does not answer: %w", o.name, err)
	}
	fmt.Fprintln(t.out, "ready: "+text)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var text string
		var err error
		switch r.URL.Path {
		case "/pid":
			text = strconv.Itoa(os.Getpid())
		case "/tell":
			err = tell(r.Context(), r.URL.RawQuery)
		default:
			text, err = answer(r.Context())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, text)
	})}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// tell sends an attribute of this instance to the server, as any program may with what stands in its environment.
func tell(ctx context.Context, attribute string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, os.Getenv("ONEGATE_ENDPOINT")+"/vm", strings.NewReader(attribute))
	if err != nil {
		return err
	}
	req.Header.Set("X-ONEGATE-TOKEN", os.Getenv("ONEGATE_TOKEN"))
	req.Header.Set("X-ONEGATE-VMID", os.Getenv("VMID"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("OneGate answers %s", resp.Status)
	}
	return nil
}

// fetch reads a short text over HTTP.
func fetch(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return string(text), err
}
