// Package command is the agent's command line: `troupe agent`, and the small program troupe-agent, which is the same without
// the rest of Troupe.
package command

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
	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Terminal is what the commands read from and write to.
type Terminal struct {
	In       io.Reader
	Out, Err io.Writer
	Env      func(string) string
	// URL and CACert are of the flags --url and --cacert, which stand on a command above; "" when they are not given.
	URL, CACert *string
}

// An Error ends the program with a code, as `troupe help exit-codes` lists them.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// The codes of errors.
const (
	codeUsage   = 2
	codeRefused = 4
	codeDenied  = 5
	codeInvalid = 8
)

func usageError(format string, args ...any) error {
	return &Error{codeUsage, fmt.Errorf(format, args...)}
}

type options struct {
	config, tokenFile string
	level             slog.Level
	interval          time.Duration
	once, dryRun      bool
}

// New makes the command `agent` with its sub-command `setup`.
func New(t *Terminal) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "agent", Short: "report on this machine: run inside machines",
		Long: "The agent reports on the machine it runs in, under the names of Monasca's agent, to a Troupe server\n" +
			"(--url and --token-file) or to a Monasca. Flags go before the environment, and this before the file of --config.\n" +
			"`agent setup` makes the file and a service of systemd.\n\n" +
			"    troupe agent --once                                         # what it would report\n" +
			"    TROUPE_TOKEN=… troupe agent --url https://troupe:7070 --interval 1s",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), t, &o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.config, "config", "", "configuration `file` (TROUPE_AGENT_CONFIG)")
	f.DurationVar(&o.interval, "interval", 0, "time between reports, 1s to 1h (default 15s)")
	f.StringVar(&o.tokenFile, "token-file", "", "`file` with the token for the server (TROUPE_TOKEN_FILE, or the token itself in TROUPE_TOKEN)")
	f.BoolVar(&o.once, "once", false, "print one report as JSON, send nothing, and end")
	f.BoolVar(&o.dryRun, "dry-run", false, "print reports as JSON instead of sending them")
	f.TextVar(&o.level, "log-level", slog.LevelInfo, "least important messages that are logged: debug, info, warn, error")
	cmd.AddCommand(newSetup(t))
	return cmd
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return usageError("%s: no command %q%s", cmd.CommandPath(), args[0], nearest.Hint(args[0], names))
}

func run(ctx context.Context, t *Terminal, o *options) error {
	config, err := o.read(t)
	if err != nil {
		return &Error{codeInvalid, fmt.Errorf("configuration of the agent: %w", err)}
	}
	printing := o.once || o.dryRun
	a, err := agent.New(config, agent.Options{
		Log: slog.New(slog.NewTextHandler(t.Err, &slog.HandlerOptions{Level: o.level})), Alone: true, Print: printing,
	})
	if err != nil {
		return &Error{codeInvalid, fmt.Errorf("configuration of the agent: %w", err)}
	}
	if !printing {
		return a.Run(ctx)
	}
	reports := 0
	if o.once {
		reports = 1
	}
	return a.Print(ctx, reports, func(list []agent.Measurement) error { return printMeasurements(t.Out, list) })
}

// read settles the configuration from flags, environment and file.
func (o *options) read(t *Terminal) (*agent.Config, error) {
	config := new(agent.Config)
	name := o.config
	if name == "" {
		name = t.Env("TROUPE_AGENT_CONFIG")
	}
	if name != "" {
		var err error
		if config, err = agent.ReadConfig(name); err != nil {
			return nil, err
		}
	}
	if *t.URL != "" && config.Monasca != nil {
		return nil, errors.New("--url is for a Troupe server, but " + name + " reports to a Monasca; leave one out")
	}
	config.Environment(func(variable string) string {
		switch {
		case variable == "TROUPE_URL" && *t.URL != "":
			return *t.URL
		case variable == "TROUPE_CACERT" && *t.CACert != "":
			return *t.CACert
		case variable == "TROUPE_TOKEN_FILE" && o.tokenFile != "":
			return o.tokenFile
		case variable == "TROUPE_TOKEN" && o.tokenFile != "":
			return ""
		}
		return t.Env(variable)
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
