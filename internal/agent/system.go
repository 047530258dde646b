package agent

import (
	"context"
	"math"
	"runtime"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
)

// A collector reads one part of the machine and adds what it finds to a report. It is called by one goroutine.
type collector interface {
	collect(ctx context.Context, r *report) error
}

const mebibyte = 1 << 20

// slowly is how often things are read that hardly change: mounts, clocks of processors.
const slowly = time.Minute

// cpuCollector reports how the processors' time was spent since the run before.
type cpuCollector struct {
	rates   rates
	mhz     float64
	mhzTime time.Time
	cores   int
}

func (c *cpuCollector) collect(ctx context.Context, r *report) error {
	all, err := cpu.TimesWithContext(ctx, false)
	if err != nil {
		return err
	}
	if c.mhzTime.IsZero() || r.time.Sub(c.mhzTime) >= slowly {
		c.mhzTime, c.mhz = r.time, frequency(ctx)
		if c.cores, err = cpu.CountsWithContext(ctx, true); err != nil {
			c.cores = runtime.NumCPU()
		}
	}
	t := all[0]
	user, system := t.User+t.Nice, t.System+t.Irq+t.Softirq
	r.add("cpu.user_time", round(user, 2))
	r.add("cpu.system_time", round(system, 2))
	r.add("cpu.idle_time", round(t.Idle, 2))
	r.add("cpu.wait_time", round(t.Iowait, 2))
	r.add("cpu.total_logical_cores", float64(c.cores))
	if c.mhz > 0 {
		r.add("cpu.frequency_mhz", c.mhz)
	}
	c.rates.begin(r.time)
	parts := []struct {
		name  string
		total float64
		grown float64
	}{
		{"cpu.user_perc", user, 0}, {"cpu.system_perc", system, 0}, {"cpu.idle_perc", t.Idle, 0},
		{"cpu.wait_perc", t.Iowait, 0}, {"cpu.stolen_perc", t.Steal, 0},
	}
	sum := 0.0
	known := true
	for i, p := range parts {
		grown, ok := c.rates.grown(p.name, p.total)
		// The kernel sets idle and waiting time back a little now and then.
		known = known && c.rates.span > 0 && (ok || p.total >= c.rates.before[p.name]-1)
		parts[i].grown = max(grown, 0)
		sum += parts[i].grown
	}
	if !known || sum <= 0 {
		return nil
	}
	for _, p := range parts {
		r.add(p.name, round(100*p.grown/sum, 2))
	}
	r.add("cpu.percent", round(100*(sum-parts[2].grown-parts[3].grown)/sum, 2))
	return nil
}

// frequency returns the highest clock of the first processor, in MHz; 0 where it is not known.
func frequency(ctx context.Context) float64 {
	info, err := cpu.InfoWithContext(ctx)
	if err != nil || len(info) == 0 {
		return 0
	}
	return info[0].Mhz
}

func round(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

// memoryCollector reports memory and swap, in whole MiB.
type memoryCollector struct{}

func (memoryCollector) collect(ctx context.Context, r *report) error {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	for _, x := range []struct {
		name  string
		bytes uint64
	}{
		{"mem.total_mb", m.Total}, {"mem.free_mb", m.Free}, {"mem.usable_mb", m.Available},
		{"mem.swap_total_mb", m.SwapTotal}, {"mem.swap_used_mb", less(m.SwapTotal, m.SwapFree)}, {"mem.swap_free_mb", m.SwapFree},
		{"mem.used_buffers", m.Buffers}, {"mem.used_cache", m.Cached}, {"mem.used_shared", m.Shared}, {"mem.used_slab_mb", m.Slab},
		{"mem.used_real_mb", less(m.Total, m.Free+m.Buffers+m.Cached)},
	} {
		r.add(x.name, float64(x.bytes/mebibyte))
	}
	r.add("mem.usable_perc", percent(m.Available, m.Total))
	free := 100.0 // without swap none is used
	if m.SwapTotal > 0 {
		free = percent(m.SwapFree, m.SwapTotal)
	}
	r.add("mem.swap_free_perc", free)
	return nil
}

func less(a, b uint64) uint64 { return a - min(a, b) }

func percent(part, whole uint64) float64 { return round(100*float64(part)/float64(whole), 2) }

// loadCollector reports load averages, each divided by the number of logical cores.
type loadCollector struct{ cores int }

func (c *loadCollector) collect(ctx context.Context, r *report) error {
	avg, err := load.AvgWithContext(ctx)
	if err != nil {
		return err
	}
	if c.cores == 0 {
		if c.cores, err = cpu.CountsWithContext(ctx, true); err != nil || c.cores == 0 {
			c.cores = runtime.NumCPU()
		}
	}
	n := float64(c.cores)
	r.add("load.avg_1_min", round(avg.Load1/n, 3))
	r.add("load.avg_5_min", round(avg.Load5/n, 3))
	r.add("load.avg_15_min", round(avg.Load15/n, 3))
	return nil
}
