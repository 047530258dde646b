package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver"
)

type quotaOptions struct{ services, instances, cpus, memory, series, values, samples string }

func newQuotaCommand(t *terminal) *cobra.Command {
	var o quotaOptions
	cmd := &cobra.Command{
		Use:     "quota [GROUP]",
		Short:   "what groups may hold and what they hold; with flags, set a group's limits",
		Example: "  troupe quota\n  troupe quota users --instances 100 --memory 64G\n  troupe quota users --instances none",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return calling(t, func(ctx context.Context, c *client.Client, args []string) error {
				return runQuota(ctx, t, c, &o, cmd.Flags(), args)
			})(cmd, args)
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *quotaOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.services, "services", "", "most services, or none for no `limit`")
	f.StringVar(&o.instances, "instances", "", "most instances, or none for no `limit`")
	f.StringVar(&o.cpus, "cpus", "", "most cores, or none for no `limit`")
	f.StringVar(&o.memory, "memory", "", "most memory, such as 64G, or none for no `limit`")
	f.StringVar(&o.series, "series", "", "most series of metrics, or none for the server's `limit`")
	f.StringVar(&o.values, "values", "", "most values of one dimension of metrics, or none for the server's `limit`")
	f.StringVar(&o.samples, "samples", "", "most samples of metrics a second, or none for the server's `limit`")
}

func runQuota(ctx context.Context, t *terminal, c *client.Client, o *quotaOptions, f *pflag.FlagSet, args []string) error {
	if len(args) == 0 {
		list, err := c.Groups().List(ctx)
		if err != nil {
			return err
		}
		return t.show(list, quotaTable(list))
	}
	g, err := c.Groups().Get(ctx, args[0])
	if err != nil {
		return err
	}
	if slices.ContainsFunc([]string{"services", "instances", "cpus", "memory", "series", "values", "samples"}, f.Changed) {
		q := g.Quota
		if err := o.edit(f, &q); err != nil {
			return err
		}
		if g, err = c.Groups().Change(ctx, args[0], client.ChangeGroup{Quota: &q, Revision: g.Revision}); err != nil {
			return err
		}
	}
	return t.show(g, quotaTable([]client.Group{g}))
}

// edit puts the flags that were given into a quota.
func (o *quotaOptions) edit(f *pflag.FlagSet, q *client.Quota) error {
	var err error
	take := func(flag, value string, parse func() error, lift func()) {
		switch {
		case err != nil || !f.Changed(flag):
		case value == "none":
			lift()
		default:
			if parse() != nil {
				err = usageError("--%s %q: give a number of 0 or more, or none", flag, value)
			}
		}
	}
	count := func(text string, to **int) func() error {
		return func() error {
			n, err := strconv.ParseUint(text, 10, 31)
			v := int(n)
			*to = &v
			return err
		}
	}
	take("services", o.services, count(o.services, &q.Services), func() { q.Services = nil })
	take("instances", o.instances, count(o.instances, &q.Instances), func() { q.Instances = nil })
	figure := func(text string, to **float64) func() error {
		return func() error {
			v, err := strconv.ParseFloat(text, 64)
			if err == nil && !(v >= 0) {
				err = strconv.ErrRange
			}
			*to = &v
			return err
		}
	}
	take("cpus", o.cpus, figure(o.cpus, &q.CPUs), func() { q.CPUs = nil })
	take("memory", o.memory, func() error {
		v, err := driver.ParseSize(o.memory)
		q.Memory = &v
		return err
	}, func() { q.Memory = nil })
	take("series", o.series, count(o.series, &q.Series), func() { q.Series = nil })
	take("values", o.values, count(o.values, &q.Values), func() { q.Values = nil })
	take("samples", o.samples, figure(o.samples, &q.Samples), func() { q.Samples = nil })
	return err
}

func quotaTable(list []client.Group) *table {
	b := &table{head: []string{"GROUP", "SERVICES", "INSTANCES", "CPUS", "MEMORY", "SERIES", "VALUES", "SAMPLES"}}
	for _, g := range list {
		b.add(g.Name, of(g.Used.Services, g.Quota.Services), of(g.Used.Instances, g.Quota.Instances), of(g.Used.CPUs, g.Quota.CPUs), memoryOf(g),
			limitOf(g.Quota.Series), limitOf(g.Quota.Values), limitOf(g.Quota.Samples))
	}
	return b
}

// of shows what is used of a limit.
func of[T int | float64](used T, limit *T) string {
	if limit == nil {
		return fmt.Sprint(used)
	}
	return fmt.Sprintf("%v of %v", used, *limit)
}

// limitOf shows a limit of a group's own; where it has none, the server's holds.
func limitOf[T int | float64](limit *T) string {
	if limit == nil {
		return "-"
	}
	return fmt.Sprint(*limit)
}

func memoryOf(g client.Group) string {
	if g.Quota.Memory == nil {
		return bytes(g.Used.Memory)
	}
	return bytes(g.Used.Memory) + " of " + bytes(*g.Quota.Memory)
}
