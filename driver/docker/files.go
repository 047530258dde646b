package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
)

// putFiles writes files into a container, which need not run. Paths are relative to its root.
func (h *host) putFiles(ctx context.Context, c container.InspectResponse, files []driver.File) error {
	if len(files) == 0 {
		return nil
	}
	text, err := archive(files, c.Config.Labels[labelOwner])
	if err != nil {
		return err
	}
	if _, err := h.cli.CopyToContainer(ctx, c.ID, client.CopyToContainerOptions{DestinationPath: "/", Content: bytes.NewReader(text)}); err != nil {
		return fmt.Errorf("write files: %w", err)
	}
	return nil
}

// archive packs files, owned by UID:GID or root.
func archive(files []driver.File, owner string) ([]byte, error) {
	uid, gid, _ := strings.Cut(owner, ":")
	u, _ := strconv.Atoi(uid)
	g, _ := strconv.Atoi(gid)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		name, err := localPath(f.Path)
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(modeOf(f)), Size: int64(len(f.Content)), Uid: u, Gid: g}); err != nil {
			return nil, fmt.Errorf("file %q: %w: %w", f.Path, driver.ErrInvalid, err)
		}
		if _, err := w.Write(f.Content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func localPath(path string) (string, error) {
	name := strings.TrimLeft(path, "/")
	if !filepath.IsLocal(name) || strings.HasSuffix(path, "/") || strings.Contains(path, "\x00") || filepath.Clean(name) == "." {
		return "", fmt.Errorf("file %q: give a path within the machine's root: %w", path, driver.ErrInvalid)
	}
	return filepath.Clean(name), nil
}

func modeOf(f driver.File) uint32 {
	if f.Mode == 0 {
		return 0o644
	}
	return f.Mode & 0o7777
}

// Refresh replaces the files that differ from what the container has, and then runs on_change. A note outlasts a crash
// between the two, so that the repeated call runs it.
func (h *host) Refresh(ctx context.Context, ref driver.Ref, files []driver.File) error {
	if err := h.refresh(ctx, ref.ID, files); err != nil {
		return failed(err, "refresh %s", ref.ID)
	}
	return nil
}

func (h *host) refresh(ctx context.Context, id driver.MachineID, files []driver.File) error {
	release, err := h.claims.Claim(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	c, err := h.known(ctx, id)
	if err != nil {
		return err
	}
	n, err := h.notesOf(ctx, id)
	if err != nil {
		return err
	}
	var changed []driver.File
	for _, f := range files {
		same, err := h.same(ctx, c.ID, f)
		if err != nil {
			return err
		}
		if !same {
			changed = append(changed, f)
		}
	}
	hook := c.Config.Labels[labelOnChange]
	if len(changed) > 0 {
		if hook != "" && !n.reload {
			if err := h.note(ctx, id, noteReload); err != nil {
				return err
			}
			n.reload = true
		}
		if err := h.putFiles(ctx, c, changed); err != nil {
			return err
		}
	}
	if !n.reload {
		return nil
	}
	if c.State.Running && !c.State.Paused { // one that does not run reads them when it starts
		if err := h.runHook(ctx, c, hook); err != nil {
			return fmt.Errorf("on_change: %w", err)
		}
	}
	return h.unnote(ctx, id, noteReload)
}

// same reports whether the container has the file as it shall be.
func (h *host) same(ctx context.Context, native string, f driver.File) (bool, error) {
	name, err := localPath(f.Path)
	if err != nil {
		return false, err
	}
	r, err := h.cli.CopyFromContainer(ctx, native, client.CopyFromContainerOptions{SourcePath: "/" + name})
	if missing(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer r.Content.Close()
	in := tar.NewReader(r.Content)
	head, err := in.Next()
	if err != nil {
		return false, err
	}
	if head.Typeflag != tar.TypeReg || head.Size != int64(len(f.Content)) || uint32(head.Mode)&0o7777 != modeOf(f) {
		return false, nil
	}
	text, err := io.ReadAll(in)
	return bytes.Equal(text, f.Content), err
}

// signals are what on_change may name beside a command.
var signals = map[string]bool{"HUP": true, "INT": true, "QUIT": true, "USR1": true, "USR2": true, "TERM": true, "WINCH": true}

func (h *host) runHook(ctx context.Context, c container.InspectResponse, hook string) error {
	if name := strings.TrimPrefix(hook, "SIG"); signals[name] {
		_, err := h.cli.ContainerKill(ctx, c.ID, client.ContainerKillOptions{Signal: "SIG" + name})
		return err
	}
	var complaint tail
	exit, err := h.exec(ctx, c, driver.Command{Args: []string{"/bin/sh", "-c", hook}, Stderr: &complaint})
	if err == nil && exit != 0 {
		err = fmt.Errorf("ended with %d: %s", exit, complaint)
	}
	return err
}

// A tail keeps the last 400 bytes of what is written to it.
type tail []byte

func (t *tail) Write(b []byte) (int, error) {
	*t = append(*t, b...)
	*t = (*t)[max(0, len(*t)-400):]
	return len(b), nil
}
