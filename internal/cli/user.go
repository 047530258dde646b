package cli

import (
	"bufio"
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newUserCommand(t *terminal) *cobra.Command {
	ls := &cobra.Command{
		Use: "ls", Short: "list users", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Users().List(ctx)
			if err != nil {
				return err
			}
			return t.show(list, userTable(list))
		}),
	}
	show := &cobra.Command{
		Use: "show USER", Short: "show a user", Args: exactly("USER"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			u, err := c.Users().Get(ctx, args[0])
			if err != nil {
				return err
			}
			return t.show(u, userTable([]client.User{u}))
		}),
	}
	return group("user", "who may log in", newUserAddCommand(t), newUserChangeCommand(t), ls, show,
		removing(t, "user", func(ctx context.Context, c *client.Client, ref string) error { return c.Users().Remove(ctx, ref) }))
}

func userTable(list []client.User) *table {
	b := &table{head: []string{"ID", "NAME", "GROUP", "GROUPS", "GRANTS", "STATE"}}
	for _, u := range list {
		state := "enabled"
		if u.Disabled {
			state = "disabled"
		}
		b.add(strconv.Itoa(u.ID), u.Name, u.Group.Name, names(u.Groups), orDash(strings.Join(u.Grants, ",")), state)
	}
	return b
}

func newUserAddCommand(t *terminal) *cobra.Command {
	var n client.AddUser
	var file string
	var noPassword bool
	cmd := &cobra.Command{
		Use: "add NAME", Short: "make a user", Args: exactly("NAME"),
		Long: "Make a user. The password is asked for, piped in, or read from the file of --password-file.",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) (err error) {
			n.Name = args[0]
			switch {
			case noPassword:
			case file != "":
				n.Password, err = readSecret(file)
			default:
				n.Password, err = t.newPassword(bufio.NewReader(t.in), n.Name)
			}
			if err != nil {
				return err
			}
			u, err := c.Users().Add(ctx, n)
			if err != nil {
				return err
			}
			t.tell("user %s has number %d", u.Name, u.ID)
			return t.program(u, strconv.Itoa(u.ID))
		}),
	}
	cmd.Flags().StringVar(&file, "password-file", "", "`file` with the user's password")
	cmd.Flags().BoolVar(&noPassword, "no-password", false, "for a user that has tokens only")
	cmd.Flags().StringVar(&n.Group, "group", "", "primary `group` (default users)")
	cmd.Flags().StringSliceVar(&n.Groups, "groups", nil, "further `groups`")
	cmd.Flags().StringSliceVar(&n.Grants, "grant", nil, "`grants`: host (may run commands on the server's own host)")
	return cmd
}

func newUserChangeCommand(t *terminal) *cobra.Command {
	var name, primary string
	var groups, grants []string
	var disable, enable bool
	cmd := &cobra.Command{
		Use: "change USER", Short: "change a user", Args: exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var w client.ChangeUser
			f := cmd.Flags()
			if f.Changed("name") {
				w.Name = &name
			}
			if f.Changed("group") {
				w.Group = &primary
			}
			if f.Changed("groups") {
				w.Groups = &groups
			}
			if f.Changed("grant") {
				w.Grants = &grants
			}
			if disable || enable {
				w.Disabled = &disable
			}
			return calling(t, func(ctx context.Context, c *client.Client, args []string) error {
				u, err := c.Users().Change(ctx, args[0], w)
				if err != nil {
					return err
				}
				return t.show(u, userTable([]client.User{u}))
			})(cmd, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "new `name`")
	f.StringVar(&primary, "group", "", "primary `group`")
	f.StringSliceVar(&groups, "groups", nil, "all `groups`")
	f.StringSliceVar(&grants, "grant", nil, "all `grants`")
	f.BoolVar(&disable, "disable", false, "refuse the user's logins")
	f.BoolVar(&enable, "enable", false, "allow them again")
	cmd.MarkFlagsMutuallyExclusive("disable", "enable")
	return cmd
}
