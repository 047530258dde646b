package control

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

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
