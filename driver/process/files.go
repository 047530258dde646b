//go:build linux

package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/troupe-dev/troupe/driver"
)

// checkFiles refuses files outside of the machine's folder.
func checkFiles(files []driver.File) error {
	for i, f := range files {
		if !filepath.IsLocal(f.Path) || path.Clean(f.Path) == "." {
			return fmt.Errorf("files[%d]: path %q leaves the machine's folder; give one relative to it: %w", i, f.Path, driver.ErrInvalid)
		}
		if f.Mode&^0o777 != 0 {
			return fmt.Errorf("files[%d]: mode %o has more than permission bits: %w", i, f.Mode, driver.ErrInvalid)
		}
	}
	return nil
}

// writeFiles writes the files that differ from what is there. Each is replaced as a whole. The machine may
// have put symbolic links in its folder: none is followed out of it. Before the first change it calls changing.
func writeFiles(f folder, user *account, files []driver.File, changing func() error) error {
	root, err := os.OpenRoot(f.root())
	if err != nil {
		return err
	}
	defer root.Close()
	for _, file := range files {
		name := path.Clean(file.Path)
		mode := fs.FileMode(file.Mode)
		if mode == 0 {
			mode = 0o644
		}
		if fi, err := root.Lstat(name); err == nil && fi.Mode() == mode {
			if old, err := root.ReadFile(name); err == nil && bytes.Equal(old, file.Content) {
				continue
			}
		}
		if changing != nil {
			if err := changing(); err != nil {
				return err
			}
			changing = nil
		}
		if err := writeFile(root, user, name, mode, file.Content); err != nil {
			return fmt.Errorf("write %s: %w", file.Path, err)
		}
	}
	return nil
}

func writeFile(root *os.Root, user *account, name string, mode fs.FileMode, content []byte) error {
	if err := makeDirs(root, user, path.Dir(name)); err != nil {
		return err
	}
	temp := name + ".troupe-new"
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if user != nil {
		if err := f.Chown(int(user.UID), int(user.GID)); err != nil {
			return err
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return root.Rename(temp, name)
}

// makeDirs makes the folders on the way to name that are missing.
func makeDirs(root *os.Root, user *account, name string) error {
	if name == "." {
		return nil
	}
	if _, err := root.Stat(name); err == nil {
		return nil
	}
	if err := makeDirs(root, user, path.Dir(name)); err != nil {
		return err
	}
	if err := root.Mkdir(name, 0o755); err != nil {
		return err
	}
	if user != nil {
		return root.Lchown(name, int(user.UID), int(user.GID))
	}
	return nil
}

// makeDir makes one folder in the machine's.
func makeDir(f folder, user *account, name string) error {
	root, err := os.OpenRoot(f.root())
	if err != nil {
		return err
	}
	defer root.Close()
	return makeDirs(root, user, path.Clean(name))
}
