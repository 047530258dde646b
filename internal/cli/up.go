package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
)

// wishOptions say how a file becomes a wish.
type wishOptions struct {
	sourceOptions
	name string
}

func (o *wishOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.name, "name", "", "`name` of the service (default: the file's)")
	o.sourceOptions.addFlags(f)
}

type upOptions struct {
	wishOptions
	waitOptions
	permissions string
	alias       string
}

func newUpCommand(t *terminal) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up FILE",
		Short: "deploy a service, or change it to what the file says",
		Long: "Deploy the service that a file describes. A service of that name which runs already is changed to what the file\n" +
			"says, role by role. FILE is native YAML or JSON, a OneFlow template in JSON, an infrastructure description of\n" +
			"Occopus, whose node types `troupe machine add` has stored, or a Heat template; - is standard input.",
		Example: "  troupe up shop.yaml --set VERSION=1.11\n  troupe up stack.yaml -e site.yaml --driver docker",
		Args:    exactly("FILE"),
		RunE:    calling(t, func(ctx context.Context, c *client.Client, args []string) error { return runUp(ctx, t, c, &o, args[0]) }),
	}
	o.wishOptions.addFlags(cmd.Flags())
	o.waitOptions.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&o.alias, "alias", "", "an `id` of your own for a new service, such as a UUID, to find it by")
	cmd.Flags().StringVar(&o.permissions, "permissions", "", "three octal `digits` for owner, group and others of a new service (default 600)")
	return cmd
}

// A wish is a file, and the service of that name if there is one.
type wish struct {
	document *document
	name     string
	inputs   map[string]string
	service  *client.Service // nil: there is none
	ended    []string        // services of that name of which the record alone is left
}

// readWish reads a file and finds out whether its service exists.
func readWish(ctx context.Context, t *terminal, c *client.Client, o *wishOptions, file string) (*wish, error) {
	d, err := o.readService(t, file)
	if err != nil {
		return nil, err
	}
	inputs, err := o.inputs()
	if err != nil {
		return nil, err
	}
	w := &wish{document: d, name: o.name, inputs: inputs}
	if w.name == "" {
		w.name = d.Name
	}
	if w.name == "" {
		return nil, withCode(exitInvalid, fmt.Errorf("%s: the service has no name; give --name", file))
	}
	me, err := c.Me(ctx)
	if err != nil {
		return nil, err
	}
	for s, err := range c.Services().List(ctx, client.ServiceFilter{Name: w.name, Project: client.ID(uint64(me.Group.ID))}) {
		switch {
		case err != nil:
			return nil, err
		case s.State == "DONE":
			w.ended = append(w.ended, s.Ref())
		case w.service != nil:
			return nil, withCode(exitRefused, fmt.Errorf("several services are named %s (%d, %d); change one with `troupe update ID FILE`, or give --name", w.name, w.service.ID, s.ID))
		default:
			w.service = &s
		}
	}
	return w, nil
}

func (w *wish) create() client.CreateService {
	return client.CreateService{Document: w.document.Document, Name: w.name, Inputs: w.inputs}
}

func (w *wish) update() client.UpdateService {
	return client.UpdateService{Document: w.document.Document, Inputs: w.inputs}
}

func runUp(ctx context.Context, t *terminal, c *client.Client, o *upOptions, file string) error {
	w, err := readWish(ctx, t, c, &o.wishOptions, file)
	if err != nil {
		return err
	}
	if w.service == nil {
		return deploy(ctx, t, c, o, w)
	}
	ref := w.service.Ref()
	if w.service.Leaving {
		return withCode(exitRefused, fmt.Errorf("service %s (%s) is being removed; wait for its end, or give --name", w.name, ref))
	}
	u := w.update()
	plan, err := c.Services().Plan(ctx, ref, client.Command{Update: &u})
	if err != nil {
		return err
	}
	revision, err := c.Services().Update(ctx, ref, u)
	if err != nil {
		return err
	}
	if len(plan.Steps) == 0 {
		t.tell("service %s (%s) needs no new machines", w.name, ref)
	} else {
		t.tell("service %s (%s) is being changed", w.name, ref)
	}
	o.before = w.service.Revision
	return t.outcome(ctx, c, ref, revision, &o.waitOptions)
}

func deploy(ctx context.Context, t *terminal, c *client.Client, o *upOptions, w *wish) error {
	for _, ref := range w.ended { // they would make the name ambiguous
		if _, err := c.Services().Remove(ctx, ref, client.Undeploy{}); err != nil && !client.IsNotFound(err) {
			return fmt.Errorf("remove the record of the service that has ended: %w", err)
		}
	}
	n := w.create()
	n.Permissions, n.Alias = o.permissions, o.alias
	s, err := c.Services().Create(ctx, n)
	if err != nil {
		return err
	}
	t.tell("service %s has number %s", s.Name, s.Ref())
	good := []string{"RUNNING", "COOLDOWN", "HOLD"}
	o.pass = s.Mode == "pass"
	return t.outcome(ctx, c, s.Ref(), 0, &o.waitOptions, good...)
}
