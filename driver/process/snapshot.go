//go:build linux

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/nearest"
)

func isSnapshot(a driver.Action) bool {
	switch a {
	case driver.SnapshotCreate, driver.SnapshotRevert, driver.SnapshotDelete,
		driver.DiskSnapshotCreate, driver.DiskSnapshotRevert, driver.DiskSnapshotDelete:
		return true
	}
	return false
}

// snapshot makes, restores or deletes a copy of the machine's folder, or for the disk actions of its data folder
// if it has one. Args is the snapshot's name, after a disk's number for the disk actions; one that exists is replaced.
// A running machine is copied as it runs; suspend it for a copy of one moment. Copies are named last and the token is
// noted when all is done: what a crash cut short is begun anew. Snapshots end with the machine.
func (h *host) snapshot(ctx context.Context, id driver.MachineID, action driver.Action, args, token string) error {
	in, err := h.intent(id)
	if err != nil {
		return err
	}
	if in.knows(token) {
		return nil
	}
	p, err := h.folder(id).plan()
	if err != nil {
		return err
	}
	source, prefix, name := h.folder(id).root(), "root-", args
	switch action {
	case driver.DiskSnapshotCreate, driver.DiskSnapshotRevert, driver.DiskSnapshotDelete:
		prefix = "disk-"
		if p.Data != "" {
			source = h.data(p.Data)
		}
		if _, second, ok := strings.Cut(args, ","); ok { // the number of the disk comes first
			name = second
		}
	}
	name = strings.TrimSpace(name)
	if name == "" {
		name = "snapshot"
	}
	if err := checkName("a snapshot's name", name); err != nil {
		return err
	}
	saved := filepath.Join(h.folder(id).snapshots(), prefix+fileName(name))
	if action != driver.SnapshotCreate && action != driver.DiskSnapshotCreate {
		if _, err := os.Stat(saved); err != nil {
			return h.noSnapshot(id, prefix, name)
		}
	}
	switch action {
	case driver.SnapshotCreate, driver.DiskSnapshotCreate:
		err = replace(ctx, source, saved)
	case driver.SnapshotDelete, driver.DiskSnapshotDelete:
		err = removeAll(saved)
	default:
		return h.revert(ctx, id, saved, source, token)
	}
	if err != nil {
		return err
	}
	return h.change(id, func(in *intent, _ bool) error {
		in.note(token)
		return nil
	})
}

func (h *host) noSnapshot(id driver.MachineID, prefix, name string) error {
	entries, _ := os.ReadDir(h.folder(id).snapshots())
	var known []string
	for _, e := range entries {
		if s, ok := strings.CutPrefix(e.Name(), prefix); ok {
			known = append(known, string(idOf(s)))
		}
	}
	return fmt.Errorf("there is no snapshot %q%s: %w", name, nearest.Hint(name, known), driver.ErrInvalid)
}

// revert ends the machine's processes, puts the copy in place and, if it ran, starts it again.
func (h *host) revert(ctx context.Context, id driver.MachineID, saved, place, token string) error {
	again := false
	if err := h.change(id, func(in *intent, alive bool) error {
		if again = alive || in.Restart; again {
			in.Phase, in.Restart = running, true
		}
		return nil
	}); err != nil {
		return err
	}
	if again {
		if err := h.end(ctx, id, driver.Hard); err != nil {
			return err
		}
	}
	if err := replace(ctx, saved, place); err != nil {
		return err
	}
	if err := h.change(id, func(in *intent, _ bool) error {
		if in.Restart {
			in.again()
		}
		in.note(token)
		return nil
	}); err != nil || !again {
		return err
	}
	return h.converge(ctx, id, driver.Hard)
}

// replace makes a folder a copy of another, owners, links and times included. It is named when it is whole.
func replace(ctx context.Context, from, to string) error {
	temp := to + "%new" // fileName makes no such name
	old := to + "%old"
	for _, path := range []string{temp, old} {
		if err := removeAll(path); err != nil {
			return err
		}
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", "--", from, temp).CombinedOutput(); err != nil {
		removeAll(temp)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("copy %s: %w: %s", from, err, bytes.TrimSpace(out))
	}
	if err := os.Rename(to, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(temp, to); err != nil {
		return err
	}
	return removeAll(old)
}
