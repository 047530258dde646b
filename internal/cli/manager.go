package cli

import (
	"context"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newManagerCommand(t *terminal) *cobra.Command {
	ls := &cobra.Command{
		Use: "ls [MANAGER]", Short: "list service managers, or the instances of one", Args: atMost(1),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			if len(args) == 1 {
				return t.managerInstances(ctx, c, args[0])
			}
			list, err := c.Managers().List(ctx)
			if err != nil {
				return err
			}
			b := &table{head: []string{"TERM", "TYPE", "PROGRAM", "NEEDS", "INSTANCES"}}
			for _, m := range list {
				b.add(m.Term, m.Type, m.Program, strings.Join(m.Needs, ","), strconv.Itoa(m.Instances))
			}
			return t.show(list, b)
		}),
	}
	show := &cobra.Command{
		Use: "show MANAGER", Short: "print the manifest of a service manager", Args: exactly("MANAGER"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			m, err := c.Managers().Get(ctx, args[0])
			if err != nil {
				return err
			}
			return t.source(m, m.Manifest)
		}),
	}
	return group("manager", "Hurtle's service managers, and the instances of their services", newManagerAddCommand(t), ls, show,
		removing(t, "manager", func(ctx context.Context, c *client.Client, term string) error { return c.Managers().Remove(ctx, term) }))
}

func (t *terminal) managerInstances(ctx context.Context, c *client.Client, term string) error {
	list, err := c.Managers().Instances(ctx, term)
	if err != nil {
		return err
	}
	b := &table{head: []string{"ID", "PROJECT", "STATE", "FOR", "STACK", "WAITS FOR"}}
	for _, i := range list {
		why := i.Pending
		if i.Message != "" {
			why = strings.TrimPrefix(why+": "+i.Message, ": ")
		}
		b.add(i.ID, i.Project.Name, t.paintState(i.State), since(i.Since), i.Attributes["occi.mcn.stack.state"], oneLine(why))
	}
	return t.show(list, b)
}

// managerOptions are the flags of `troupe manager add`.
type managerOptions struct {
	client.ManagerOptions
	parameters, passwordFile, config string
}

func newManagerAddCommand(t *terminal) *cobra.Command {
	var o managerOptions
	cmd := &cobra.Command{
		Use: "add [MANIFEST]", Short: "add a service manager, or change the one of its term", Args: atMost(1),
		Long: "Add a service manager of Hurtle's, or change the one of its manifest's term. Its instances are made by orchestrators, each a program\n" +
			"that the Cloud Controller starts from a bundle (a folder or an archive on the server's host, with wsgi/application), from a machine\n" +
			"definition, or from an image of containers. --config takes over the configuration file of an original service manager.",
		Example: "  troupe manager add service_manifest.json --bundle /srv/webshop\n" +
			"  troupe manager add service_manifest.json --program acme/webshop-so --params service_params.json\n  troupe manager add --config sm.cfg",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			p, err := t.putManager(&o, args)
			if err != nil {
				return err
			}
			m, err := c.Managers().Put(ctx, p)
			if err != nil {
				return err
			}
			t.tell("service manager %s makes %s", m.Term, m.Type)
			return t.program(m, m.Term)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "`file` with the configuration of an original service manager; flags override it")
	f.StringVar(&o.Bundle, "bundle", "", "folder or archive (.tar.gz) on the server's host with the orchestrator's program, by its whole `path`")
	f.StringVar(&o.Program, "program", "", "`name` of a machine definition, or an image of containers, to start orchestrators from instead")
	f.StringVar(&o.parameters, "params", "", "`file` with provider parameters (service_params.json)")
	f.StringArrayVar(&o.Environment, "env", nil, "more of the program's environment, `NAME=VALUE`; repeatable")
	f.StringVar(&o.CloudURL, "cloud", "", "`URL` of a Cloud Controller that holds the programs, instead of this server's own")
	f.StringVar(&o.CloudUser, "cloud-user", "", "`user` there")
	f.StringVar(&o.passwordFile, "cloud-password-file", "", "`file` with that user's password")
	f.BoolVar(&o.Lazy, "lazy-dependencies", false, "let it be there while services that it needs have no manager")
	f.BoolVar(&o.Strict, "strict-attributes", false, "refuse clients that set immutable attributes")
	f.BoolVar(&o.StaleReads, "stale-reads", false, "show what was known where an orchestrator does not answer")
	f.StringVar(&o.Wait, "wait", "", "`time` before a call is repeated that did not arrive; each time twice as long (default 100ms)")
	f.IntVar(&o.Attempts, "attempts", 0, "`times` that such a call is made (default 25)")
	f.StringVar(&o.Poll, "poll", "", "`time` after which to look again at what is not ready; each time half as long again (default 10ms)")
	f.StringVar(&o.MaxPoll, "max-poll", "", "the longest `time` between two looks (default 1s)")
	f.StringVar(&o.Start, "start", "", "`time` that an orchestrator's program has to answer (default 10m)")
	f.StringVar(&o.Build, "build", "", "`time` that a stack has to be complete (default 1h)")
	return cmd
}

// putManager reads the files of a manager.
func (t *terminal) putManager(o *managerOptions, args []string) (p client.PutManager, err error) {
	manifest := ""
	if len(args) == 1 {
		manifest = args[0]
	}
	if o.config != "" {
		if manifest, err = o.takeOver(t, manifest, &p); err != nil {
			return p, err
		}
	}
	p.ManagerOptions = o.ManagerOptions
	switch {
	case manifest == "":
		return p, usageError("name the manifest, or a configuration that does: --config")
	case p.Bundle != "" && p.Program != "":
		return p, usageError("--bundle and --program exclude each other")
	}
	text, err := t.readFile(manifest)
	if err != nil {
		return p, err
	}
	p.Manifest, p.File = string(text), shownName(manifest)
	if o.parameters != "" {
		if text, err = t.readFile(o.parameters); err != nil {
			return p, err
		}
		p.Parameters, p.ParametersFile = string(text), shownName(o.parameters)
	}
	if o.passwordFile != "" {
		if p.CloudPassword, err = firstLine(o.passwordFile); err != nil {
			return p, err
		}
	}
	return p, nil
}

// firstLine reads a secret.
func firstLine(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}
