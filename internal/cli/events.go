package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

type eventsOptions struct {
	follow bool
	tail   int
}

func newEventsCommand(t *terminal) *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:   "events [SERVICE]",
		Short: "what happened; with -f what happens",
		Args:  atMost(1),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			return runEvents(ctx, t, c, &o, strings.Join(args, ""))
		}),
	}
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on until Ctrl-C, or until the service is gone")
	cmd.Flags().IntVarP(&o.tail, "tail", "n", 50, "how many of the last events")
	return cmd
}

// runEvents shows what happens to a service; to all of them when ref is "".
func runEvents(ctx context.Context, t *terminal, c *client.Client, o *eventsOptions, ref string) error {
	events, err := pastEvents(ctx, c, o, ref)
	if err != nil {
		return err
	}
	if !o.follow {
		b := &table{head: []string{"TIME", "SERVICE", "WHAT"}}
		for _, e := range events {
			b.add(e.Time.Local().Format("2006-01-02 15:04:05.000"), fmt.Sprintf("%s(%d)", e.Name, e.Service), t.eventLine(e))
		}
		return t.show(events, b)
	}
	for _, e := range events {
		if err := t.printEvent(e); err != nil {
			return err
		}
	}
	for change, err := range c.Watch(ctx, client.WatchOptions{Service: ref}) {
		if err != nil {
			return err
		}
		for _, e := range change.Events {
			e.Service, e.Name = change.Service, change.Name
			if err := t.printEvent(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func pastEvents(ctx context.Context, c *client.Client, o *eventsOptions, ref string) ([]client.Event, error) {
	if o.tail <= 0 {
		return nil, nil
	}
	if ref == "" {
		return c.Events(ctx, o.tail)
	}
	return c.Services().Events(ctx, ref, o.tail)
}

// printEvent prints one line: of JSON where that is wanted, so that programs can follow.
func (t *terminal) printEvent(e client.Event) error {
	if t.output == "json" {
		return json.NewEncoder(t.out).Encode(e)
	}
	_, err := fmt.Fprintf(t.out, "%s %s(%d) %s\n", e.Time.Local().Format("15:04:05.000"), e.Name, e.Service, t.eventLine(e))
	return err
}
