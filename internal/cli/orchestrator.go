package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/orchestrator"
	"github.com/troupe-dev/troupe/orchestrator/declared"
)

func newOrchestratorCommand(t *terminal) *cobra.Command {
	return group("orchestrator", "serve a service orchestrator that needs no program", newOrchestratorRunCommand(t), newOrchestratorCheckCommand(t))
}

func newOrchestratorRunCommand(t *terminal) *cobra.Command {
	var verify bool
	listen, o := orchestrator.Surroundings()
	cmd := &cobra.Command{
		Use: "run FILE", Short: "serve an orchestrator that a file declares, over OCCI", Args: exactly("FILE"),
		Long: "FILE is an orchestrator.yaml, or the folder of a service bundle that has one. The identity service is that of the environment\n" +
			"variable DESIGN_URI. docs/orchestrators.md tells what can be in FILE, and how to speak to what is served.",
		Example: "  DESIGN_URI=http://127.0.0.1:7070/keystone/v3 troupe orchestrator run orchestrator.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := openDeclaration(args[0])
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			o.Log = slog.New(slog.NewTextHandler(t.err, nil))
			if verify {
				o.Verify = func(ctx context.Context, token, tenant string) (bool, error) {
					return orchestrator.NewCloud(orchestrator.CloudOptions{}).Verify(ctx, token, tenant)
				}
			}
			return orchestrator.Serve(ctx, listen, d.New, o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&listen, "listen", listen, "`address` to listen at")
	f.StringVar(&o.State, "state", o.State, "`file` that keeps the service through restarts; without one it is forgotten at the end")
	f.BoolVar(&verify, "verify", false, "ask the identity service whether tokens are good; without it every token is, as with Hurtle's own")
	return cmd
}

func newOrchestratorCheckCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "say what is wrong in an orchestrator.yaml", Args: exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := openDeclaration(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(t.out, "%s is good: %s\n", args[0], d)
			return nil
		},
	}
}

// openDeclaration reads a declaration: a file, or a bundle's.
func openDeclaration(name string) (*declared.Declaration, error) {
	open := declared.OpenFile
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		open = declared.Open
	}
	d, err := open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usageError("%w", err)
	case err != nil:
		return nil, withCode(exitInvalid, err)
	}
	return d, nil
}
