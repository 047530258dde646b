package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newPlanCommand(t *terminal) *cobra.Command {
	var o wishOptions
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "what up would change, and why",
		Args:  exactly("FILE"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			return runPlan(ctx, t, c, &o, args[0])
		}),
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func runPlan(ctx context.Context, t *terminal, c *client.Client, o *wishOptions, file string) error {
	w, err := readWish(ctx, t, c, o, file)
	if err != nil {
		return err
	}
	var plan client.Plan
	if w.service == nil {
		plan, err = c.Services().PlanCreate(ctx, w.create())
	} else {
		u := w.update()
		plan, err = c.Services().Plan(ctx, w.service.Ref(), client.Command{Update: &u})
	}
	if err != nil {
		return err
	}
	return t.showPlan(w.name, plan)
}

// subject is the part of the service that a step is about.
func subject(s *client.Step) string {
	switch {
	case s.Service != "":
		return "service " + s.Service
	case s.Resource != "":
		return "resource " + s.Resource
	}
	return s.Role
}

func (t *terminal) showPlan(name string, plan client.Plan) error {
	b := &table{head: []string{"WAVE", "DO", "COUNT", "ROLE", "INSTANCES", "WHY"}}
	for _, s := range plan.Steps {
		names := strings.Join(s.Instances, " ")
		if s.Count > len(s.Instances) && len(s.Instances) > 0 {
			names += " …"
		}
		b.add(strconv.Itoa(s.Wave), s.Do, strconv.Itoa(s.Count), orDash(subject(&s)), orDash(oneLine(names)), oneLine(s.Why))
	}
	if t.output == "table" || t.output == "wide" {
		for _, w := range plan.Warnings {
			fmt.Fprintln(t.err, "Warning:", oneLine(w))
		}
		if len(plan.Steps) == 0 {
			fmt.Fprintf(t.out, "nothing to do: service %s is as the file says\n", name)
			return nil
		}
		if err := t.show(plan, b); err != nil {
			return err
		}
		fmt.Fprintf(t.out, "then service %s is %s with %d instances\n", name, plan.State, plan.Total)
		return nil
	}
	return t.show(plan, b)
}
