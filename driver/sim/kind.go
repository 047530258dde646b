// Package sim is a simulated back end: its machines are records in memory that boot, exit, die and answer
// late as their options say. It is for simulations, scale tests and demonstrations.
//
// All luck comes from the seed and the names of calls and machines, not from the order of calls, so that
// a run can be repeated.
package sim

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// Options say how a Cloud behaves. The zero value is a perfect back end without delays or bounds.
type Options struct {
	Seed         uint64
	CreateDelay  time.Duration // until Create answers
	BootDelay    time.Duration // from pending to running
	DestroyDelay time.Duration // until Destroy answers
	Jitter       float64       // delays vary by this fraction of themselves, up and down
	BootFailures float64       // fraction of machines that fail when they boot
	Lifetime     time.Duration // mean time until a running machine dies; 0 for never
	Capacity     int           // machines; 0 for no bound
	Rate         float64       // calls a second, beyond which callers are throttled; 0 for no bound
	ListDrop     float64       // fraction of machines that a list leaves out, as if it were complete
	ListCut      float64       // fraction of lists that end in an error half-way
	ListStale    time.Duration // a list shows how things stood that long ago
	VisibleAfter time.Duration // a list lacks machines that are younger
	Guarantee    driver.Guarantee
	// Faults are what goes wrong between caller and back end. Its Seed is the one above if it is 0.
	Faults driver.Plan
	// KeepRequests keeps each machine's request for Cloud.Request.
	KeepRequests bool
}

var accountOptions = []driver.Option{
	{Name: "name", Type: driver.String, Default: "default", Help: "which simulated back end of this server"},
	{Name: "persist", Type: driver.Bool, Default: false, Help: "keep the machines in a file, so that they outlive the server"},
	{Name: "seed", Type: driver.Int, Default: 1, Help: "start of all luck"},
	{Name: "create_delay", Type: driver.Duration, Default: 0, Help: "until a creation answers"},
	{Name: "boot_delay", Type: driver.Duration, Default: 0, Help: "from created to running"},
	{Name: "destroy_delay", Type: driver.Duration, Default: 0, Help: "until a removal answers"},
	{Name: "jitter", Type: driver.Float, Default: 0, Help: "delays vary by this fraction, 0 to 1"},
	{Name: "boot_failures", Type: driver.Float, Default: 0, Help: "fraction of machines that fail to boot"},
	{Name: "lifetime", Type: driver.Duration, Default: 0, Help: "mean time until a machine dies; 0 for never"},
	{Name: "capacity", Type: driver.Int, Default: 0, Help: "how many machines there may be; 0 for no bound"},
	{Name: "rate", Type: driver.Float, Default: 0, Help: "calls a second beyond which callers are throttled; 0 for no bound"},
	{Name: "list_drop", Type: driver.Float, Default: 0, Help: "fraction of machines that a list leaves out", Advanced: true},
	{Name: "list_cut", Type: driver.Float, Default: 0, Help: "fraction of lists that break off", Advanced: true},
	{Name: "list_stale", Type: driver.Duration, Default: 0, Help: "how old the state in a list is", Advanced: true},
	{Name: "errors", Type: driver.Float, Default: 0, Help: "fraction of calls that fail"},
	{Name: "lost", Type: driver.Float, Default: 0, Help: "fraction of calls that are done, but answered with an error"},
	{Name: "silent", Type: driver.Float, Default: 0, Help: "fraction of calls that are done, but never answered"},
	{Name: "doubled", Type: driver.Float, Default: 0, Help: "fraction of calls that are done twice"},
	{Name: "late", Type: driver.Duration, Default: 0, Help: "answers come up to this much later"},
}

var machineOptions = []driver.Option{
	{Name: "boot_time", Type: driver.Duration, Help: "from created to running; the account's boot_delay if absent"},
	{Name: "exit_after", Type: driver.Duration, Help: "the machine ends by itself after that time"},
	{Name: "exit_code", Type: driver.Int, Help: "with this code; alone, it ends at once"},
	{Name: "print", Type: driver.String, Help: "a line that it prints when it starts"},
	{Name: "load", Type: driver.Float, Default: 0.1, Help: "fraction of its processors that it uses"},
	{Name: "instead_of", Type: driver.String, Advanced: true, Help: "the driver that it stands for; shown, not used"},
	{Name: "request", Type: driver.Map, Advanced: true, Help: "what that driver would have been asked for; shown, not used"},
}

var actions = []driver.Action{
	driver.Hold, driver.Release, driver.Stop, driver.Suspend, driver.Resume, driver.Reboot, driver.RebootHard,
	driver.Poweroff, driver.PoweroffHard, driver.Undeploy, driver.UndeployHard,
	driver.SnapshotCreate, driver.SnapshotRevert, driver.SnapshotDelete,
	driver.DiskSnapshotCreate, driver.DiskSnapshotRevert, driver.DiskSnapshotDelete,
}

// Kind returns the driver as a server uses it: its accounts name simulated back ends that live as long as
// the Kind, or in a file.
func Kind() *driver.Kind {
	var mu sync.Mutex
	clouds := map[string]*Cloud{}
	k := describe(driver.Token, 0)
	k.Account = accountOptions
	k.New = func(_ context.Context, cfg driver.Config) (driver.Driver, error) {
		o, err := accountOf(cfg.Values)
		if err != nil {
			return nil, err
		}
		name := driver.Get[string](cfg.Values, "name")
		file := ""
		if driver.Get[bool](cfg.Values, "persist") {
			if name == "" || strings.ContainsAny(name, `/\`) || name[0] == '.' {
				return nil, &driver.OptionError{Option: "name", Problem: fmt.Sprintf("%q cannot be part of a file's name", name)}
			}
			file = filepath.Join(cfg.Dir, "sim-"+name+".jsonl")
		}
		mu.Lock()
		defer mu.Unlock()
		c := clouds[name+"\x00"+file]
		if c == nil {
			c = NewCloud(o)
			if file != "" {
				if err := c.persist(file); err != nil {
					return nil, fmt.Errorf("sim: account %s: %w", name, err)
				}
			}
			clouds[name+"\x00"+file] = c
		} else {
			c.Set(func(now *Options) { *now = o })
		}
		return c.open(cfg), nil
	}
	return k
}

// Kind returns a driver whose accounts are all this one back end.
func (c *Cloud) Kind() *driver.Kind {
	o := c.options.Load()
	k := describe(o.Guarantee, o.VisibleAfter)
	k.New = func(_ context.Context, cfg driver.Config) (driver.Driver, error) { return c.open(cfg), nil }
	return k
}

func describe(g driver.Guarantee, visibleAfter time.Duration) *driver.Kind {
	return &driver.Kind{
		Name: "sim", Help: "simulated machines in memory, with delays and failures at will",
		Options: machineOptions, Guarantee: g, VisibleAfter: visibleAfter, Actions: actions, Resources: resourceKinds,
		Limits: driver.Limits{Concurrency: 256},
	}
}

// accountOf reads the options of an account.
func accountOf(v map[string]any) (Options, error) {
	share := driver.Get[float64]
	span := driver.Get[time.Duration]
	o := Options{
		Guarantee:   driver.Token,
		Seed:        uint64(driver.Get[int](v, "seed")),
		CreateDelay: span(v, "create_delay"), BootDelay: span(v, "boot_delay"), DestroyDelay: span(v, "destroy_delay"),
		Jitter: share(v, "jitter"), BootFailures: share(v, "boot_failures"), Lifetime: span(v, "lifetime"),
		Capacity: driver.Get[int](v, "capacity"), Rate: share(v, "rate"),
		ListDrop: share(v, "list_drop"), ListCut: share(v, "list_cut"), ListStale: span(v, "list_stale"),
		Faults: driver.Plan{
			Errors: share(v, "errors"), Lost: share(v, "lost"), Silent: share(v, "silent"), Double: share(v, "doubled"),
			Late: span(v, "late"),
		},
	}
	for _, name := range []string{"jitter", "boot_failures", "list_drop", "list_cut", "errors", "lost", "silent", "doubled"} {
		if f := share(v, name); f < 0 || f > 1 {
			return Options{}, &driver.OptionError{Option: name, Problem: fmt.Sprintf("must be between 0 and 1, not %g", f)}
		}
	}
	if o.Capacity < 0 || o.Rate < 0 {
		return Options{}, &driver.OptionError{Option: "capacity", Problem: "neither it nor rate may be negative"}
	}
	return o, nil
}
