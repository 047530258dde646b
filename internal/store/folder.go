package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// reserve is how many bytes of the disk etcd must find free: it allocates its log in files of
// 64 MiB ahead of use, and stops for good when it cannot.
const reserve = 96 << 20

// A folder is a data folder held by this process.
type folder struct {
	path string
	lock *os.File
}

func (f *folder) etcd() string { return filepath.Join(f.path, "etcd") }

// holdFolder makes the folder if need be and keeps other processes out of it.
func holdFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("store: make data folder %s: %w", path, diskError(err))
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: data folder %s: %w", path, diskError(err))
	}
	if err := flock(lock); err != nil {
		defer lock.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("store: lock data folder %s: %w", path, err)
		}
		return nil, fmt.Errorf("store: data folder %s is %w by another process%s; stop that one or use another folder", path, ErrInUse, holder(lock))
	}
	err = lock.Truncate(0)
	if err == nil {
		_, err = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("store: data folder %s: %w", path, diskError(err))
	}
	return &folder{path, lock}, nil
}

// peekFolder keeps others out of a folder while it is looked at, without writing to it; false when somebody has it. A folder
// that was never held has no lock.
func peekFolder(path string) (f *folder, free bool) {
	f = &folder{path: path}
	var err error
	if f.lock, err = os.Open(filepath.Join(path, "lock")); err != nil {
		return f, true
	}
	if syscall.Flock(int(f.lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil {
		f.release()
		return nil, false
	}
	return f, true
}

// lockPatience is how long a folder may be held before it counts as in use: a server that was killed while
// it started a process leaves the lock with its child until that has become another program.
const lockPatience = 2 * time.Second

// flock locks the file, within lockPatience.
func flock(f *os.File) error {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(began) > lockPatience {
			return err
		}
	}
}

// holder returns " (pid 7)" when the lock file tells.
func holder(lock *os.File) string {
	text, _ := io.ReadAll(io.LimitReader(lock, 32))
	if pid, err := strconv.Atoi(string(bytes.TrimSpace(text))); err == nil {
		return fmt.Sprintf(" (pid %d)", pid)
	}
	return ""
}

func (f *folder) release() { _ = f.lock.Close() } // nothing was written to it; nil closes as well

// free returns the bytes that are free for this process on the folder's disk.
func (f *folder) free() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(f.path, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

func (f *folder) full(free int64) error {
	return fmt.Errorf("%w: %d MiB are free, %d MiB are needed; make room", ErrDiskFull, free>>20, int64(reserve)>>20)
}

// damaged says what to do about a database that cannot be used.
func (f *folder) damaged(what string, err error) error {
	return fmt.Errorf("store: the database in %s is %w: %s: %w; keep the folder as it is and restore a backup into a new one: troupe restore FILE --data-dir NEW", f.etcd(), ErrDamaged, what, err)
}

// diskError puts what the operating system says into our kinds of error.
func diskError(err error) error {
	switch {
	case errors.Is(err, syscall.EROFS), errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: %w; give this user the right to write there, or use another folder", ErrReadOnly, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w; make room", ErrDiskFull, err)
	case strings.Contains(err.Error(), "no space left"):
		return fmt.Errorf("%w: %w; make room", ErrDiskFull, err)
	case strings.Contains(err.Error(), "read-only file system"), strings.Contains(err.Error(), "permission denied"):
		return fmt.Errorf("%w: %w; give this user the right to write there, or use another folder", ErrReadOnly, err)
	}
	return err
}
