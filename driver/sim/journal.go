package sim

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// A journal is a file with one line for each change of a machine: the last line of a machine counts. It is
// written at once and not synced: it outlives the process, which is all that a simulation needs.
type journal struct {
	file *os.File
	err  error // of the first write that failed
}

// A line of the journal.
type line struct {
	Tenant     string           `json:"tenant"`
	ID         driver.MachineID `json:"id"`
	Double     uint16           `json:"double,omitempty"`
	State      driver.State     `json:"state"`
	Address    string           `json:"address,omitempty"`
	Created    int64            `json:"created,omitempty"`
	Changed    int64            `json:"changed,omitempty"`
	Generation uint64           `json:"generation,omitempty"`
	Exit       int32            `json:"exit,omitempty"`
	CPUs       float32          `json:"cpus,omitempty"`
	Memory     uint32           `json:"memory,omitempty"`
	Load       float32          `json:"load,omitempty"`
	Details    *lineDetails     `json:"details,omitempty"`
	Serial     uint32           `json:"serial"`
	Network    *network         `json:"network,omitempty"` // the line is about a network, and nothing else counts
}

type lineDetails struct {
	Reason    string          `json:"reason,omitempty"`
	Data      string          `json:"data,omitempty"`
	Print     string          `json:"print,omitempty"`
	Boot      time.Duration   `json:"boot"`
	ExitAfter time.Duration   `json:"exit_after"`
	ExitCode  int32           `json:"exit_code,omitempty"`
	Snapshots map[string]bool `json:"snapshots,omitempty"`
}

// record writes the machine down. The caller holds the lock.
func (c *Cloud) record(m *machine) {
	if c.journal != nil {
		c.write(c.lineOf(m))
	}
}

func (c *Cloud) write(l line) {
	if c.journal == nil || c.journal.err != nil {
		return
	}
	text, err := json.Marshal(l)
	if err == nil {
		_, err = c.journal.file.Write(append(text, '\n'))
	}
	c.journal.err = err
}

// journalError says that changes are no longer kept. The caller holds the lock.
func (c *Cloud) journalError() error {
	if c.journal == nil || c.journal.err == nil {
		return nil
	}
	return fmt.Errorf("%w: write %s: %w", driver.ErrUnavailable, c.journal.file.Name(), c.journal.err)
}

func (c *Cloud) lineOf(m *machine) line {
	l := line{
		Tenant: m.tenant.name, ID: m.id, Double: m.double, State: m.state, Address: m.address[0], Created: m.created,
		Changed: m.changed, Generation: m.generation, Exit: m.exit, CPUs: m.cpus, Memory: m.memory, Load: m.load, Serial: c.serial,
	}
	if d := m.more; d != nil {
		l.Details = &lineDetails{d.reason, d.data, d.print, d.boot, d.exitAfter, d.exitCode, d.snapshots}
	}
	return l
}

// persist reads the journal, if there is one, writes it anew without what is gone, and goes on in it.
func (c *Cloud) persist(path string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.read(path); err != nil {
		return err
	}
	fresh := path + ".new"
	file, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write the machines: %w", err)
	}
	out := bufio.NewWriter(file)
	enc := json.NewEncoder(out)
	for _, t := range c.tenants {
		for _, m := range t.slots {
			if m != nil && err == nil {
				err = enc.Encode(c.lineOf(m))
			}
		}
		for _, n := range t.networks {
			if err == nil {
				err = enc.Encode(lineOfNetwork(t, n, c.serial))
			}
		}
	}
	err = errors.Join(err, out.Flush())
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the machines: %w", err), file.Close())
	}
	c.journal = &journal{file: file}
	return nil
}

func (c *Cloud) read(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the machines: %w", err)
	}
	defer file.Close()
	type key struct {
		tenant string
		id     driver.MachineID
		double uint16
	}
	last := map[key]line{}
	var order []key
	in := bufio.NewReader(file)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if err == io.EOF { // a last line without its end was cut off by a crash
			break
		}
		var l line
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err != nil {
			return fmt.Errorf("read the machines: %s:%d: %w; remove the file to start without machines", path, n, err)
		}
		k := key{l.Tenant, l.ID, l.Double}
		if _, known := last[k]; !known {
			order = append(order, k)
		}
		last[k] = l
		c.serial = max(c.serial, l.Serial)
	}
	for _, k := range order {
		switch l := last[k]; {
		case l.Network != nil:
			c.reviveNetwork(l)
		case l.State != driver.Gone:
			c.revive(l)
		}
	}
	return nil
}

// revive makes the machine of a line again. What should have happened to it meanwhile happens now.
func (c *Cloud) revive(l line) {
	t := c.tenant(l.Tenant)
	m := &machine{
		id: l.ID, tenant: t, created: l.Created, changed: l.Changed, generation: l.Generation, cpus: l.CPUs, memory: l.Memory,
		exit: l.Exit, load: l.Load, double: l.Double, state: l.State, before: l.State, next: t.machines[l.ID],
	}
	m.address[0] = l.Address
	if d := l.Details; d != nil {
		m.more = &details{reason: d.Reason, data: d.Data, print: d.Print, boot: d.Boot, exitAfter: d.ExitAfter, exitCode: d.ExitCode, snapshots: d.Snapshots}
		if d.Data != "" {
			t.data[d.Data] = true
		}
	}
	t.machines[l.ID] = m
	c.place(m)
	since := time.Unix(0, l.Changed)
	switch {
	case m.state == driver.Pending:
		c.start(m, since)
	case m.state == driver.Running:
		c.boot(m, since)
	}
}
