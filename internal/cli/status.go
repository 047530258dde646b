package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newServerStatusCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "how a running server is", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			s, err := c.Status(ctx)
			if err != nil {
				return err
			}
			if t.output != "table" && t.output != "wide" {
				return t.show(s, &table{rows: [][]string{{s.Installation}}})
			}
			fmt.Fprintf(t.out, "version       %s, up %s\n", s.Version, since(s.Started))
			fmt.Fprintf(t.out, "installation  %s, generation %d (%s)\n", s.Installation, s.Generation, orDash(s.Origin))
			fmt.Fprintf(t.out, "services      %d\n", s.Services)
			fmt.Fprintf(t.out, "database      %s, %s in use\n", bytes(s.Store.Size), bytes(s.Store.InUse))
			for _, b := range s.Backends {
				fmt.Fprintf(t.out, "back end      %s: %d machines, %s\n", b.Key, b.Machines, backendState(&b))
			}
			if s.Metrics != nil {
				t.metricsHealth(s.Metrics)
			}
			if s.Paused {
				fmt.Fprintln(t.out, "\nEffects are off: this state was restored from a backup. Look at it, then `troupe server resume`.")
			}
			return nil
		}),
	}
}

// metricsHealth tells how intake and history are.
func (t *terminal) metricsHealth(m *client.MetricsHealth) {
	var dropped []string
	for _, reason := range slices.Sorted(maps.Keys(m.Refused)) {
		dropped = append(dropped, fmt.Sprintf("%s %d", reason, m.Refused[reason]))
	}
	fmt.Fprintf(t.out, "metrics       %d series, %d samples", m.Series, m.Taken)
	if len(dropped) > 0 {
		fmt.Fprintf(t.out, "; %s", strings.Join(dropped, ", "))
	}
	fmt.Fprintln(t.out)
	h := m.History
	if h == nil {
		return
	}
	fmt.Fprintf(t.out, "history       %s", bytes(h.DiskBytes))
	if h.Oldest != nil {
		fmt.Fprintf(t.out, ", %s back", since(*h.Oldest))
	}
	if h.Failing != "" {
		fmt.Fprintf(t.out, "; %s: %s; %d samples wait, %d are lost", t.paint(red, "failing"), oneLine(h.Failing), h.Waiting, h.Lost)
	}
	fmt.Fprintln(t.out)
}

func newServerResumeCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "resume", Short: "turn the effects of a restored state on", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			if err := c.Resume(ctx); err != nil {
				return err
			}
			t.tell("effects are on")
			return nil
		}),
	}
}
