package control

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// A bundle is the program of an orchestrator with what it needs, in a folder on the server's host. It becomes a machine definition of the
// driver process, which all users may start and nobody but its owner may change.

// bundleProgram is what a bundle is started by.
const bundleProgram = "wsgi/application"

// bundleEnv are the names that the Cloud Controller sets; a definition that reaches the host must declare them.
var bundleEnv = []string{"DESIGN_URI", "DC_NAME", "CC_ADMIN_URL", "DB_USER", "DB_PASSWORD"}

// putBundle stores the machine definition of a bundle and returns its name.
func (c *Control) putBundle(ctx context.Context, who *identity.Caller, name, dir string) (string, error) {
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("%w: bundle %.100q: give the whole path on the server's host", identity.ErrInvalid, dir)
	}
	if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
		if dir, err = c.unpackBundle(name, dir); err != nil {
			return "", err
		}
	}
	program := filepath.Join(dir, bundleProgram)
	info, err := os.Stat(program)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: bundle %s has no %s that this server can read: %w", identity.ErrInvalid, dir, bundleProgram, err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return "", fmt.Errorf("%w: bundle %s: %s is no executable program; make it one with chmod 755", identity.ErrInvalid, dir, bundleProgram)
	}
	env := map[string]string{"OPENSHIFT_REPO_DIR": dir, "APP_URL": "http://{{ instance.address }}:" + AppPort + "/orchestrator/default",
		"OPENSHIFT_PYTHON_IP": "{{ instance.address }}", "OPENSHIFT_PYTHON_PORT": AppPort}
	for _, n := range bundleEnv {
		env[n] = ""
	}
	_, err = c.PutMachine(ctx, who, name, service.Machine{Env: env, Checks: []service.Check{appCheck},
		Implementations: []service.Implementation{{Driver: "process", Options: map[string]any{"command": `cd "$OPENSHIFT_REPO_DIR" && exec ./` + bundleProgram}}}}, 0o644)
	return name, err
}

// Limits of an archive with a bundle.
const (
	maxBundle      = 512 << 20 // bytes, unpacked
	maxBundleFiles = 20_000
)

// unpackBundle unpacks an archive (.tar.gz) into a folder that is named after its contents, so that one with other contents leaves
// programs that run from an earlier one alone.
func (c *Control) unpackBundle(name, archive string) (dir string, err error) {
	wrong := func(err error) error { return fmt.Errorf("%w: bundle %s: %w", identity.ErrInvalid, archive, err) }
	if c.bundles == "" {
		return "", wrong(errors.New("this server has no folder for bundles; unpack it and name the folder"))
	}
	f, err := os.Open(archive)
	if err != nil {
		return "", wrong(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, maxBundle)); err != nil {
		return "", wrong(err)
	}
	dir = filepath.Join(c.bundles, name+"-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", wrong(err)
	}
	if err := os.MkdirAll(c.bundles, 0o711); err != nil {
		return "", fmt.Errorf("folder of bundles: %w", err)
	}
	half, err := os.MkdirTemp(c.bundles, name+".*")
	if err != nil {
		return "", fmt.Errorf("folder of bundles: %w", err)
	}
	defer os.RemoveAll(half) // nothing once it has its name
	if err := unpack(f, half); err != nil {
		return "", wrong(err)
	}
	if err := errors.Join(os.Chmod(half, 0o755), os.Rename(half, dir)); err != nil { //nolint:gosec // programs of other users run from it
		return "", fmt.Errorf("bundle %s: %w", archive, err)
	}
	return dir, nil
}

// unpack unpacks regular files and folders of a compressed tar archive into a folder, and nothing outside of it.
func unpack(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("it is no .tar.gz archive: %w", err)
	}
	left := int64(maxBundle)
	t := tar.NewReader(z)
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is damaged: %w", err)
		}
		left -= h.Size
		name := strings.TrimPrefix(filepath.Clean("/"+h.Name), "/")
		switch {
		case left < 0 || n >= maxBundleFiles:
			return fmt.Errorf("it has more than %d MiB, or more than %d files", maxBundle>>20, maxBundleFiles)
		case name == "":
		case h.Typeflag == tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case h.Typeflag == tar.TypeReg:
			err = unpackFile(root, name, h.FileInfo().Mode(), t)
		default:
			return fmt.Errorf("%.200s is neither a file nor a folder", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, name string, mode os.FileMode, r io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644|mode.Perm()&0o111)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
