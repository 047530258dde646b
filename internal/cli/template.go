package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newTemplateCommand(t *terminal) *cobra.Command {
	return group("template", "stored descriptions of services",
		newTemplateAddCommand(t), newTemplateLsCommand(t), newTemplateShowCommand(t), newTemplateUpCommand(t),
		removing(t, "template", func(ctx context.Context, c *client.Client, ref string) error {
			id, err := templateID(ctx, c, ref)
			if err != nil {
				return err
			}
			return c.Templates().Remove(ctx, id)
		}))
}

// templateID finds a template by number, or by a name that only one bears.
func templateID(ctx context.Context, c *client.Client, ref string) (uint64, error) {
	if id, err := strconv.ParseUint(ref, 10, 64); err == nil {
		return id, nil
	}
	list, err := c.Templates().List(ctx, "")
	if err != nil {
		return 0, err
	}
	var found []uint64
	for _, x := range list {
		if x.Name == ref {
			found = append(found, x.ID)
		}
	}
	switch len(found) {
	case 0:
		return 0, withCode(exitNotFound, fmt.Errorf("no template %q; see `troupe template ls`", ref))
	case 1:
		return found[0], nil
	}
	return 0, withCode(exitRefused, fmt.Errorf("several templates are named %q: %v; use the number", ref, found))
}

func newTemplateAddCommand(t *terminal) *cobra.Command {
	var name, permissions string
	cmd := &cobra.Command{
		Use: "add FILE", Short: "store a template", Args: exactly("FILE"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			d, err := t.readService(args[0])
			if err != nil {
				return err
			}
			x, err := c.Templates().Add(ctx, client.PutTemplate{Document: d.Document, Name: cmp.Or(name, d.Name), Permissions: permissions})
			if err != nil {
				return err
			}
			t.tell("template %s has number %d", x.Name, x.ID)
			return t.program(x, client.ID(x.ID))
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "`name` (default: the file's)")
	cmd.Flags().StringVar(&permissions, "permissions", "", "three octal `digits` for owner, group and others")
	return cmd
}

func newTemplateLsCommand(t *terminal) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "ls", Short: "list templates", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Templates().List(ctx, format)
			if err != nil {
				return err
			}
			b := &table{head: []string{"ID", "NAME", "FORMAT", "OWNER", "GROUP", "PERMISSIONS", "REGISTERED"}}
			for _, x := range list {
				b.add(client.ID(x.ID), x.Name, x.Format, x.Owner.Name, x.Group.Name, x.Permissions, x.Registered.Local().Format("2006-01-02 15:04"))
			}
			return t.show(list, b)
		}),
	}
	cmd.Flags().Var(choice{&format, []string{"native", "oneflow", "occopus", "hot"}}, "format", "only templates of this format")
	return cmd
}

func newTemplateShowCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "show TEMPLATE", Short: "print a template", Args: exactly("TEMPLATE"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			id, err := templateID(ctx, c, args[0])
			if err != nil {
				return err
			}
			x, err := c.Templates().Get(ctx, id)
			if err != nil {
				return err
			}
			return t.source(x, x.Source)
		}),
	}
}

func newTemplateUpCommand(t *terminal) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use: "up TEMPLATE", Short: "deploy a new service from a template", Args: exactly("TEMPLATE"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			id, err := templateID(ctx, c, args[0])
			if err != nil {
				return err
			}
			inputs, err := o.inputs()
			if err != nil {
				return err
			}
			with := client.Document{Driver: o.driver, Account: o.account, Simulate: o.simulate}
			if with.Environments, err = t.readTexts(o.environments); err != nil {
				return err
			}
			s, err := c.Services().Create(ctx, client.CreateService{Document: with, Template: id, Name: o.name, Inputs: inputs, Permissions: o.permissions})
			if err != nil {
				return err
			}
			t.tell("service %s has number %s", s.Name, s.Ref())
			return t.outcome(ctx, c, s.Ref(), 0, &o.waitOptions, "RUNNING", "COOLDOWN", "HOLD")
		}),
	}
	o.wishOptions.addFlags(cmd.Flags())
	o.waitOptions.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&o.permissions, "permissions", "", "three octal `digits` for owner, group and others (default 600)")
	return cmd
}

// program prints an object for programs; people have been told already.
func (t *terminal) program(value any, name string) error {
	if t.output == "table" || t.output == "wide" {
		return nil
	}
	return t.show(value, &table{rows: [][]string{{name}}})
}

// source prints the text of an object for people, and the object itself for programs.
func (t *terminal) source(value any, text string) error {
	if t.output == "json" || t.output == "yaml" {
		return t.show(value, nil)
	}
	fmt.Fprint(t.out, text)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		fmt.Fprintln(t.out)
	}
	return nil
}
