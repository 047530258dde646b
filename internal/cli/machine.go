package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newMachineCommand(t *terminal) *cobra.Command {
	ls := &cobra.Command{
		Use: "ls", Short: "list machine definitions", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Machines().List(ctx)
			if err != nil {
				return err
			}
			b := &table{head: []string{"ID", "NAME", "DRIVERS", "OWNER", "GROUP", "PERMISSIONS"}}
			for _, m := range list {
				b.add(strconv.Itoa(m.ID), m.Name, strings.Join(m.Drivers, ","), m.Owner.Name, m.Group.Name, m.Permissions)
			}
			return t.show(list, b)
		}),
	}
	show := &cobra.Command{
		Use: "show MACHINE", Short: "print a machine definition", Args: exactly("MACHINE"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			m, err := c.Machines().Get(ctx, args[0])
			if err != nil {
				return err
			}
			return t.source(m, m.Source)
		}),
	}
	return group("machine", "machine definitions: what one instance is", newMachineAddCommand(t), ls, show,
		removing(t, "machine", func(ctx context.Context, c *client.Client, ref string) error { return c.Machines().Remove(ctx, ref) }))
}

func newMachineAddCommand(t *terminal) *cobra.Command {
	var permissions string
	cmd := &cobra.Command{
		Use: "add FILE", Short: "add a machine definition, or change the one of that name", Args: exactly("FILE"),
		Long: "Add a machine definition, or change the one of that name. FILE is native YAML or JSON, or has node definitions of\n" +
			"Occopus, which are stored with all that they import.",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			documents, err := t.readMachines(args[0])
			if err != nil {
				return err
			}
			for _, d := range documents {
				m, err := c.Machines().Put(ctx, client.PutMachine{Document: d, Permissions: permissions})
				if err != nil {
					return err
				}
				t.tell("machine definition %s has number %d", m.Name, m.ID)
				if err := t.program(m, strconv.Itoa(m.ID)); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&permissions, "permissions", "", "three octal `digits` for owner, group and others (default 640)")
	return cmd
}
