package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newAlarmSilenceCommand(t *terminal) *cobra.Command {
	var project string
	rm := removing(t, "silence", func(ctx context.Context, c *client.Client, id string) error {
		return c.Alarms().Of(project).EndSilence(ctx, id)
	})
	rm.Short = "end a silence now; what it held back is made up for"
	return group("silence", "let the actions of alarms wait for a while", newSilenceAddCommand(t), newSilenceLsCommand(t), ofProject(rm, &project))
}

func newSilenceAddCommand(t *terminal) *cobra.Command {
	var project string
	var w client.NewSilence
	var match []string
	var span time.Duration
	cmd := &cobra.Command{
		Use: "add [SERVICE[/ROLE[/N]]]", Short: "begin a silence over alarms, now or later", Args: atMost(1),
		Long: "Alarms that are chosen change and show their states, but their notifications and other actions wait until the silence ends, and run\n" +
			"then if they still matter. All alarms of the project are chosen, or those about what is named, with what flags say.",
		Example: "  troupe alarm silence add shop/db --for 2h --why 'new disks'\n  troupe alarm silence add --alarm busy --dimension hostname=web01 --until '2030-01-05 04:00' --why backup",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			var err error
			if w.Match, err = assignments("--dimension", match); err != nil {
				return err
			}
			if len(args) == 1 {
				if err := choosePlace(ctx, c, args[0], &w); err != nil {
					return err
				}
			}
			switch {
			case w.Reason == "":
				return usageError("say why, for others: --why")
			case (span == 0) == w.To.IsZero():
				return usageError("say how long: --for a time, or --until one")
			case span > 0 && w.From.IsZero():
				w.To = time.Now().Add(span)
			case span > 0:
				w.To = w.From.Add(span)
			}
			s, err := c.Alarms().Of(project).Silence(ctx, w)
			if err != nil {
				return err
			}
			t.tell("%s: actions wait until %s; end it by `troupe alarm silence rm %s`", silenced(&s), stamp(s.To), s.ID)
			return t.program(s, s.ID)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&w.Name, "alarm", "", "only alarms of definitions of this `name`")
	f.StringArrayVar(&match, "dimension", nil, "only alarms with a series that has this dimension, `NAME=VALUE`; repeatable")
	f.Var(moment{&w.From}, "from", "when it begins (default now)")
	f.Var(moment{&w.To}, "until", "when it ends")
	f.Var(spanFlag{&span}, "for", "how long it lasts")
	f.StringVar(&w.Reason, "why", "", "`reason`, for others")
	return ofProject(cmd, &project)
}

// choosePlace restricts a silence to what SERVICE[/ROLE[/N]] names.
func choosePlace(ctx context.Context, c *client.Client, name string, w *client.NewSilence) error {
	p, err := findPlace(ctx, c, name)
	if err != nil {
		return err
	}
	s, err := c.Services().Get(ctx, p.service)
	if err != nil {
		return err
	}
	if w.Service, w.Role = s.ID, p.role; p.instance != nil {
		if w.Match == nil {
			w.Match = map[string]string{}
		}
		w.Match["instance"] = client.ID(uint64(p.instance.Serial))
	}
	return nil
}

// silenced says what a silence is over.
func silenced(s *client.Silence) string {
	var parts []string
	if s.Name != "" {
		parts = append(parts, "alarm "+s.Name)
	}
	if s.Service != 0 {
		parts = append(parts, strings.TrimSuffix("service "+client.ID(s.Service)+"/"+s.Role, "/"))
	}
	if len(s.Match) > 0 {
		parts = append(parts, dimensions(s.Match))
	}
	if parts == nil {
		return "all alarms"
	}
	return oneLine(strings.Join(parts, ", "))
}

func newSilenceLsCommand(t *terminal) *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "ls", Short: "silences that last or are to come", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Alarms().Of(project).Silences(ctx)
			if err != nil {
				return err
			}
			b := &table{head: []string{"ID", "OVER", "FROM", "UNTIL", "WHY", "BY"}, wide: 6}
			for i := range list {
				s := &list[i]
				b.add(s.ID, silenced(s), stamp(s.From), stamp(s.To), oneLine(s.Reason), s.By.Name)
			}
			return t.show(list, b)
		}),
	}
	return ofProject(cmd, &project)
}
