package cli

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

// objects are the listings by the word that stands for them in a command's usage.
var objects = map[string]listing{
	"SERVICE": services,
	"TEMPLATE": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Templates().List(ctx, "")
		return named(list, err, func(x client.Template) (string, string, string) { return x.Name, client.ID(x.ID), x.Format })
	},
	"MACHINE": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Machines().List(ctx)
		return named(list, err, func(x client.Machine) (string, string, string) {
			return x.Name, strconv.Itoa(x.ID), strings.Join(x.Drivers, ",")
		})
	},
	"USER": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Users().List(ctx)
		return named(list, err, func(x client.User) (string, string, string) { return x.Name, strconv.Itoa(x.ID), x.Group.Name })
	},
	"GROUP": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Groups().List(ctx)
		return named(list, err, func(x client.Group) (string, string, string) { return x.Name, strconv.Itoa(x.ID), "" })
	},
	"TOKEN": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Tokens().List(ctx, "")
		return named(list, err, func(x client.Token) (string, string, string) { return x.ID, x.ID, x.Name })
	},
	"DATA": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Data().List(ctx)
		return named(list, err, func(x client.KeptData) (string, string, string) { return x.Name, client.ID(x.Service), x.Project })
	},
	"DRIVER": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Drivers(ctx)
		return named(list, err, func(x client.Driver) (string, string, string) { return x.Name, x.Name, x.Help })
	},
	"ALARM": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Alarms().Definitions(ctx, 0)
		return named(list, err, func(x client.AlarmDefinition) (string, string, string) { return x.Name, x.ID, x.Expression })
	},
	"SILENCE": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Alarms().Silences(ctx)
		return named(list, err, func(x client.Silence) (string, string, string) { return x.ID, x.ID, x.Reason })
	},
	"ZONE": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.DNS().Zones(ctx)
		return named(list, err, func(x client.DNSZone) (string, string, string) { return x.Name, x.Name, x.Description })
	},
	"METHOD": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Notifications().List(ctx)
		return named(list, err, func(x client.NotificationMethod) (string, string, string) { return x.Name, x.ID, x.Type })
	},
	"MANAGER": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Managers().List(ctx)
		return named(list, err, func(x client.Manager) (string, string, string) { return x.Term, x.Term, x.Type })
	},
	"DELIVERY": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := some(c.Notifications().Deliveries(ctx, ""))
		return named(list, err, func(x client.Delivery) (string, string, string) { return x.ID, x.ID, x.Phase + " " + x.Reason })
	},
	"BACKEND": func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		list, err := c.Drivers(ctx)
		var backends []client.Backend
		for _, d := range list {
			backends = append(backends, d.Backends...)
		}
		return named(backends, err, func(x client.Backend) (string, string, string) { return x.Key, x.Key, backendState(&x) })
	},
}

// named lists things by name, and by number where several bear the name.
func named[T any](list []T, err error, of func(T) (name, number, help string)) ([]cobra.Completion, error) {
	bearers := make(map[string]int)
	for _, x := range list {
		name, _, _ := of(x)
		bearers[name]++
	}
	out := make([]cobra.Completion, 0, len(list))
	for _, x := range list {
		name, number, help := of(x)
		if bearers[name] > 1 {
			name, help = number, strings.TrimSpace(name+" "+help)
		}
		out = append(out, cobra.CompletionWithDesc(name, oneLine(help)))
	}
	return out, err
}

// some reads what a sequence yields, up to maxCompletions.
func some[T any](seq iter.Seq2[T, error]) (list []T, err error) {
	for x, err := range seq {
		if err != nil {
			return nil, err
		}
		if list = append(list, x); len(list) == maxCompletions {
			break
		}
	}
	return list, nil
}

func services(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
	list, err := some(c.Services().List(ctx, client.ServiceFilter{}))
	return named(list, err, func(s client.Service) (string, string, string) { return s.Name, s.Ref(), s.State })
}

// places completes SERVICE/ROLE/N level by level: a word is done from level least on (1 a service, 2 a role,
// 3 an instance), and may go on until level most.
func (t *terminal) places(least, most int) completer {
	return func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		level := 1
		found, directive := t.answer(cmd.Context(), typed, func(ctx context.Context, c *client.Client, typed string) (out []cobra.Completion, err error) {
			out, level, err = placesBelow(ctx, c, typed, most)
			return out, err
		})
		if level < least {
			for i, x := range found {
				name, help, _ := strings.Cut(x, "\t")
				found[i] = cobra.CompletionWithDesc(name+"/", help)
			}
		}
		if level < most {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return found, directive
	}
}

// placesBelow lists what a place may become that is typed up to its last slash, and says of which level that is.
func placesBelow(ctx context.Context, c *client.Client, typed string, most int) (out []cobra.Completion, level int, err error) {
	parts := strings.Split(typed, "/")
	if len(parts) == 1 {
		out, err = services(ctx, c, typed)
		return out, 1, err
	}
	ref, rest := parts[0], parts[1:]
	s, err := c.Services().Get(ctx, ref)
	if client.IsNotFound(err) && len(rest) > 1 { // PROJECT/NAME/...
		ref, rest = ref+"/"+rest[0], rest[1:]
		s, err = c.Services().Get(ctx, ref)
	}
	level = len(rest) + 1
	if err != nil || level > most {
		return nil, level, err
	}
	if level == 2 {
		for _, r := range s.Roles {
			out = append(out, cobra.CompletionWithDesc(ref+"/"+r.Name, r.State))
		}
		return out, level, nil
	}
	list, err := some(c.Services().Instances(ctx, ref, client.InstanceFilter{Role: rest[0]}))
	for _, i := range list {
		out = append(out, cobra.CompletionWithDesc(fmt.Sprintf("%s/%s/%d", ref, i.Role, i.Number), i.Phase))
	}
	return out, level, err
}

// rolesOfFirst completes with the roles of the service that is the first argument.
func (t *terminal) rolesOfFirst(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return t.answer(cmd.Context(), typed, func(ctx context.Context, c *client.Client, _ string) ([]cobra.Completion, error) {
		s, err := c.Services().Get(ctx, args[0])
		return named(s.Roles, err, func(r client.Role) (string, string, string) { return r.Name, r.Name, r.State })
	})
}
