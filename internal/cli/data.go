package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newDataCommand(t *terminal) *cobra.Command {
	ls := &cobra.Command{
		Use: "ls", Short: "list the data that removed services have left", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Data().List(ctx)
			if err != nil {
				return err
			}
			b := &table{head: []string{"SERVICE", "NAME", "PROJECT", "OWNER", "REMOVED", "DATA", "ON"}}
			for _, k := range list {
				for _, r := range k.Roles {
					b.add(strconv.FormatUint(k.Service, 10), oneLine(k.Name), orDash(k.Project), k.Owner.Name, since(k.Removed),
						strings.Join(r.Names, ","), strings.Join(r.Backends, ","))
				}
			}
			return t.show(list, b)
		}),
	}
	return group("data", "data of stable instances that outlived their services", ls,
		removing(t, "data", func(ctx context.Context, c *client.Client, ref string) error { return c.Data().Remove(ctx, ref) }))
}

// removeLeft removes what a service has left that is not there any more; otherwise gone is returned, the error
// that said so.
func removeLeft(ctx context.Context, t *terminal, c *client.Client, ref string, gone error) error {
	if err := c.Data().Remove(ctx, ref); client.IsNotFound(err) {
		return gone
	} else if err != nil {
		return err
	}
	t.tell("the data that service %s had left is removed", ref)
	return nil
}
