package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/internal/agent"
)

type agentOptions struct {
	config, tokenFile, logLevel string
	interval                    time.Duration
	once, dryRun                bool
}

func newAgentCommand(t *terminal) *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use: "agent", Short: "report on this machine: run inside machines",
		Long: "troupe agent reports on the machine it runs in, under the names of Monasca's agent, to a Troupe server\n" +
			"(--url and --token-file) or to a Monasca. Flags go before the environment, and this before the file of --config.\n" +
			"`troupe agent setup` makes the file and a service of systemd.\n\n" +
			"    troupe agent --once                                         # what it would report\n" +
			"    TROUPE_TOKEN=… troupe agent --url https://troupe:7070 --interval 1s",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("%s: no command %q%s", cmd.CommandPath(), args[0], commandHint(cmd, args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return runAgent(cmd.Context(), t, &o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.config, "config", "", "configuration `file` (TROUPE_AGENT_CONFIG)")
	f.DurationVar(&o.interval, "interval", 0, "time between reports, 1s to 1h (default 15s)")
	f.StringVar(&o.tokenFile, "token-file", "", "`file` with the token for the server (TROUPE_TOKEN_FILE, or the token itself in TROUPE_TOKEN)")
	f.BoolVar(&o.once, "once", false, "print one report as JSON, send nothing, and end")
	f.BoolVar(&o.dryRun, "dry-run", false, "print reports as JSON instead of sending them")
	o.logLevel = "info"
	f.Var(choice{&o.logLevel, []string{"debug", "info", "warn", "error"}}, "log-level", "least important messages that are logged")
	cmd.AddCommand(newAgentSetupCommand(t))
	return cmd
}

func runAgent(ctx context.Context, t *terminal, o *agentOptions) error {
	config, err := o.read(t)
	if err != nil {
		return withCode(exitInvalid, fmt.Errorf("configuration of the agent: %w", err))
	}
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(o.logLevel)) // it is one of four words
	printing := o.once || o.dryRun
	if printing && level < slog.LevelWarn {
		level = slog.LevelWarn
	}
	a, err := agent.New(config, agent.Options{
		Log: slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: level})), Alone: true, Print: printing,
	})
	if err != nil {
		return withCode(exitInvalid, fmt.Errorf("configuration of the agent: %w", err))
	}
	if !printing {
		return a.Run(ctx)
	}
	reports := 0
	if o.once {
		reports = 1
	}
	return a.Print(ctx, reports, func(list []agent.Measurement) error { return printMeasurements(t.out, list) })
}

// read settles the configuration from flags, environment and file.
func (o *agentOptions) read(t *terminal) (*agent.Config, error) {
	config := new(agent.Config)
	name := o.config
	if name == "" {
		name = t.env("TROUPE_AGENT_CONFIG")
	}
	if name != "" {
		var err error
		if config, err = agent.ReadConfig(name); err != nil {
			return nil, err
		}
	}
	if t.server.url != "" && config.Monasca != nil {
		return nil, errors.New("--url is for a Troupe server, but " + name + " reports to a Monasca; leave one out")
	}
	config.Environment(func(variable string) string {
		switch {
		case variable == "TROUPE_URL" && t.server.url != "":
			return t.server.url
		case variable == "TROUPE_CACERT" && t.server.ca != "":
			return t.server.ca
		case variable == "TROUPE_TOKEN_FILE" && o.tokenFile != "":
			return o.tokenFile
		case variable == "TROUPE_TOKEN" && o.tokenFile != "":
			return ""
		}
		return t.env(variable)
	})
	if o.interval != 0 {
		config.Interval = o.interval
	} else if o.once {
		config.Interval = time.Second // nobody wants to wait for the second run
	}
	return config, nil
}

// printMeasurements prints a JSON array with a line for each measurement.
func printMeasurements(out io.Writer, list []agent.Measurement) error {
	text := []byte("[")
	for i := range list {
		line, err := json.Marshal(&list[i])
		if err != nil {
			return err
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(text, '\n', ' '), line...)
	}
	_, err := out.Write(append(text, "\n]\n"...))
	return err
}
