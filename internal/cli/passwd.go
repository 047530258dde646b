package cli

import (
	"bufio"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

type passwdOptions struct{ newFile string }

func newPasswdCommand(t *terminal) *cobra.Command {
	var o passwdOptions
	cmd := &cobra.Command{
		Use:   "passwd [USER]",
		Short: "change a password, your own or as administrator anybody's",
		Args:  atMost(1),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			return runPasswd(ctx, t, c, &o, args)
		}),
	}
	cmd.Flags().StringVar(&o.newFile, "password-file", "", "`file` with the new password (default: it is asked for)")
	return cmd
}

func runPasswd(ctx context.Context, t *terminal, c *client.Client, o *passwdOptions, args []string) error {
	me, err := c.Me(ctx)
	if err != nil {
		return err
	}
	name := me.User.Name
	if len(args) == 1 {
		name = args[0]
	}
	lines := bufio.NewReader(t.in)
	old := ""
	if name == me.User.Name {
		if _, old, _ = t.password(); old == "" {
			if old, err = t.askSecret(lines, "Present password"); err != nil {
				return err
			}
		}
	}
	password := ""
	if o.newFile != "" {
		password, err = readSecret(o.newFile)
	} else {
		password, err = t.newPassword(lines, name)
	}
	if err != nil {
		return err
	}
	if err := c.Users().SetPassword(ctx, name, old, password); err != nil {
		return fmt.Errorf("change the password of %s: %w", name, err)
	}
	fmt.Fprintf(t.out, "the password of %s is changed\n", name)
	return nil
}

// newPassword asks for a new password, twice where a person types it.
func (t *terminal) newPassword(lines *bufio.Reader, user string) (string, error) {
	first, err := t.askSecret(lines, "New password of "+user)
	if err != nil || !t.interactive() {
		return first, err
	}
	second, err := t.askSecret(lines, "The same again")
	if err == nil && first != second {
		err = usageError("the two passwords differ; nothing was changed")
	}
	return first, err
}
