package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/nearest"
)

type psOptions struct {
	state, project, role string
	all                  bool
}

func newPsCommand(t *terminal) *cobra.Command {
	var o psOptions
	cmd := &cobra.Command{
		Use:   "ps [SERVICE]",
		Short: "services, or the roles and instances of one",
		Args:  atMost(1),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			o.state = strings.ToUpper(o.state)
			if o.state != "" && !slices.Contains(states(), o.state) {
				return usageError("--state %s: no such state%s", o.state, nearest.Hint(o.state, states()))
			}
			if len(args) == 0 {
				return psAll(ctx, t, c, &o)
			}
			return psOne(ctx, t, c, &o, args[0])
		}),
	}
	cmd.Flags().StringVar(&o.state, "state", "", "only services in this `state`")
	cmd.Flags().StringVar(&o.project, "project", "", "only services of this `group`")
	cmd.Flags().StringVar(&o.role, "role", "", "only instances of this `role`")
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "services that have ended too")
	return cmd
}

func psAll(ctx context.Context, t *terminal, c *client.Client, o *psOptions) error {
	services := []client.Service{}
	b := &table{head: []string{"ID", "NAME", "STATE", "SINCE", "ROLES", "PROJECT", "OWNER", "ALIAS", "REVISION", "REASON"}, wide: 5}
	filter := client.ServiceFilter{State: o.state, Project: o.project}
	for s, err := range c.Services().List(ctx, filter) {
		if err != nil {
			return err
		}
		if s.State == "DONE" && !o.all && o.state == "" {
			continue
		}
		services = append(services, s)
		b.add(s.Ref(), s.Name, s.State, since(s.Since), rolesLine(&s), s.Project, s.Owner.Name, orDash(s.Alias), strconv.Itoa(int(s.Revision)), orDash(oneLine(s.Reason)))
	}
	return t.show(services, b)
}

// serviceView is what `ps SERVICE` shows for programs.
type serviceView struct {
	client.Service
	Instances []client.Instance `json:"instances"`
}

func psOne(ctx context.Context, t *terminal, c *client.Client, o *psOptions, ref string) error {
	s, err := c.Services().Get(ctx, ref)
	if err != nil {
		return err
	}
	view := serviceView{Service: s, Instances: []client.Instance{}}
	for i, err := range c.Services().Instances(ctx, s.Ref(), client.InstanceFilter{Role: o.role}) {
		if err != nil {
			return err
		}
		view.Instances = append(view.Instances, i)
	}
	b := &table{head: []string{"INSTANCE", "PHASE", "HEALTH", "ADDRESS", "SINCE", "REASON", "SERIAL", "MACHINE", "MADE BY", "STATE", "REVISION", "FAILURES"}, wide: 6}
	for _, i := range view.Instances {
		b.add(i.Role+"/"+strconv.Itoa(int(i.Number)), i.Phase, i.Health, orDash(strings.Join(i.Addresses, ",")), since(i.Since), orDash(oneLine(i.Reason)),
			strconv.Itoa(int(i.Serial)), i.Machine, orDash(madeBy(&i)), i.State, strconv.Itoa(int(i.Revision)), strconv.Itoa(i.Failures))
	}
	if t.output == "table" || t.output == "wide" {
		t.heading(&s)
	}
	return t.show(view, b)
}

// madeBy names what an instance's machine is made with, and why where there was a choice.
func madeBy(i *client.Instance) string {
	if i.Choice == "" {
		return i.Implementation
	}
	return i.Implementation + " (" + i.Choice + ")"
}

// heading tells of a service and its roles, above its instances.
func (t *terminal) heading(s *client.Service) {
	fmt.Fprintf(t.out, "%s (%d) is %s since %s", s.Name, s.ID, t.paintState(s.State), since(s.Since))
	if s.Mode == "pass" {
		fmt.Fprint(t.out, ", managed for one pass")
	}
	if s.Reason != "" {
		fmt.Fprintf(t.out, ": %s", oneLine(s.Reason))
	}
	fmt.Fprintln(t.out)
	for _, r := range s.Roles {
		fmt.Fprintf(t.out, "  %s: %s, %d of %d", r.Name, t.paintState(r.State), r.Settled, r.Cardinality)
		if len(r.Parents) > 0 {
			fmt.Fprintf(t.out, ", needs %s", strings.Join(r.Parents, ", "))
		}
		if r.Reason != "" {
			fmt.Fprintf(t.out, ": %s", oneLine(r.Reason))
		}
		fmt.Fprintln(t.out)
	}
	t.resources(s.Resources)
	t.links(s.Services, s.NeededBy)
	for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
		fmt.Fprintf(t.out, "  %s = %s\n", name, oneLine(s.Outputs[name]))
	}
}

// links tells which services a service needs, and which need it.
func (t *terminal) links(needs []client.NeededService, neededBy []client.Consumer) {
	for _, x := range needs {
		fmt.Fprintf(t.out, "  needs service %s", x.Name)
		if x.Service != 0 {
			fmt.Fprintf(t.out, " (%s)", strings.TrimSpace(x.Title+" "+client.ID(x.Service)))
		}
		fmt.Fprintf(t.out, ": %s", x.Phase)
		if x.State != "" && x.Phase != "ready" {
			fmt.Fprintf(t.out, ", %s", t.paintState(x.State))
		}
		if x.Reason != "" && x.Phase != "ready" {
			fmt.Fprintf(t.out, ": %s", oneLine(x.Reason))
		}
		fmt.Fprintln(t.out)
	}
	for _, c := range neededBy {
		what := "needed by"
		if c.Owner {
			what = "made for"
		}
		fmt.Fprintf(t.out, "  %s service %s (%d)\n", what, c.Name, c.Service)
	}
}

// resources tells of the first resources of a service.
func (t *terminal) resources(all []client.Resource) {
	const shown = 20
	for n, x := range all {
		if n == shown {
			fmt.Fprintf(t.out, "  and %d more resources\n", len(all)-n)
			break
		}
		fmt.Fprintf(t.out, "  %s: %s, %s", x.Name, x.Kind, x.State)
		if x.Driver == "recorded" {
			fmt.Fprint(t.out, ", recorded")
		}
		if a := x.Outputs["address"]; a != "" {
			fmt.Fprintf(t.out, ", %s", a)
		}
		if x.Reason != "" {
			fmt.Fprintf(t.out, ": %s", oneLine(x.Reason))
		}
		fmt.Fprintln(t.out)
	}
}
