// Package agent is what runs inside a machine and reports on it: processors, memory, disks, network, processes, and checks
// of addresses, under the names and dimensions of Monasca's agent, to a Troupe server or to a Monasca.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"runtime/metrics"
	"strings"
	"sync"
	"time"
)

// An Agent collects and delivers.
type Agent struct {
	config   *Config
	log      *slog.Logger
	alone    bool
	base     map[string]string
	parts    []section
	probes   []probe
	delivery *delivery
	takes    time.Duration // the last collection

	mu         sync.Mutex
	fromProbes []Measurement // since the last report
}

type section struct {
	name string
	collector
	failing bool
}

// Options are those of New.
type Options struct {
	Log *slog.Logger // nil: nobody is told
	// Alone says that the process is nothing but this agent, which then keeps the whole process small.
	Alone bool
	// Print says that Print will be called, not Run: there need be nowhere to report to.
	Print bool
}

// New makes an agent of a configuration, which it completes. Environment is not looked at: see Config.Environment.
func New(c *Config, o Options) (*Agent, error) {
	if err := c.complete(!o.Print); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	log := o.Log
	a := &Agent{config: c, log: log, alone: o.Alone}
	var to target
	var err error
	switch {
	case o.Print:
	case c.Troupe != nil:
		to, err = newTroupe(c.Troupe)
	default:
		to, err = newMonasca(c.Monasca)
	}
	if err != nil {
		return nil, err
	}
	a.delivery = &delivery{target: to, backlog: newBacklog(c.Buffer), log: log}
	for _, name := range c.Collect {
		if made := a.collector(name); made != nil {
			a.parts = append(a.parts, section{name: name, collector: made})
		}
	}
	if len(c.Processes) > 0 {
		a.parts = append(a.parts, section{name: "processes", collector: &processCollector{checks: c.Processes}})
	}
	for i := range c.HTTP {
		p, err := newHTTPProbe(&c.HTTP[i])
		if err != nil {
			return nil, fmt.Errorf("http[%d].%w", i, err)
		}
		a.probes = append(a.probes, p)
	}
	for i := range c.TCP {
		a.probes = append(a.probes, tcpProbe{&c.TCP[i]})
	}
	return a, nil
}

func (a *Agent) collector(name string) collector {
	switch name {
	case "cpu":
		return &cpuCollector{}
	case "memory":
		return memoryCollector{}
	case "load":
		return &loadCollector{}
	case "disk":
		return &diskCollector{}
	case "network":
		return &networkCollector{ignore: a.config.IgnoreInterfaces}
	}
	return nil // "agent" is reported last, by the agent itself
}

// Run reports until the context ends. It returns nil then.
func (a *Agent) Run(ctx context.Context) error {
	if a.alone {
		slim()
	}
	a.settle(ctx)
	a.log.Info("agent started", "to", a.delivery.target, "every", a.config.Interval, "hostname", a.base["hostname"])
	return a.loop(ctx, func(list []Measurement) error {
		lines, err := encode(list)
		if err == nil {
			a.delivery.backlog.add(lines, len(list))
		}
		return err
	}, a.delivery.run)
}

// Print hands each report to a function instead of delivering it, until the context ends, an error comes back, or the number
// of reports is reached; 0 is without end. The first report is made, but not handed over: rates begin with the second.
func (a *Agent) Print(ctx context.Context, reports int, print func([]Measurement) error) error {
	a.settle(ctx)
	n := -1
	err := a.loop(ctx, func(list []Measurement) error {
		if n++; n == 0 {
			return nil
		}
		if err := print(list); err != nil {
			return err
		}
		if n == reports {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

var errEnough = errors.New("enough reports")

// loop collects, and runs the checks and others beside, until the context ends or a report cannot be taken.
func (a *Agent) loop(ctx context.Context, take func([]Measurement) error, others ...func(context.Context)) error {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	for _, f := range others {
		beside.Go(func() { f(ctx) })
	}
	for _, p := range a.probes {
		beside.Go(func() { watch(ctx, p, a.base, a.log, a.found) })
	}
	ticker := time.NewTicker(a.config.Interval)
	defer ticker.Stop()
	for first := true; ; first = false {
		if err := take(a.collect(ctx)); err != nil {
			return err
		}
		if first && a.alone {
			shed()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// found keeps what a check has found for the next report.
func (a *Agent) found(list []Measurement) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fromProbes = append(a.fromProbes, list...)
}

// collect makes one report.
func (a *Agent) collect(ctx context.Context) []Measurement {
	began := time.Now()
	r := &report{time: began, base: a.base}
	for i := range a.parts {
		p := &a.parts[i]
		err := p.collect(ctx, r)
		if (err != nil) != p.failing && ctx.Err() == nil {
			if p.failing = err != nil; p.failing {
				a.log.Warn("cannot collect all", "of", p.name, "error", err)
			} else {
				a.log.Info("collects again", "of", p.name)
			}
		}
	}
	a.mu.Lock()
	r.list = append(r.list, a.fromProbes...)
	a.fromProbes = nil
	a.mu.Unlock()
	a.takes = time.Since(began)
	for _, name := range a.config.Collect {
		if name == "agent" {
			a.itself(r)
		}
	}
	return r.list
}

// itself reports on the agent.
func (a *Agent) itself(r *report) {
	threads := []metrics.Sample{{Name: "/sched/threads/total:threads"}}
	metrics.Read(threads)
	put := func(name string, value float64) {
		r.add(name, value, "service", "monitoring", "component", "monasca-agent")
	}
	if threads[0].Value.Kind() == metrics.KindUint64 {
		put("monasca.thread_count", float64(threads[0].Value.Uint64()))
	}
	put("monasca.collection_time_sec", round(a.takes.Seconds(), 6))
	if took := a.delivery.took.Load(); took > 0 {
		put("monasca.emit_time_sec", round(time.Duration(took).Seconds(), 6))
	}
	if a.takes > a.config.Interval {
		put("monasca.checks_running_too_long", 1)
	}
}

// settle finds the dimensions that all measurements have.
func (a *Agent) settle(ctx context.Context) {
	name := a.config.Hostname
	if name == "" {
		name = fullName(ctx)
	}
	a.base = make(map[string]string)
	maps.Copy(a.base, a.config.place)
	maps.Copy(a.base, a.config.Dimensions)
	if _, given := a.base["hostname"]; !given && name != "" {
		a.base["hostname"] = allowed(name)
	}
}

// fullName returns the machine's name with its domain, where that can be found within a second.
func fullName(ctx context.Context) string {
	name, err := os.Hostname()
	if err != nil || strings.Contains(name, ".") {
		return name
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	addresses, _ := net.DefaultResolver.LookupHost(ctx, name)
	for _, address := range addresses {
		names, _ := net.DefaultResolver.LookupAddr(ctx, address)
		for _, full := range names {
			if strings.HasPrefix(full, name+".") {
				return strings.TrimSuffix(full, ".")
			}
		}
	}
	return name
}
