package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/cloudinit"
)

const (
	shellPath    = "/bin/sh"
	userDataDir  = "var/lib/troupe/user-data" // holds what a machine's user data needs beside its own files
	userDataMain = userDataDir + "/start"
)

// idle is the main program of a machine that has none but its user data: it stays up until it is stopped.
const idle = `trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done`

// obey makes the container run its user data before its main program: at its place, so under its limits, as its user
// and into its log. The image must be there, since its own entry point and command have to be named again.
func (h *host) obey(ctx context.Context, p *plan) error {
	if p.data.Empty() {
		return nil
	}
	r, err := h.cli.ImageInspect(ctx, p.config.Image)
	if missing(err) {
		var there bool
		if there, err = h.provide(ctx, p, err); err == nil && there {
			r, err = h.cli.ImageInspect(ctx, p.config.Image)
		}
	}
	if err != nil {
		return err
	}
	var entrypoint, command []string
	if r.Config != nil {
		entrypoint, command = r.Config.Entrypoint, r.Config.Cmd
	}
	p.config.Cmd = mainProgram(&p.config, entrypoint, command)
	p.config.Entrypoint = []string{shellPath, "-c", shellPath + ` "$0"; exec "$@"`, "/" + userDataMain}
	return nil
}

// mainProgram returns what the container would run without user data, by its own configuration and its image's entry
// point and command. A lone shell, which many images name as their command, would find no terminal and end at once:
// that is no main program.
func mainProgram(own *container.Config, entrypoint, command []string) []string {
	args := slices.Concat(own.Entrypoint, own.Cmd)
	switch {
	case len(own.Entrypoint) > 0: // the image's command is meant for the image's entry point
	case len(own.Cmd) > 0:
		args = slices.Concat(entrypoint, own.Cmd)
	case len(entrypoint) > 0 || !loneShell(command):
		args = slices.Concat(entrypoint, command)
	}
	if len(args) == 0 {
		return []string{shellPath, "-c", idle}
	}
	return args
}

func loneShell(command []string) bool {
	if len(command) != 1 {
		return false
	}
	name := command[0][strings.LastIndex(command[0], "/")+1:]
	return name == "sh" || name == "bash" || name == "ash"
}

// userDataFiles returns the files that carry out a machine's user data. A user that is known by name alone owns
// nothing, and must be able to read them all the same.
func (h *host) userDataFiles(ctx context.Context, c container.InspectResponse, data *cloudinit.Plan) ([]driver.File, error) {
	if data.Empty() {
		return nil, nil
	}
	if _, err := h.cli.ContainerStatPath(ctx, c.ID, client.ContainerStatPathOptions{Path: shellPath}); missing(err) {
		return nil, fmt.Errorf("user data: image %s has no %s to carry it out with: %w", c.Config.Image, shellPath, driver.ErrInvalid)
	} else if err != nil {
		return nil, err
	}
	files, script := data.Deliver(cloudinit.Target{Dir: userDataDir, Owners: true})
	files = append(files, driver.File{Path: userDataMain, Mode: 0o700, Content: []byte(script)})
	if user, _, _ := strings.Cut(c.Config.User, ":"); user != "" && user != "root" && user != "0" && c.Config.Labels[labelOwner] == "" {
		for i := range files {
			if strings.HasPrefix(files[i].Path, userDataDir+"/") {
				files[i].Mode |= files[i].Mode&0o700>>3 | files[i].Mode&0o700>>6
			}
		}
	}
	return files, nil
}
