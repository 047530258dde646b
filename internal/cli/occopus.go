package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/internal/cli/occopus"
)

// occopusPrefix begins the names under which this program is one of Occopus' six.
const occopusPrefix = "occopus-"

// occopusProgram returns the program of Occopus that a command is called as.
func occopusProgram(command string) (name string, ok bool) {
	return strings.CutPrefix(filepath.Base(command), occopusPrefix)
}

// runOccopus runs a program of Occopus. However often it is told to end, it takes back what is half done first.
func runOccopus(ctx context.Context, t *terminal, name string, args []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return occopus.Run(ctx, name, args, occopus.Terminal{Out: t.out, Err: t.err, Connect: t.connect, Version: version(), Env: func(name string) string {
		if name == "TROUPE_URL" && t.server.url != "" {
			return t.server.url
		}
		return t.env(name)
	}})
}

func newOccopusCommand(t *terminal) *cobra.Command {
	var commands []*cobra.Command
	for _, p := range occopus.Programs() {
		commands = append(commands, &cobra.Command{
			Use: p.Name + " " + p.Use, Short: shortened(p.Help), DisableFlagParsing: true,
			RunE: func(cmd *cobra.Command, args []string) error {
				return silent(runOccopus(cmd.Context(), t, p.Name, args))
			},
		})
	}
	cmd := group("occopus", "the programs of Occopus, with their options and output", append(commands, newOccopusInstallCommand(t))...)
	cmd.Long = "The six programs of Occopus: build, destroy, maintain, scale, import and rest-service. They work on the server that TROUPE_URL\n" +
		"names, and without it on one of their own in ~/.occopus/troupe, which needs no starting. Each shows its options with -h.\n" +
		"Called as occopus-build and so on, this program is that one; install makes the links."
	return cmd
}

// shortened writes a sentence as the help of a command is written.
func shortened(sentence string) string {
	return strings.ToLower(sentence[:1]) + strings.TrimSuffix(sentence[1:], ".")
}

func newOccopusInstallCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "install DIR", Short: "link the programs of Occopus into a folder under their own names", Args: exactly("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			if err := os.MkdirAll(args[0], 0o777); err != nil {
				return err
			}
			for _, p := range occopus.Programs() {
				name := filepath.Join(args[0], occopusPrefix+p.Name)
				if err := link(self, name); err != nil {
					return err
				}
				t.tell("%s", name)
			}
			return nil
		},
	}
}

// link makes a symbolic link, unless it is there.
func link(to, name string) error {
	err := os.Symlink(to, name)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if at, err := os.Readlink(name); err == nil && at == to {
		return nil
	}
	return withCode(exitRefused, fmt.Errorf("%s is there already: remove it, or name another folder", name))
}
