//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// Create makes the machine's folder, with its final name only when it is whole, and then a supervisor.
func (h *host) Create(ctx context.Context, req driver.Request) (driver.Machine, error) {
	if err := ctx.Err(); err != nil {
		return driver.Machine{}, fmt.Errorf("process: create %s: %w", req.ID, err)
	}
	ready, err := h.create(&req)
	if err == nil {
		err = h.begun(ctx, req.ID, ready)
	}
	if err != nil {
		return driver.Machine{}, fmt.Errorf("process: create %s: %w", req.ID, err)
	}
	h.collect(req.ID)
	h.notify(req.ID)
	m, ok := h.look(req.ID)
	if !ok {
		return m, fmt.Errorf("process: create %s: it was destroyed meanwhile: %w", req.ID, driver.ErrInvalid)
	}
	return m, nil
}

func (h *host) create(req *driver.Request) (*os.File, error) {
	if err := checkName("a machine's id", string(req.ID)); err != nil {
		return nil, err
	}
	defer h.ids.lock(req.ID)()
	if _, err := os.Stat(h.grave(req.ID)); err == nil {
		return nil, fmt.Errorf("it was destroyed: %w", driver.ErrInvalid)
	}
	f := h.folder(req.ID)
	if _, err := os.Stat(string(f)); errors.Is(err, fs.ErrNotExist) {
		if err := h.make(req); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
	} else if p, err := f.plan(); err != nil {
		return nil, fmt.Errorf("its record cannot be read; destroy it and make another: %w", err)
	} else if !h.owns(p, nil) {
		return nil, fmt.Errorf("folder %s belongs to another installation: %w", f, driver.ErrInvalid)
	}
	return h.launch(req.ID)
}

// make makes the folder of a machine.
func (h *host) make(req *driver.Request) (err error) {
	defer func() {
		if err != nil {
			h.untell(req.ID)
		}
	}()
	f := h.folder(req.ID)
	p, more, err := newPlan(req, h.groups != "", f.root())
	if err != nil {
		return err
	}
	if err := checkEnv(req.Env); err != nil {
		return err
	}
	files := append(slices.Clip(req.Files), more...)
	if err := checkFiles(files); err != nil {
		return err
	}
	if req.Data != "" {
		if err := checkName("data", req.Data); err != nil {
			return err
		}
	}
	p.Installation, p.Created, p.User = h.installation, time.Now(), h.user
	if p.Address, err = h.assign(req.ID, req.Address); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			h.unassign(req.ID, p.Address)
		}
	}()
	data := ""
	if req.Data != "" {
		data = h.data(req.Data)
	}
	p.Env = environment(p, req, f.root(), data)
	if h.groups != "" {
		p.Group = &group{Path: filepath.Join(h.groups, fileName(string(req.ID))), Memory: req.Memory, CPUs: req.CPUs}
	}
	in := &intent{Phase: running, Run: 1, Generation: max(req.Generation, h.generation)}
	if req.Hold {
		in = &intent{Phase: held, Generation: in.Generation}
	}
	if err := h.fill(f, p, in, files, data); err != nil {
		return fmt.Errorf("make its folder: %w: %w", driver.ErrUnavailable, err)
	}
	h.mu.Lock()
	delete(h.told, req.ID) // its folder says it from now on
	h.mu.Unlock()
	h.at("create.named")
	return nil
}

// fill makes the folder beside its final place and then names it.
func (h *host) fill(f folder, p *plan, in *intent, files []driver.File, data string) error {
	temp, err := os.MkdirTemp(h.machines(), h.unfinished())
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.Chmod(temp, 0o711); err != nil {
		return err
	}
	n := folder(temp)
	for _, d := range []string{n.logs(), n.snapshots()} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	if err := p.User.own(n.root()); err != nil {
		return err
	}
	if data != "" {
		if err := p.User.own(data); err != nil {
			return err
		}
	}
	h.at("create.made")
	if err := writeFiles(n, p.User, files, nil); err != nil {
		return err
	}
	if p.Dir != "" {
		if err := makeDir(n, p.User, p.Dir); err != nil {
			return err
		}
	}
	if err := os.WriteFile(n.lock(), nil, 0o600); err != nil {
		return err
	}
	if err := n.write("intent.json", in); err != nil {
		return err
	}
	if err := n.write("plan.json", p); err != nil {
		return err
	}
	h.at("create.filled")
	return os.Rename(temp, string(f))
}

// own makes a folder that belongs to the user, if it is not there yet.
func (a *account) own(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil && a != nil {
		err = os.Chown(path, int(a.UID), int(a.GID))
	}
	return err
}

// launch starts a supervisor if the machine is wanted running, this run was not begun and nobody is at it. It returns nil
// when there was nothing to start. The caller has the machine's lock.
func (h *host) launch(id driver.MachineID) (*os.File, error) {
	if !h.collectLocked(id) {
		return nil, nil
	}
	f := h.folder(id)
	in, err := f.intent()
	if err != nil {
		return nil, err
	}
	if in.Phase == removed {
		return nil, fmt.Errorf("it is being destroyed: %w", driver.ErrInvalid)
	}
	if r, err := f.run(); in.Phase != running || err == nil && r.Number >= in.Run {
		return nil, nil
	}
	p, err := f.plan()
	if err != nil {
		return nil, err
	}
	c, err := claim(p.Address)
	// A supervisor that a dead server has just started may have the address already, but not the lock yet.
	for range 200 {
		if err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
		if h.adopt(id) {
			return nil, nil
		}
		c, err = claim(p.Address)
	}
	if err != nil {
		return nil, fmt.Errorf("address %s: %w: %w", p.Address, driver.ErrUnavailable, err)
	}
	defer c.Close()
	r, err := h.start(id, c)
	h.at("create.started")
	return r, err
}

// begun waits until a machine that is starting has started. Ready is the pipe to its supervisor, or nil when an
// earlier call or server started that.
func (h *host) begun(ctx context.Context, id driver.MachineID, ready *os.File) error {
	if ready != nil {
		if err := started(ctx, ready); err != nil {
			return err
		}
		return h.ended(ctx, id)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		f := h.folder(id)
		in, err := f.intent()
		if err != nil || in.Phase != running {
			return nil
		}
		if r, err := f.run(); err == nil && r.Number == in.Run && (r.Main.PID != 0 || r.End != nil) {
			return h.ended(ctx, id)
		}
		if h.collect(id) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ended waits for the supervisor of a run that has ended already: it has nothing to do any more but to end.
func (h *host) ended(ctx context.Context, id driver.MachineID) error {
	s, err := h.supervised(id)
	if err != nil {
		return err
	}
	if s != nil {
		defer unix.Close(s.pidfd)
	}
	f := h.folder(id)
	in, err := f.intent()
	if err != nil {
		return nil
	}
	if r, err := f.run(); err != nil || r.Number != in.Run || r.End == nil {
		return nil
	}
	err = h.waitFor(ctx, id, endTime)
	if !errors.Is(err, errUnanswered) || s == nil {
		return err
	}
	if err := s.signal(unix.SIGKILL); err != nil {
		return err
	}
	return h.wait(ctx, id)
}

// List yields the machines of this installation. What is being made has no name yet and is not among them.
func (h *host) List(ctx context.Context) iter.Seq2[driver.Machine, error] {
	return func(yield func(driver.Machine, error) bool) {
		h.bury()
		ids, err := h.list()
		if err != nil {
			yield(driver.Machine{}, fmt.Errorf("process: list: %w: %w", driver.ErrUnavailable, err))
			return
		}
		for _, id := range ids {
			if ctx.Err() != nil {
				break
			}
			if !h.owns(h.folder(id).plan()) {
				continue
			}
			h.collect(id)
			if m, ok := h.look(id); ok && !yield(m, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(driver.Machine{}, fmt.Errorf("process: list: %w", err))
		}
	}
}

func (h *host) list() ([]driver.MachineID, error) {
	d, err := os.Open(h.machines())
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	ids := make([]driver.MachineID, 0, len(names))
	for _, name := range names {
		if name[0] != '.' {
			ids = append(ids, idOf(name))
		}
	}
	return ids, nil
}
