package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

// group returns a command that holds others: `troupe user add`.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: needsCommand}
	cmd.AddCommand(commands...)
	return cmd
}

// calling returns a RunE that calls run with a client.
func calling(t *terminal, run func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := t.connect()
		if err != nil {
			return err
		}
		defer c.Close()
		return run(cmd.Context(), c, args)
	}
}

// changing returns a command that asks something of a service, or of a part of it, and waits for the outcome:
// one of the states given, RUNNING and COOLDOWN when none is.
func changing(t *terminal, use, short string, ask func(ctx context.Context, c *client.Client, at place) (revision int64, err error), good ...string) *cobra.Command {
	var o waitOptions
	cmd := &cobra.Command{
		Use: use, Short: short, Args: exactly("SERVICE"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			at, err := findPlace(ctx, c, args[0])
			if err != nil {
				return err
			}
			if at.instance != nil || at.role != "" && !strings.Contains(use, "/ROLE") {
				return usageError("%s: %s is only a part of a service; usage: troupe %s", strings.Fields(use)[0], args[0], use)
			}
			revision, err := ask(ctx, c, at)
			if err != nil {
				return err
			}
			return t.outcome(ctx, c, at.service, revision, &o, good...)
		}),
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// removing returns the rm command of a kind of object.
func removing(t *terminal, what string, remove func(ctx context.Context, c *client.Client, ref string) error) *cobra.Command {
	return &cobra.Command{
		Use: "rm " + strings.ToUpper(what), Short: "remove " + article(what) + " " + what, Args: exactly(strings.ToUpper(what)),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			if err := remove(ctx, c, args[0]); err != nil {
				return err
			}
			t.tell("%s %s is removed", what, args[0])
			return nil
		}),
	}
}

// article is the one that fits a word.
func article(word string) string {
	if strings.ContainsRune("aeio", rune(word[0])) { // not "a user"
		return "an"
	}
	return "a"
}

// names returns the names of users or groups.
func names(parties []client.Party) string {
	out := make([]string, len(parties))
	for i, p := range parties {
		out[i] = p.Name
	}
	return strings.Join(out, ",")
}
