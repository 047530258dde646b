package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/internal/agent"
)

type setupOptions struct {
	token, password, service, dimensions, plugins string
	words                                         []string // that lead to the agent within the program
	setup                                         agent.Setup
	config                                        agent.Config
	monasca                                       agent.MonascaTarget
	seconds                                       int
	systemOnly, skipEnable                        bool
}

func newSetup(t *Terminal) *cobra.Command {
	var o setupOptions
	cmd := &cobra.Command{
		Use: "setup", Short: "write the agent's configuration and its service, and start it",
		Long: "agent setup makes this machine report, in one line. To Troupe:\n\n" +
			"    troupe agent setup --url https://troupe:7070 --token TOKEN\n\n" +
			"To a Monasca, with the options of monasca-setup, whose underscores may be dashes too:\n\n" +
			"    troupe agent setup --username u --password p --project_name t --keystone_url http://k:5000/v3 --service web\n\n" +
			"A secret goes to a file of its own that only the service's user can read; give it as - to have it read from standard input,\n" +
			"so that no list of processes shows it.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			least, most := int(agent.ShortestSpan/time.Second), int(agent.LongestSpan/time.Second)
			if cmd.Flags().Changed("check-frequency") && (o.seconds < least || o.seconds > most) {
				return usageError("--check-frequency %d: give whole seconds, from %d to %d", o.seconds, least, most)
			}
			o.words = strings.Fields(cmd.Parent().CommandPath())[1:]
			return runSetup(cmd.Context(), t, &o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	m := &o.monasca
	f.StringVar(&o.token, "token", "", "`token` for the Troupe server of --url; - reads it from standard input (TROUPE_TOKEN)")
	f.StringVarP(&m.Username, "username", "u", "", "`name` of the user in Keystone")
	f.StringVarP(&o.password, "password", "p", "", "its `password`; - reads it from standard input (OS_PASSWORD)")
	f.StringVar(&m.KeystoneURL, "keystone-url", "", "`URL` of Keystone")
	f.StringVar(&m.ProjectName, "project-name", "", "`name` of the project")
	f.StringVar(&m.ProjectID, "project-id", "", "`id` of the project")
	f.StringVar(&m.ProjectDomainName, "project-domain-name", "Default", "`name` of the project's domain")
	f.StringVar(&m.UserDomainName, "user-domain-name", "Default", "`name` of the user's domain")
	f.StringVar(&m.URL, "monasca-url", "", "`URL` of Monasca (default that of Keystone's catalogue)")
	f.StringVar(&m.RegionName, "region-name", "", "`region` in the catalogue")
	f.StringVar(&m.EndpointType, "endpoint-type", "public", "`type` of the address in the catalogue")
	f.StringVar(&m.CACert, "ca-file", "", "PEM `file` of the authority of their certificates")
	f.StringVarP(&o.service, "service", "s", "", "value of the dimension `service`")
	f.StringVar(&o.dimensions, "dimensions", "", "dimensions of all measurements, `a:b,c:d`")
	f.StringVar(&o.config.Hostname, "hostname", "", "value of the dimension `hostname` (default the machine's name)")
	f.IntVar(&o.seconds, "check-frequency", 0, "`seconds` between reports (default 1 to Troupe, 30 to a Monasca)")
	f.BoolVar(&o.systemOnly, "system-only", false, "report on the system alone; it always does, until checks are written into the configuration")
	f.StringVar(&o.plugins, "detection-plugins", "", "taken for monasca-setup's sake; nothing is detected")
	f.StringVar(&o.setup.ConfigDir, "config-dir", "/etc/troupe", "`folder` for agent.yaml and agent.secret")
	f.StringVar(&o.setup.UnitDir, "unit-dir", "/etc/systemd/system", "`folder` for "+agent.UnitName)
	f.StringVar(&o.setup.User, "user", "", "`name` of the user that the service runs as (default root)")
	f.BoolVar(&o.setup.Overwrite, "overwrite", false, "replace files that are there")
	f.BoolVar(&o.skipEnable, "skip-enable", false, "write the files, but start nothing")
	return cmd
}

func runSetup(ctx context.Context, t *Terminal, o *setupOptions) error {
	if err := o.complete(t); err != nil {
		return err
	}
	written, err := o.setup.Write()
	switch {
	case errors.Is(err, agent.ErrExists):
		return &Error{codeRefused, fmt.Errorf("set up the agent: %w; --overwrite replaces it", err)}
	case errors.Is(err, fs.ErrPermission):
		return &Error{codeDenied, fmt.Errorf("set up the agent: %w; run it as root, or name other folders with --config-dir and --unit-dir", err)}
	case err != nil:
		return &Error{codeInvalid, fmt.Errorf("set up the agent: %w", err)}
	}
	for _, file := range written {
		if file.Same {
			fmt.Fprintln(t.Out, file.Name+" is the same already")
		} else {
			fmt.Fprintln(t.Out, "wrote "+file.Name)
		}
	}
	if o.plugins != "" {
		fmt.Fprintf(t.Err, "nothing was detected: write the checks of %s into %s\n", o.plugins, written[1].Name)
	}
	if o.skipEnable || o.setup.UnitDir != "/etc/systemd/system" {
		return nil
	}
	return enable(ctx, t)
}

// complete settles what the flags, and where they are silent the environment, say.
func (o *setupOptions) complete(t *Terminal) error {
	o.config.Dimensions = make(map[string]string)
	if o.service != "" {
		o.config.Dimensions["service"] = o.service
	}
	dimensions, err := agent.ParseDimensions(o.dimensions)
	if err != nil {
		return usageError("--dimensions: %w", err)
	}
	maps.Copy(o.config.Dimensions, dimensions)
	toMonasca := o.monasca.KeystoneURL != "" || o.monasca.Username != ""
	url := *t.URL
	if url == "" && !toMonasca {
		url = t.Env("TROUPE_URL")
	}
	o.config.Interval = time.Second
	given, variable, flag := o.token, "TROUPE_TOKEN", "--token"
	switch {
	case url != "" && toMonasca:
		return usageError("--url is for a Troupe server, --keystone-url for a Monasca; an agent reports to one")
	case toMonasca:
		o.config.Monasca, o.config.Interval = &o.monasca, 30*time.Second
		given, variable, flag = o.password, "OS_PASSWORD", "--password"
	case url != "":
		o.config.Troupe = &agent.TroupeTarget{URL: url, CACert: *t.CACert}
	default:
		return usageError("nowhere to report to: give --url and --token, or --keystone-url, --username and --password")
	}
	if o.seconds != 0 {
		o.config.Interval = time.Duration(o.seconds) * time.Second
	}
	if o.setup.Secret, err = takeSecret(t, given, variable, flag); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(program); err == nil {
		program = real
	}
	o.setup.Config, o.setup.Command = &o.config, append([]string{program}, o.words...)
	return nil
}

// takeSecret takes a secret from a flag, from standard input when the flag says -, or from the environment.
func takeSecret(t *Terminal, given, variable, flag string) (string, error) {
	switch given {
	case "":
		given = t.Env(variable)
	case "-":
		text, err := io.ReadAll(io.LimitReader(t.In, 64<<10))
		if err != nil {
			return "", fmt.Errorf("read %s from standard input: %w", flag, err)
		}
		given = strings.TrimSpace(string(text))
	}
	if given == "" || strings.ContainsAny(given, "\r\n") {
		return "", usageError("%s is missing, or not one line; give it, set %s, or give - and write it to standard input", flag, variable)
	}
	return given, nil
}

// enable starts the service, where systemd runs.
func enable(ctx context.Context, t *Terminal) error {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		fmt.Fprintln(t.Err, "systemd does not run here, so nothing was started; run the line ExecStart of the service yourself")
		return nil
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", agent.UnitName}, {"restart", agent.UnitName}} {
		if out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	fmt.Fprintln(t.Out, "started "+agent.UnitName)
	return nil
}
