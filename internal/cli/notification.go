package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
)

var methodTypes = []string{"WEBHOOK", "OCCI_WEBHOOK", "EMAIL", "SLACK", "PAGERDUTY", "COMMAND"}

func newNotificationCommand(t *terminal) *cobra.Command {
	var removed, discarded, resent string
	rm := removing(t, "method", func(ctx context.Context, c *client.Client, ref string) error {
		return c.Notifications().Of(removed).Remove(ctx, ref)
	})
	rm.Short = "remove a notification method, also from the actions of all alarms"
	resend := &cobra.Command{
		Use: "resend DELIVERY", Short: "send a notification again that was given up, or at once one that waits", Args: exactly("DELIVERY"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.Notifications().Of(resent).Resend(ctx, args[0]); err != nil {
				return err
			}
			t.tell("notification %s is sent again", args[0])
			return nil
		}),
	}
	discard := &cobra.Command{
		Use: "discard DELIVERY", Short: "drop a notification that waits or was given up", Args: exactly("DELIVERY"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.Notifications().Of(discarded).Discard(ctx, args[0]); err != nil {
				return err
			}
			t.tell("notification %s is dropped", args[0])
			return nil
		}),
	}
	return group("notification", "notification methods: how somebody is told, and what could not be delivered", newMethodLsCommand(t), newMethodShowCommand(t),
		newMethodAddCommand(t), newMethodUpdateCommand(t), ofProject(rm, &removed), newDeliveriesCommand(t), ofProject(resend, &resent), ofProject(discard, &discarded))
}

func newMethodLsCommand(t *terminal) *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "ls", Short: "list notification methods", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Notifications().Of(project).List(ctx)
			if err != nil {
				return err
			}
			b := &table{head: []string{"NAME", "TYPE", "ADDRESS", "PERIOD", "ID", "SIGNED", "HEADERS", "UPDATED"}, wide: 4}
			for _, m := range list {
				period, signed := "once", "no"
				if m.Period > 0 {
					period = strconv.Itoa(m.Period) + "s"
				}
				if m.Secret != "" {
					signed = "yes"
				}
				b.add(oneLine(m.Name), m.Type, oneLine(m.Address), period, m.ID, signed, orDash(strings.Join(m.Headers, ",")), since(m.Updated))
			}
			return t.show(list, b)
		}),
	}
	return ofProject(cmd, &project)
}

func newMethodShowCommand(t *terminal) *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "show METHOD", Short: "everything about a notification method but its secrets", Args: exactly("METHOD"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			m, err := c.Notifications().Of(project).Get(ctx, args[0])
			if err != nil {
				return err
			}
			return t.whole(m, m.ID)
		}),
	}
	return ofProject(cmd, &project)
}

// methodFlags are the flags that make or change a notification method. Secrets come from files: everybody can read a
// command line.
type methodFlags struct {
	kind, address, addressFile, secretFile, headersFile, templateFile string
	period                                                            int
	extra                                                             bool
}

func (m *methodFlags) add(f *pflag.FlagSet) {
	f.Var(choice{&m.kind, methodTypes}, "type", "how somebody is told")
	f.StringVar(&m.address, "address", "", "`URL`, mail address, or the name of a command of the server")
	f.StringVar(&m.addressFile, "address-file", "", "`file` with an address that is a secret, such as Slack's or PagerDuty's key")
	f.IntVar(&m.period, "period", 0, "`seconds` between repetitions while the alarm stays as it is; 0 for none")
	f.StringVar(&m.secretFile, "secret-file", "", "`file` with the secret that signs what is posted")
	f.StringVar(&m.headersFile, "headers-file", "", "`file` with headers of what is posted, \"Name: value\" a line")
	f.StringVar(&m.templateFile, "template-file", "", "`file` with a Jinja template of body or text")
	f.BoolVar(&m.extra, "extra", false, "add what Monasca's formats have no place for")
}

// change returns what the flags that were given change.
func (m *methodFlags) change(t *terminal, flags *pflag.FlagSet) (out client.PutNotificationMethod, err error) {
	if flags.Changed("type") {
		out.Type = &m.kind
	}
	if flags.Changed("address") {
		out.Address = &m.address
	}
	if flags.Changed("period") {
		out.Period = &m.period
	}
	if flags.Changed("extra") {
		out.Extra = &m.extra
	}
	if m.addressFile != "" {
		if m.address, err = readSecret(m.addressFile); err != nil {
			return out, err
		}
		out.Address = &m.address
	}
	if m.secretFile != "" {
		secret, err := readSecret(m.secretFile)
		if err != nil {
			return out, err
		}
		out.Secret = &secret
	}
	if m.templateFile != "" {
		text, err := t.readFile(m.templateFile)
		if err != nil {
			return out, err
		}
		template := string(text)
		out.Template = &template
	}
	if m.headersFile != "" {
		headers, err := readHeaders(m.headersFile)
		if err != nil {
			return out, err
		}
		out.Headers = &headers
	}
	return out, nil
}

func readHeaders(name string) (map[string]string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || key == "" {
			return nil, withCode(exitInvalid, fmt.Errorf("%s:%d: write headers as \"Name: value\"", name, number))
		}
		out[key] = strings.TrimSpace(value)
	}
	return out, nil
}

func newMethodAddCommand(t *terminal) *cobra.Command {
	var m methodFlags
	var project string
	cmd := &cobra.Command{Use: "add NAME", Short: "add a notification method", Args: exactly("NAME"),
		Example: "  troupe notification add people --type EMAIL --address ops@example.org\n  troupe notification add chat --type SLACK --address-file slack.url"}
	cmd.RunE = calling(t, func(ctx context.Context, c *client.Client, args []string) error {
		w, err := m.change(t, cmd.Flags())
		if err != nil {
			return err
		}
		w.Name = &args[0]
		x, err := c.Notifications().Of(project).Add(ctx, w)
		if err != nil {
			return err
		}
		t.tell("notification method %s tells %s by %s", x.Name, x.Address, x.Type)
		return t.program(x, x.ID)
	})
	m.add(cmd.Flags())
	return ofProject(cmd, &project)
}

func newMethodUpdateCommand(t *terminal) *cobra.Command {
	var m methodFlags
	var project, name string
	cmd := &cobra.Command{Use: "update METHOD", Short: "change a notification method: what no flag names stays", Args: exactly("METHOD")}
	cmd.RunE = calling(t, func(ctx context.Context, c *client.Client, args []string) error {
		w, err := m.change(t, cmd.Flags())
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("name") {
			w.Name = &name
		}
		if w == (client.PutNotificationMethod{}) {
			return usageError("notification update: no flag says what to change; see `%s --help`", cmd.CommandPath())
		}
		x, err := c.Notifications().Of(project).Change(ctx, args[0], w)
		if err != nil {
			return err
		}
		t.tell("notification method %s is changed", x.Name)
		return t.program(x, x.ID)
	})
	m.add(cmd.Flags())
	cmd.Flags().StringVar(&name, "name", "", "another `name`")
	return ofProject(cmd, &project)
}

func newDeliveriesCommand(t *terminal) *cobra.Command {
	var project string
	var dead bool
	cmd := &cobra.Command{
		Use: "deliveries [METHOD]", Short: "notifications that wait, repeat or were given up", Args: atMost(1),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			names := map[string]string{}
			methods, err := c.Notifications().Of(project).List(ctx)
			if err != nil {
				return err
			}
			for _, m := range methods {
				names[m.ID] = m.Name
			}
			list := []client.Delivery{}
			b := &table{head: []string{"ID", "METHOD", "ALARM", "STATE", "PHASE", "TRIES", "NEXT", "REASON", "TIME", "TEST"}, wide: 8}
			for d, err := range c.Notifications().Of(project).Deliveries(ctx, strings.Join(args, "")) {
				if err != nil {
					return err
				}
				if dead && d.Phase != "dead" {
					continue
				}
				list = append(list, d)
				next := "-"
				if d.Next != nil {
					next = d.Next.Local().Format("15:04:05")
				}
				method := d.Method
				if names[method] != "" {
					method = names[method]
				}
				b.add(d.ID, oneLine(method), oneLine(d.Name), d.State, d.Phase, strconv.Itoa(d.Tries), next, orDash(oneLine(d.Reason)), stamp(d.Time), strconv.FormatBool(d.Test))
			}
			return t.show(list, b)
		}),
	}
	cmd.Flags().BoolVar(&dead, "dead", false, "only those that were given up")
	return ofProject(cmd, &project)
}
