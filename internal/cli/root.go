// Package cli is the command line: a file a command. Commands speak to a server through the public
// client alone; only `server`, `restore` and the local checks of files do more.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A terminal is what a command reads from and writes to.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	live     bool // out is a terminal: progress may be redrawn
	colour   bool
	output   string // of -o
	server   serverFlags
}

// Main runs the command line of this process and returns its exit code.
func Main() int {
	t := &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
	t.live = term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb"
	t.colour = t.live && os.Getenv("NO_COLOR") == ""
	if name, ok := occopusProgram(os.Args[0]); ok {
		return runOccopus(context.Background(), t, name, os.Args[1:])
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// Once it was told to end, a second signal ends it at once.
	defer context.AfterFunc(ctx, stop)()
	return run(ctx, t, os.Args[1:])
}

// run executes one command line.
func run(ctx context.Context, t *terminal, args []string) int {
	root := newRootCommand(t)
	root.SetArgs(shieldNumbers(args))
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	err := root.ExecuteContext(ctx)
	code := exitCode(err)
	if err != nil && code != exitInterrupted {
		if text := err.Error(); text != "" && !isSilent(err) {
			fmt.Fprintln(t.err, t.paint(red, "troupe: ")+explainError(err))
		}
	}
	return code
}

func isSilent(err error) bool {
	_, ok := err.(silent)
	return ok
}

func newRootCommand(t *terminal) *cobra.Command {
	root := &cobra.Command{
		Use:   "troupe",
		Short: "services made of many machines: deploy, heal, scale, update, remove",
		Long: "Troupe deploys, heals, scales, updates and removes services that are made of many machines:\n" +
			"processes, containers, virtual machines. Try `troupe demo`.",
		SilenceUsage: true, SilenceErrors: true, TraverseChildren: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError("no command %q%s", args[0], commandHint(cmd, args[0]))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError("%w; see `%s --help`", err, cmd.CommandPath())
	})
	root.PersistentFlags().SortFlags = false
	t.server.add(root.PersistentFlags())
	t.output = "table"
	root.PersistentFlags().VarP(choice{&t.output, []string{"table", "wide", "json", "yaml", "name"}}, "output", "o", "how results are shown")

	groups := []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"start", "To begin with:", []*cobra.Command{newDemoCommand(t), newServerCommand(t), newLoginCommand(t)}},
		{"services", "Services:", []*cobra.Command{
			newUpCommand(t), newPlanCommand(t), newPsCommand(t), newScaleCommand(t), newUpdateCommand(t), newRecoverCommand(t),
			newReleaseCommand(t), newAttachCommand(t), newDetachCommand(t), newActCommand(t), newDownCommand(t), newRmCommand(t), newDataCommand(t)}},
		{"look", "What happens:", []*cobra.Command{newExplainCommand(t), newEventsCommand(t), newLogsCommand(t), newExecCommand(t)}},
		{"react", "Metrics and alarms:", []*cobra.Command{newAlarmCommand(t), newMetricCommand(t), newNotificationCommand(t)}},
		{"objects", "Templates, machines, people:", []*cobra.Command{
			newTemplateCommand(t), newMachineCommand(t), newManagerCommand(t), newUserCommand(t), newGroupCommand(t), newQuotaCommand(t), newTokenCommand(t),
			newPasswdCommand(t), newDriverCommand(t)}},
		{"hurtle", "Hurtle:", []*cobra.Command{newOrchestratorCommand(t)}},
		{"care", "Looking after a server:", []*cobra.Command{newBackupCommand(t), newRestoreCommand(t), newConfigCommand(t)}},
		{"machine", "Inside a machine:", []*cobra.Command{newAgentCommand(t)}},
		{"other", "Other:", []*cobra.Command{newConvertCommand(t), newOccopusCommand(t), newVersionCommand(t), newExitCodesTopic()}},
	}
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(newDemoNodeCommand(t))
	complete(t, root)
	root.SetHelpCommandGroupID("other")
	root.SetCompletionCommandGroupID("other")
	return root
}

func commandHint(cmd *cobra.Command, word string) string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	if hint := nearest.Hint(word, names); hint != "" {
		return hint
	}
	return "; see `" + cmd.CommandPath() + " --help`"
}

// needsCommand is for commands that only group others.
func needsCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return usageError("%s: no command %q%s", cmd.CommandPath(), args[0], commandHint(cmd, args[0]))
}

// Version is that of a release; the linker sets it.
var Version string

func version() string {
	if Version != "" {
		return Version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	return v
}

func newVersionCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: atMost(0),
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(t.out, "troupe "+version())
			return nil
		},
	}
}
