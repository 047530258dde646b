package cli

import (
	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/internal/agent/command"
)

// newAgentCommand is the agent, which is a program of its own too.
func newAgentCommand(t *terminal) *cobra.Command {
	return command.New(&command.Terminal{In: t.in, Out: t.out, Err: t.err, Env: t.env, URL: &t.server.url, CACert: &t.server.ca})
}
