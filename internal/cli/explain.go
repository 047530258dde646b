package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newExplainCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "explain SERVICE",
		Short: "why a service is in its state, what it waits for, what comes next",
		Args:  exactly("SERVICE"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			return runExplain(ctx, t, c, args[0])
		}),
	}
}

func runExplain(ctx context.Context, t *terminal, c *client.Client, ref string) error {
	e, err := c.Services().Explain(ctx, ref)
	if err != nil {
		return err
	}
	if t.output != "table" && t.output != "wide" {
		return t.show(e, &table{rows: [][]string{{e.State}}})
	}
	t.explain(ref, e)
	return nil
}

// explainPolicies tells what the policies of a role see and did.
func (t *terminal) explainPolicies(r *client.RoleExplanation) {
	for _, p := range r.Policies {
		fmt.Fprintf(t.out, "    %s", oneLine(p.Policy))
		if p.Value != "" {
			fmt.Fprintf(t.out, ": %s", oneLine(p.Value))
		}
		if p.Refused != "" {
			fmt.Fprintf(t.out, "; not followed: %s", t.paint(yellow, oneLine(p.Refused)))
		}
		fmt.Fprintln(t.out)
	}
	if d := r.Decision; d != nil {
		fmt.Fprintf(t.out, "    %s ago %s scaled it from %d to %d: %s\n", since(d.Time), oneLine(d.Policy), d.From, d.To, oneLine(d.Because))
	}
}

// explain prints an explanation for people.
func (t *terminal) explain(ref string, e client.Explanation) {
	fmt.Fprintf(t.out, "%s is %s since %s: %s\n", ref, t.paintState(e.State), since(e.Since), oneLine(e.Why))
	for _, r := range e.Roles {
		var phases []string
		for _, p := range slices.Sorted(maps.Keys(r.Phases)) {
			phases = append(phases, fmt.Sprintf("%d %s", r.Phases[p], p))
		}
		fmt.Fprintf(t.out, "  %s: %s, wants %d, has %s", r.Name, t.paintState(r.State), r.Cardinality, orDash(strings.Join(phases, ", ")))
		if r.Why != "" {
			fmt.Fprintf(t.out, ": %s", oneLine(r.Why))
		}
		fmt.Fprintln(t.out)
		t.explainPolicies(&r)
		for _, x := range r.Implementations {
			fmt.Fprintf(t.out, "    %s makes %d", oneLine(x.Name), x.Instances)
			if x.Why != "" {
				fmt.Fprintf(t.out, "; %s", t.paint(yellow, oneLine(x.Why)))
			}
			fmt.Fprintln(t.out)
		}
		for _, bad := range r.Bad {
			fmt.Fprintf(t.out, "    %s\n", t.paint(red, oneLine(bad)))
		}
	}
	t.links(e.Services, e.NeededBy)
	section := func(title string, lines []string) {
		for i, line := range lines {
			if i == 0 {
				fmt.Fprintln(t.out, title)
			}
			fmt.Fprintf(t.out, "  %s\n", oneLine(line))
		}
	}
	section("It waits for:", e.Waits)
	section("Next:", e.Next)
	section("You can:", e.Advice)
	story := e.Story
	if n := len(story); n > 8 && t.output != "wide" {
		story = story[n-8:]
	}
	var lines []string
	for _, x := range story {
		lines = append(lines, x.Time.Local().Format("15:04:05.000 ")+t.eventLine(x))
	}
	for i, line := range lines {
		if i == 0 {
			fmt.Fprintln(t.out, "What happened last:")
		}
		fmt.Fprintf(t.out, "  %s\n", line)
	}
}
