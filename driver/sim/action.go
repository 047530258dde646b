package sim

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// find returns the machine of the ref. The caller holds the lock.
func (a *account) find(ref driver.Ref) (*machine, error) {
	for m := a.tenant.machines[ref.ID]; m != nil; m = m.next {
		if ref.Native == "" || ref.Native == m.native() {
			return m, nil
		}
	}
	return nil, fmt.Errorf("%w: there is no machine %s", driver.ErrNotFound, ref.ID)
}

// tokensKept is how many of a machine's last actions are known again.
const tokensKept = 8

func (a *account) Act(ctx context.Context, ref driver.Ref, action driver.Action, args, token string) error {
	c := a.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(actions, action) {
		return fmt.Errorf("sim: %s: %w: no such action %q", ref.ID, driver.ErrUnsupported, action)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sim: %s %s: %w", action, ref.ID, err)
	}
	m, err := a.find(ref)
	if err == nil && token != "" && m.more != nil && slices.Contains(m.more.tokens, token) {
		return nil
	}
	if err == nil {
		err = c.act(m, action, args)
	}
	if err != nil {
		return fmt.Errorf("sim: %s %s: %w", action, ref.ID, err)
	}
	if token != "" {
		d := m.details()
		if len(d.tokens) == tokensKept {
			d.tokens = d.tokens[1:]
		}
		d.tokens = append(d.tokens, token)
	}
	return c.journalError()
}

func (c *Cloud) act(m *machine, action driver.Action, args string) error {
	now := time.Now()
	active := m.state == driver.Running || m.state == driver.Pending
	to, allowed := driver.Unknown, true
	switch action {
	case driver.Hold:
		to, allowed = driver.Held, m.state == driver.Pending || m.state == driver.Held
	case driver.Release:
		return c.restart(m, now, m.state == driver.Held)
	case driver.Resume:
		if m.state == driver.Suspended {
			to = driver.Running
			break
		}
		if active {
			return nil
		}
		return c.restart(m, now, m.state != driver.Held)
	case driver.Reboot, driver.RebootHard:
		return c.restart(m, now, active)
	case driver.Suspend:
		to, allowed = driver.Suspended, m.state == driver.Running || m.state == driver.Suspended
	case driver.Stop, driver.Poweroff, driver.PoweroffHard:
		to = driver.Stopped
	case driver.Undeploy, driver.UndeployHard:
		to = driver.Undeployed
	default:
		return c.snapshot(m, action, args)
	}
	if !allowed {
		return errState(m)
	}
	if m.state != to {
		c.become(m, to, now)
	}
	return nil
}

func errState(m *machine) error {
	return fmt.Errorf("%w: the machine is %s", driver.ErrInvalid, m.state)
}

func (c *Cloud) restart(m *machine, now time.Time, allowed bool) error {
	if !allowed {
		return errState(m)
	}
	c.start(m, now)
	c.publish(m)
	return nil
}

// snapshot makes, restores or drops a snapshot: of the machine, or of one of its disks ("disk,name").
func (c *Cloud) snapshot(m *machine, action driver.Action, args string) error {
	d := m.details()
	name := string(action[0]) + ":" + args // "s" and "d": snapshots of machine and of disks are apart
	switch action {
	case driver.SnapshotCreate, driver.DiskSnapshotCreate:
		if d.snapshots == nil {
			d.snapshots = map[string]bool{}
		}
		d.snapshots[name] = true
	default:
		if !d.snapshots[name] {
			return fmt.Errorf("%w: there is no snapshot %q", driver.ErrNotFound, args)
		}
		if action == driver.SnapshotDelete || action == driver.DiskSnapshotDelete {
			delete(d.snapshots, name)
		}
	}
	c.record(m)
	return nil
}

func (a *account) Exec(ctx context.Context, ref driver.Ref, _ driver.Command) (int, error) {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	m, err := a.find(ref)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && m.state != driver.Running {
		err = errState(m)
	}
	if err != nil {
		return 0, fmt.Errorf("sim: exec in %s: %w", ref.ID, err)
	}
	if m.more != nil && m.more.sick {
		return 1, nil
	}
	return 0, nil
}

func (a *account) Refresh(ctx context.Context, ref driver.Ref, files []driver.File) error {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	m, err := a.find(ref)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("sim: refresh %s: %w", ref.ID, err)
	}
	d := m.details()
	if d.files == nil {
		d.files = map[string]driver.File{}
	}
	for _, f := range files {
		f.Content = slices.Clone(f.Content)
		d.files[f.Path] = f
	}
	return nil
}

// Files returns what Refresh has written into a machine, by path.
func (c *Cloud) Files(id driver.MachineID) map[string]driver.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	files := map[string]driver.File{}
	for _, t := range c.tenants {
		if m := t.machines[id]; m != nil && m.more != nil {
			for path, f := range m.more.files {
				files[path] = f
			}
		}
	}
	return files
}

func (a *account) Stamp(ctx context.Context, ref driver.Ref, generation uint64) error {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	m, err := a.find(ref)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("sim: stamp %s: %w", ref.ID, err)
	}
	m.generation = generation
	a.cloud.record(m)
	return a.cloud.journalError()
}

func (a *account) RemoveData(ctx context.Context, data string) error {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sim: remove data %s: %w", data, err)
	}
	delete(a.tenant.data, data)
	return nil
}

// Data returns the names of the data that outlive machines, in order.
func (c *Cloud) Data() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, t := range c.tenants {
		for name := range t.data {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Measure tells of each running machine that it has used its load of its processors since it was made.
func (a *account) Measure(ctx context.Context) iter.Seq2[driver.Figures, error] {
	return func(yield func(driver.Figures, error) bool) {
		c := a.cloud
		buffer := make([]driver.Figures, 0, portion)
		for from, end := 0, false; !end; from += portion {
			err := ctx.Err()
			if c.outage.Load() {
				err = errOutage("measure")
			}
			if err != nil {
				yield(driver.Figures{}, fmt.Errorf("sim: measure: %w", err))
				return
			}
			buffer, end = a.figures(buffer[:0], from, time.Now())
			for i := range buffer {
				if !yield(buffer[i], nil) {
					return
				}
			}
		}
	}
}

func (a *account) figures(to []driver.Figures, from int, now time.Time) (_ []driver.Figures, end bool) {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	slots := a.tenant.slots
	for _, m := range slots[min(from, len(slots)):min(from+portion, len(slots))] {
		if m == nil || m.state != driver.Running {
			continue
		}
		age := time.Duration(now.UnixNano() - m.created).Seconds()
		to = append(to, driver.Figures{
			ID: m.id, CPUSeconds: age * float64(m.load) * max(float64(m.cpus), 1), MemoryBytes: int64(float64(m.load) * float64(max(m.memory, 64)) * (1 << 20)),
		})
	}
	return to, from+portion >= len(slots)
}
