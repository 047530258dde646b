package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newDriverCommand(t *terminal) *cobra.Command {
	ls := &cobra.Command{
		Use: "ls", Short: "list drivers and how their back ends are", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Drivers(ctx)
			if err != nil {
				return err
			}
			b := &table{head: []string{"BACK END", "MACHINES", "LISTED", "WAITING", "STATE"}}
			for _, d := range list {
				for _, x := range d.Backends {
					listed := "-"
					if x.Listed != nil {
						listed = since(*x.Listed)
					}
					b.add(x.Key, strconv.Itoa(x.Machines), listed, strconv.Itoa(x.Creates+x.Others), backendState(&x))
				}
			}
			return t.show(list, b)
		}),
	}
	show := &cobra.Command{
		Use: "show DRIVER", Short: "show the options of a driver", Args: exactly("DRIVER"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			d, err := c.Driver(ctx, args[0])
			if err != nil {
				return err
			}
			b := &table{head: []string{"OPTION", "OF", "TYPE", "DEFAULT", "HELP"}}
			for _, x := range d.Options {
				b.add(x.Name, "machine", x.Type, defaultOf(&x), oneLine(x.Help))
			}
			for _, x := range d.Account {
				b.add(x.Name, "account", x.Type, defaultOf(&x), oneLine(x.Help))
			}
			if t.output == "table" || t.output == "wide" {
				fmt.Fprintf(t.out, "%s: %s\n\n", d.Name, d.Help)
			}
			return t.show(d, b)
		}),
	}
	accept := &cobra.Command{
		Use: "accept BACKEND", Short: "say that machines which vanished from a halted back end are gone indeed", Args: exactly("BACKEND"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.AcceptLoss(ctx, args[0]); err != nil {
				return err
			}
			t.tell("the loss is accepted: healing goes on at %s", args[0])
			return nil
		}),
	}
	return group("driver", "what machines can run on", ls, show, accept)
}

func backendState(x *client.Backend) string {
	switch {
	case x.Halted != "":
		return "healing is halted: " + oneLine(x.Halted) + "; see `troupe driver accept`"
	case x.Error != "":
		return oneLine(x.Error)
	}
	return "well"
}

func defaultOf(x *client.DriverOption) string {
	switch {
	case x.Required:
		return "(required)"
	case x.Default == nil:
		return "-"
	}
	return oneLine(fmt.Sprint(x.Default))
}
