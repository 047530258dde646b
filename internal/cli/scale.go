package cli

import (
	"context"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

type scaleOptions struct {
	waitOptions
	force  bool
	remove []string
}

func newScaleCommand(t *terminal) *cobra.Command {
	var o scaleOptions
	cmd := &cobra.Command{
		Use:   "scale SERVICE/ROLE N|+N|-N|+P%|-P%",
		Short: "change how many instances a role has, or remove chosen ones",
		Example: "  troupe scale shop/app 5\n  troupe scale shop/app +50%\n" +
			"  troupe scale shop/app -1\n  troupe scale shop/app --remove 3 --remove 10.0.0.7",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(o.remove) > 0 {
				return exactly("SERVICE/ROLE")(cmd, args)
			}
			return exactly("SERVICE/ROLE", "N")(cmd, args)
		},
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			return runScale(ctx, t, c, &o, args)
		}),
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().StringArrayVar(&o.remove, "remove", nil, "in place of N: remove this `instance`, and have one less; its number, name, id or any of its addresses")
	cmd.Flags().BoolVar(&o.force, "force", false, "outside the bounds of the role too")
	return cmd
}

var cardinality = regexp.MustCompile(`^([+-]?[0-9]{1,9}|[+-][0-9]{1,6}%)$`)

var decrease = regexp.MustCompile(`^-[0-9]+%?$`)

// negative is a number that `troupe metric push` takes.
var negative = regexp.MustCompile(`^-([0-9]|\.[0-9]|[Ii]nf$)`)

// shieldNumbers moves the -N of `troupe scale` and `troupe metric push` behind --, or it would be read as a flag. The value of --time is no such N.
func shieldNumbers(args []string) []string {
	at, number := slices.Index(args, "scale"), decrease
	if push := slices.Index(args, "push"); push > 0 && args[push-1] == "metric" {
		at, number = push, negative
	}
	if at < 0 || slices.Contains(args, "--") {
		return args
	}
	for i := at + 1; i < len(args); i++ {
		if number.MatchString(args[i]) && args[i-1] != "--time" {
			return append(slices.Concat(args[:i], args[i+1:]), "--", args[i])
		}
	}
	return args
}

func runScale(ctx context.Context, t *terminal, c *client.Client, o *scaleOptions, args []string) error {
	service, role, err := splitRole(args[0])
	if err != nil {
		return err
	}
	wish := client.Scale{Role: role, Remove: o.remove, Force: o.force}
	if len(o.remove) == 0 {
		if !cardinality.MatchString(args[1]) {
			return usageError("%q: give a number, or a change such as +2, -1, +50%%, -10%%", args[1])
		}
		wish.Cardinality = client.Cardinality(args[1])
	}
	revision, err := c.Services().Scale(ctx, service, wish)
	if err != nil {
		return err
	}
	return t.outcome(ctx, c, service, revision, &o.waitOptions)
}
