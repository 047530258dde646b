package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newGroupCommand(t *terminal) *cobra.Command {
	ls := &cobra.Command{
		Use: "ls", Short: "list groups", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Groups().List(ctx)
			if err != nil {
				return err
			}
			return t.show(list, groupTable(list))
		}),
	}
	show := &cobra.Command{
		Use: "show GROUP", Short: "show a group", Args: exactly("GROUP"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			g, err := c.Groups().Get(ctx, args[0])
			if err != nil {
				return err
			}
			return t.show(g, groupTable([]client.Group{g}))
		}),
	}
	add := &cobra.Command{
		Use: "add NAME", Short: "make a group", Args: exactly("NAME"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			g, err := c.Groups().Add(ctx, client.AddGroup{Name: args[0]})
			if err != nil {
				return err
			}
			t.tell("group %s has number %d", g.Name, g.ID)
			return t.program(g, strconv.Itoa(g.ID))
		}),
	}
	var grants []string
	change := &cobra.Command{
		Use: "change GROUP", Short: "change what members of a group may", Args: exactly("GROUP"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			g, err := c.Groups().Change(ctx, args[0], client.ChangeGroup{Grants: &grants})
			if err != nil {
				return err
			}
			return t.show(g, groupTable([]client.Group{g}))
		}),
	}
	change.Flags().StringSliceVar(&grants, "grant", nil, "all `grants`: host (may run commands on the server's own host)")
	return group("group", "groups, which are the projects", add, change, ls, show,
		removing(t, "group", func(ctx context.Context, c *client.Client, ref string) error { return c.Groups().Remove(ctx, ref) }))
}

func groupTable(list []client.Group) *table {
	b := &table{head: []string{"ID", "NAME", "MEMBERS", "GRANTS"}}
	for _, g := range list {
		b.add(strconv.Itoa(g.ID), g.Name, orDash(names(g.Members)), orDash(strings.Join(g.Grants, ",")))
	}
	return b
}
