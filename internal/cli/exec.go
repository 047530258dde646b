package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

type execOptions struct {
	env   []string
	stdin bool
}

// maxStdin is the most that exec sends along.
const maxStdin = 4 << 20

func newExecCommand(t *terminal) *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use:     "exec SERVICE/ROLE/N -- COMMAND [ARG...]",
		Short:   "run a command inside an instance",
		Long:    "Run a command inside an instance. troupe ends with the code of the command.",
		Example: "  troupe exec shop/db/0 -- sh -c 'ls -l'",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usageError("exec: give SERVICE/ROLE/N, then -- and the command")
			}
			return nil
		},
		RunE: atInstance(t, func(ctx context.Context, c *client.Client, service string, serial uint32, args []string) error {
			if args[0] == "--" && len(args) > 1 {
				args = args[1:]
			}
			return runExec(ctx, t, c, &o, service, serial, args)
		}),
	}
	cmd.Flags().StringArrayVarP(&o.env, "env", "e", nil, "`KEY=VALUE` for the command; may be repeated")
	cmd.Flags().BoolVarP(&o.stdin, "stdin", "i", false, "give the command what comes in on standard input, up to 4 MiB")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func runExec(ctx context.Context, t *terminal, c *client.Client, o *execOptions, service string, serial uint32, command []string) error {
	env, err := assignments("--env", o.env)
	if err != nil {
		return err
	}
	x := client.Exec{Command: command, Env: env, Stdout: t.out, Stderr: t.err}
	if o.stdin {
		if x.Stdin, err = io.ReadAll(io.LimitReader(t.in, maxStdin+1)); err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		if len(x.Stdin) > maxStdin {
			return usageError("exec: standard input is longer than 4 MiB")
		}
	}
	exit, err := c.Services().Exec(ctx, service, serial, x)
	if err != nil {
		return err
	}
	if exit != 0 {
		return silent(exit & 0xff)
	}
	return nil
}
