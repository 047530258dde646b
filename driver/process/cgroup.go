//go:build linux

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// groupRoot is where control groups (version 2) are mounted.
const groupRoot = "/sys/fs/cgroup"

// groups makes the control group that the groups of an installation's machines are in, and returns its path; ""
// where this server may not, or the kernel's groups of version 2 hold neither memory nor CPU.
func groups(root, installation string) string {
	var fs unix.Statfs_t
	if unix.Statfs(root, &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return ""
	}
	const wanted = "+memory +cpu"
	if put(filepath.Join(root, "cgroup.subtree_control"), wanted) != nil {
		return ""
	}
	path := filepath.Join(root, "troupe-"+fileName(installation))
	if err := os.Mkdir(path, 0o755); err != nil && !os.IsExist(err) {
		return ""
	}
	if put(filepath.Join(path, "cgroup.subtree_control"), wanted) != nil {
		os.Remove(path)
		return ""
	}
	return path
}

// put writes to a file that exists.
func put(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// create makes the group with its bounds.
func (g *group) create() error {
	if err := os.Mkdir(g.Path, 0o755); err != nil && !os.IsExist(err) {
		return fmt.Errorf("make control group: %w", err)
	}
	if g.Memory > 0 {
		if err := g.set("memory.max", strconv.FormatInt(g.Memory, 10)); err != nil {
			return err
		}
	}
	if g.CPUs > 0 {
		return g.set("cpu.max", fmt.Sprintf("%d 100000", max(1000, int64(g.CPUs*100000))))
	}
	return nil
}

func (g *group) set(name, value string) error {
	if err := put(filepath.Join(g.Path, name), value); err != nil {
		return fmt.Errorf("bound control group: %w", err)
	}
	return nil
}

// open returns a descriptor by which a process is born in the group.
func (g *group) open() (int, error) {
	fd, err := unix.Open(g.Path, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open control group: %w", err)
	}
	return fd, nil
}

func (g *group) remove() { os.Remove(g.Path) }
