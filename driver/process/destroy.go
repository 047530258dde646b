//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// Destroy ends the machine's processes and removes its folder. A grave stays for an hour, so that a creation that
// comes too late makes nothing.
func (h *host) Destroy(ctx context.Context, ref driver.Ref, mode driver.Shutdown) error {
	if err := h.destroy(ctx, ref.ID, mode); err != nil {
		return fmt.Errorf("process: destroy %s: %w", ref.ID, err)
	}
	return nil
}

func (h *host) destroy(ctx context.Context, id driver.MachineID, mode driver.Shutdown) error {
	if err := checkName("a machine's id", string(id)); err != nil {
		return nil // there can be no such machine
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	there, err := h.condemn(id)
	if err != nil || !there {
		return err
	}
	if err := h.end(ctx, id, mode); err != nil {
		return err
	}
	if err := h.cancelExecs(ctx, id); err != nil {
		return err
	}
	defer h.ids.lock(id)()
	h.settle(id)
	if err := h.inter(id); err != nil {
		return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
	}
	h.notify(id)
	return nil
}

// condemn notes down that the machine is to go. It returns false when there is none.
func (h *host) condemn(id driver.MachineID) (bool, error) {
	defer h.ids.lock(id)()
	f := h.folder(id)
	_, err := os.Stat(string(f))
	there := err == nil
	if there && !h.owns(f.plan()) {
		return false, nil
	}
	if err := os.Mkdir(h.grave(id), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return there, fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
	}
	if !there {
		h.untell(id)
		return false, nil
	}
	h.at("destroy.begun")
	in, err := f.intent()
	if err != nil {
		in = &intent{}
	}
	if in.Phase != removed {
		in.Phase = removed
		in.Change++
		if err := f.write("intent.json", in); err != nil {
			return true, fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
		}
	}
	h.at("destroy.noted")
	return true, nil
}

// inter removes the folder of a machine that has no process left.
func (h *host) inter(id driver.MachineID) error {
	f := h.folder(id)
	p, err := f.plan()
	address := ""
	if err == nil {
		address = p.Address
	}
	h.at("destroy.ended")
	grave := h.grave(id)
	if err := clearFolder(grave); err != nil {
		return err
	}
	// Not os.Rename, which refuses to take the place of a folder even when that is empty.
	if err := unix.Rename(string(f), grave); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	h.at("destroy.moved")
	h.unassign(id, address)
	return clearFolder(grave)
}

// RemoveData removes what stable machines of that data name have kept.
func (h *host) RemoveData(ctx context.Context, data string) error {
	if err := checkName("data", data); err != nil {
		return fmt.Errorf("process: remove data: %w", err)
	}
	if err := removeAll(h.data(data)); err != nil {
		return fmt.Errorf("process: remove data %s: %w: %w", data, driver.ErrUnavailable, err)
	}
	return ctx.Err()
}
