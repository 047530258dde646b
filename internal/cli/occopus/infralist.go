package occopus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/goccy/go-yaml"
)

// The list of infrastructures, ~/.occopus/infralist.yaml, is a list of ids in the order of their creation. Other
// programs of Occopus read and write it, too.

// list returns the ids in the list.
func (r *run) list() ([]string, error) {
	home, err := r.home()
	if err != nil {
		return nil, err
	}
	name := filepath.Join(home, "infralist.yaml")
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var ids []string
	if err == nil {
		err = yaml.Unmarshal(text, &ids)
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of infrastructures %s: %w", name, err)
	}
	return ids, nil
}

// enlist puts an id into the list, unless it is there.
func (r *run) enlist(id string) error {
	return r.relist(func(ids []string) []string {
		if slices.Contains(ids, id) {
			return ids
		}
		return append(ids, id)
	})
}

// delist takes an id out of the list.
func (r *run) delist(id string) error {
	return r.relist(func(ids []string) []string {
		return slices.DeleteFunc(ids, func(x string) bool { return x == id })
	})
}

// relist changes the list; one program at a time.
func (r *run) relist(change func([]string) []string) (err error) {
	home, err := r.home()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("write the list of infrastructures: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(home, ".infralist.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write the list of infrastructures: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("write the list of infrastructures: %w", err)
	}
	before, err := r.list()
	if err != nil {
		return err
	}
	after := change(slices.Clone(before))
	if slices.Equal(before, after) {
		return nil
	}
	text, err := yaml.Marshal(after)
	if err == nil {
		err = replaceFile(filepath.Join(home, "infralist.yaml"), text)
	}
	if err != nil {
		return fmt.Errorf("write the list of infrastructures: %w", err)
	}
	return nil
}
