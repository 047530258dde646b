package agent

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// processCollector counts processes, and reports what they use where that is asked for.
type processCollector struct {
	checks []ProcessCheck
	known  map[int32]*candidate
	rates  rates
}

// A candidate is a process that was looked at.
type candidate struct {
	seen    time.Time // first
	looked  time.Time // last
	matches []bool    // by check
	any     bool
}

// A young process may still become another program; an old number may be another's.
const (
	young       = 10 * time.Second
	lookAgainAt = 30 * time.Second
)

func (c *processCollector) collect(ctx context.Context, r *report) error {
	pids, err := process.PidsWithContext(ctx)
	if err != nil {
		return err
	}
	c.look(ctx, r.time, pids)
	c.rates.begin(r.time)
	for n := range c.checks {
		check := &c.checks[n]
		total := usage{}
		for pid, k := range c.known {
			if !k.any || !k.matches[n] {
				continue
			}
			total.count++
			if check.Detailed {
				total.add(ctx, c, n, pid)
			}
		}
		total.report(r, check)
	}
	return nil
}

// look matches the processes that have to be looked at and forgets those that are gone.
func (c *processCollector) look(ctx context.Context, now time.Time, pids []int32) {
	if c.known == nil {
		c.known = make(map[int32]*candidate)
	}
	alive := make(map[int32]bool, len(pids))
	for _, pid := range pids {
		alive[pid] = true
		k := c.known[pid]
		if k != nil && !k.any && now.Sub(k.seen) >= young && now.Sub(k.looked) < lookAgainAt {
			continue
		}
		if k == nil {
			k = &candidate{seen: now, matches: make([]bool, len(c.checks))}
			c.known[pid] = k
		}
		k.looked = now
		c.match(ctx, pid, k)
	}
	for pid := range c.known {
		if !alive[pid] {
			delete(c.known, pid)
		}
	}
}

func (c *processCollector) match(ctx context.Context, pid int32, k *candidate) {
	p := &process.Process{Pid: pid}
	name, err := p.NameWithContext(ctx)
	k.any = false
	if err != nil { // it ended meanwhile
		clear(k.matches)
		return
	}
	line, user := "", ""
	for n := range c.checks {
		check := &c.checks[n]
		ok := name == check.Name
		if len(check.Search) > 0 {
			if line == "" {
				line, _ = p.CmdlineWithContext(ctx)
			}
			ok = slices.ContainsFunc(check.Search, func(text string) bool { return strings.Contains(line, text) })
		}
		if ok && check.User != "" {
			if user == "" {
				user, _ = p.UsernameWithContext(ctx)
			}
			ok = user == check.User
		}
		k.matches[n] = ok
		k.any = k.any || ok
	}
}

// usage is what the processes of one check use together.
type usage struct {
	count, threads, files   int
	cpu                     float64
	hasCPU, hasFiles, hasIO bool
	resident                uint64
	reads, writes           uint64
	readBytes, writeBytes   uint64
}

// add reads one process. What may not be read, or is gone, counts nothing.
func (u *usage) add(ctx context.Context, c *processCollector, check int, pid int32) {
	p, err := process.NewProcessWithContext(ctx, pid)
	if err != nil {
		return
	}
	if n, err := p.NumThreadsWithContext(ctx); err == nil {
		u.threads += int(n)
	}
	if m, err := p.MemoryInfoWithContext(ctx); err == nil {
		u.resident += m.RSS
	}
	if n, err := p.NumFDsWithContext(ctx); err == nil {
		u.files += int(n)
		u.hasFiles = true
	}
	if t, err := p.TimesWithContext(ctx); err == nil {
		created, _ := p.CreateTimeWithContext(ctx)
		key := strconv.Itoa(check) + "/" + strconv.Itoa(int(pid)) + "/" + strconv.FormatInt(created, 10)
		if v, ok := c.rates.rate(key, t.User+t.System); ok {
			u.cpu += 100 * v
		}
		u.hasCPU = c.rates.span > 0
	}
	if io, err := p.IOCountersWithContext(ctx); err == nil {
		u.reads += io.ReadCount
		u.writes += io.WriteCount
		u.readBytes += io.ReadBytes
		u.writeBytes += io.WriteBytes
		u.hasIO = true
	}
}

func (u *usage) report(r *report, check *ProcessCheck) {
	dims := []string{"process_name", check.label()}
	if check.User != "" {
		dims = append(dims, "process_user", check.User)
	}
	put := func(name string, value float64) { r.addTo(check.Dimensions, name, value, dims...) }
	put("process.pid_count", float64(u.count))
	if !check.Detailed || u.count == 0 {
		return
	}
	put("process.thread_count", float64(u.threads))
	put("process.mem.rss_mbytes", float64(u.resident/mebibyte))
	if u.hasCPU {
		put("process.cpu_perc", round(u.cpu, 2))
	}
	if u.hasFiles {
		put("process.open_file_descriptors", float64(u.files))
	}
	if u.hasIO {
		put("process.io.read_count", float64(u.reads))
		put("process.io.write_count", float64(u.writes))
		put("process.io.read_kbytes", float64(u.readBytes/1024))
		put("process.io.write_kbytes", float64(u.writeBytes/1024))
	}
}
