package cli

import (
	stdbytes "bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newMetricCommand(t *terminal) *cobra.Command {
	return group("metric", "metrics: send samples, ask for their history", newMetricPushCommand(t), newMetricQueryCommand(t), newMetricLsCommand(t))
}

var metricFormats = []string{string(client.MonascaJSON), string(client.PrometheusText), string(client.RemoteWrite), string(client.RemoteWrite2), string(client.OTLP), string(client.OTLPJSON)}

// maxMetrics is the most that a server takes at once, in bytes.
const maxMetrics = 32 << 20

func newMetricPushCommand(t *terminal) *cobra.Command {
	var project, format string
	var pairs []string
	var at time.Time
	cmd := &cobra.Command{
		Use: "push NAME|FILE [VALUE]", Short: "send a sample, or the samples of a file", Args: atMost(2),
		Long: "Send one sample, or the samples of a file (- for standard input) in any form that the server takes. What is no JSON counts as\n" +
			"Prometheus' text unless --format says otherwise; remote write comes as its senders compress it, in snappy.",
		Example: "  troupe metric push queue.length 12 --dimension queue=orders\n  curl -s localhost:9100/metrics | troupe metric push -",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			metrics := c.Metrics().Of(project)
			if len(args) == 2 {
				value, err := strconv.ParseFloat(args[1], 64)
				if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
					return usageError("metric push: %q is no finite number", args[1])
				}
				dimensions, err := assignments("--dimension", pairs)
				if err != nil {
					return err
				}
				return metrics.Push(ctx, client.MetricSample{Name: args[0], Value: value, Time: at, Dimensions: dimensions})
			}
			if len(args) == 0 {
				return usageError("metric push: give a name and a value, or a file")
			}
			if len(pairs) > 0 || !at.IsZero() {
				return usageError("metric push: --dimension and --time go with a name and a value; a file has its own")
			}
			text, err := t.readMetrics(args[0])
			if err != nil {
				return err
			}
			return metrics.PushText(ctx, metricFormat(format, text), text)
		}),
	}
	f := cmd.Flags()
	f.StringArrayVar(&pairs, "dimension", nil, "dimension of the sample, `NAME=VALUE`; repeatable")
	f.Var(moment{&at}, "time", "when it was, or how long ago (default now)")
	f.Var(choice{&format, metricFormats}, "format", "form of a file's samples (default: what it looks like)")
	return ofProject(cmd, &project)
}

func (t *terminal) readMetrics(name string) ([]byte, error) {
	in := t.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxMetrics+1))
	if err == nil && len(text) > maxMetrics {
		err = fmt.Errorf("%s: larger than %d MiB; send it in parts", name, maxMetrics>>20)
	}
	return text, withCode(exitInvalid, err)
}

// metricFormat is what samples look like, unless it was given.
func metricFormat(given string, text []byte) client.MetricFormat {
	start := stdbytes.TrimSpace(text)
	switch {
	case given != "":
		return client.MetricFormat(given)
	case stdbytes.HasPrefix(start, []byte("{")) && stdbytes.Contains(start[:min(len(start), 200)], []byte(`"resourceMetrics"`)):
		return client.OTLPJSON
	case stdbytes.HasPrefix(start, []byte("[")), jsonObject(start):
		return client.MonascaJSON
	}
	return client.PrometheusText
}

// jsonObject tells an object from a line of Prometheus' text that begins with quoted names, {"a.b"} 1.
func jsonObject(text []byte) bool {
	rest, ok := stdbytes.CutPrefix(text, []byte("{"))
	rest, quoted := stdbytes.CutPrefix(stdbytes.TrimSpace(rest), []byte(`"`))
	if !ok || !quoted {
		return false
	}
	_, rest, ok = stdbytes.Cut(rest, []byte(`"`))
	return ok && stdbytes.HasPrefix(stdbytes.TrimSpace(rest), []byte(":"))
}

func newMetricQueryCommand(t *terminal) *cobra.Command {
	var project string
	var start, end, at time.Time
	var step time.Duration
	cmd := &cobra.Command{
		Use: "query PROMQL", Short: "evaluate PromQL over the history of samples", Args: exactly("PROMQL"),
		Long: "Evaluate PromQL now, at --time, or with --start at every step up to --end. Names with dots stand quoted within the braces,\n" +
			"as in {\"cpu.user_perc\", service=\"7\"}.",
		Example: "  troupe metric query 'avg by (role) ({\"cpu.user_perc\", service=\"7\"})'\n  troupe metric query 'rate(http_requests_total[1m])' --start 1h --step 1m",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			metrics := c.Metrics().Of(project)
			if start.IsZero() {
				if !end.IsZero() || step != 0 {
					return usageError("metric query: --end and --step go with --start")
				}
				r, err := metrics.Query(ctx, args[0], at)
				return t.queried(r, err)
			}
			if !at.IsZero() {
				return usageError("metric query: --time is for one instant, --start for a range; give one")
			}
			if end.IsZero() {
				end = time.Now()
			}
			if step == 0 {
				step = max(time.Second, (end.Sub(start) / 60).Round(time.Second))
			}
			r, err := metrics.QueryRange(ctx, args[0], start, end, step)
			return t.queried(r, err)
		}),
	}
	f := cmd.Flags()
	f.Var(moment{&at}, "time", "the instant, or how long ago it was (default now)")
	f.Var(moment{&start}, "start", "begin of a range, or how long ago that was")
	f.Var(moment{&end}, "end", "end of the range, or how long ago that was (default now)")
	f.Var(spanFlag{&step}, "step", "time between the points of a range (default a sixtieth of it)")
	return ofProject(cmd, &project)
}

// queried shows what a query answered.
func (t *terminal) queried(r client.QueryResult, err error) error {
	if err != nil {
		return err
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(t.err, t.paint(yellow, "warning: ")+oneLine(w))
	}
	if r.Type == "string" {
		return t.show(r, &table{head: []string{"TEXT"}, rows: [][]string{{oneLine(r.Text)}}})
	}
	b := &table{head: []string{"SERIES", "TIME", "VALUE"}}
	for _, s := range r.Series {
		for _, p := range s.Points {
			b.add(seriesText(s.Labels), stamp(p.Time), strconv.FormatFloat(p.Value, 'g', -1, 64))
		}
		for _, h := range s.Histograms {
			b.add(seriesText(s.Labels), stamp(h.Time), fmt.Sprintf("%g, sum %g", h.Count, h.Sum))
		}
	}
	return t.show(r, b)
}

// seriesText shows labels as PromQL has them.
func seriesText(labels map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if k != "__name__" {
			parts = append(parts, k+"="+strconv.Quote(labels[k]))
		}
	}
	if text := labels["__name__"] + "{" + strings.Join(parts, ",") + "}"; text != "{}" {
		return oneLine(strings.TrimSuffix(text, "{}"))
	}
	return "-"
}

func newMetricLsCommand(t *terminal) *cobra.Command {
	var project string
	var since time.Time
	var limit int
	cmd := &cobra.Command{
		Use: "ls [PROMQL]", Short: "list series, all or those that a selector chooses", Args: atMost(1),
		Example: "  troupe metric ls '{service=\"7\"}' --since 1h",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			list, err := c.Metrics().Of(project).Series(ctx, args, since, time.Time{}, limit+1)
			if err != nil {
				return err
			}
			if len(list) > limit {
				list = list[:limit]
				fmt.Fprintf(t.err, "only the first %d are shown; choose with a selector, or give --limit\n", limit)
			}
			b := &table{head: []string{"METRIC", "DIMENSIONS"}}
			for _, s := range list {
				d := maps.Clone(s)
				delete(d, "__name__")
				b.add(oneLine(s["__name__"]), orDash(dimensions(d)))
			}
			return t.show(list, b)
		}),
	}
	cmd.Flags().Var(moment{&since}, "since", "only those with samples since this time, or the last so long")
	cmd.Flags().IntVar(&limit, "limit", 1000, "how many at most")
	return ofProject(cmd, &project)
}
