package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newTokenCommand(t *terminal) *cobra.Command {
	var user string
	ls := &cobra.Command{
		Use: "ls", Short: "list tokens, your own or as administrator anybody's", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Tokens().List(ctx, user)
			if err != nil {
				return err
			}
			b := &table{head: []string{"ID", "NAME", "USER", "SCOPES", "GROUP", "EXPIRES", "USED"}}
			for _, x := range list {
				inGroup, expires, used := "-", "never", "-"
				if x.Group != nil {
					inGroup = x.Group.Name
				}
				if x.Expires != nil {
					expires = x.Expires.Local().Format("2006-01-02 15:04")
				}
				if x.Used != nil {
					used = since(*x.Used)
				}
				b.add(x.ID, orDash(oneLine(x.Name)), x.User.Name, strings.Join(x.Scopes, ","), inGroup, expires, used)
			}
			return t.show(list, b)
		}),
	}
	ls.Flags().StringVar(&user, "of", "", "tokens of this `user`")
	return group("token", "tokens, by which programs act for their users", newTokenAddCommand(t), ls,
		removing(t, "token", func(ctx context.Context, c *client.Client, ref string) error { return c.Tokens().Remove(ctx, ref) }))
}

func newTokenAddCommand(t *terminal) *cobra.Command {
	var n client.AddToken
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "add [NAME]", Short: "make a token and print it, this once", Args: atMost(1),
		Example: "  troupe token add prometheus --scope metrics --expires 8760h",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			if len(args) == 1 {
				n.Name = args[0]
			}
			n.Expires = client.Duration(expires)
			x, err := c.Tokens().Add(ctx, n)
			if err != nil {
				return err
			}
			if t.output == "json" || t.output == "yaml" {
				return t.show(x, nil)
			}
			fmt.Fprintln(t.out, x.Text)
			return nil
		}),
	}
	f := cmd.Flags()
	f.StringSliceVar(&n.Scopes, "scope", nil, "`scopes`: read, operate, admin, metrics, push (default read)")
	f.DurationVar(&expires, "expires", 0, "how long it is good (default for ever)")
	f.StringVar(&n.Group, "group", "", "act in this `group` only")
	f.StringVar(&n.User, "for", "", "a token of this `user`; for administrators")
	return cmd
}
