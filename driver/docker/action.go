package docker

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
)

// Act does what Docker can: stopping and powering off are the same.
func (h *host) Act(ctx context.Context, ref driver.Ref, action driver.Action, _, token string) error {
	if !Kind().Supports(action) {
		return fmt.Errorf("docker: %s: %w", action, driver.ErrUnsupported)
	}
	if err := h.act(ctx, ref.ID, action, token); err != nil {
		return failed(err, "%s %s", action, ref.ID)
	}
	return nil
}

func (h *host) act(ctx context.Context, id driver.MachineID, action driver.Action, token string) error {
	release, err := h.claims.Claim(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	c, err := h.known(ctx, id)
	if err != nil {
		return err
	}
	if h.tokens.Seen(id, token) {
		return nil
	}
	if err := h.do(ctx, c, action); err != nil {
		return err
	}
	h.tokens.Keep(id, token)
	return nil
}

// do brings the container into the state that the action means. One that is in that state is left alone.
func (h *host) do(ctx context.Context, c container.InspectResponse, action driver.Action) (err error) {
	id := driver.MachineID(c.Config.Labels[labelMachine])
	status := c.State.Status
	switch action {
	case driver.Release, driver.Resume:
		switch {
		case c.State.Paused:
			_, err = h.cli.ContainerUnpause(ctx, c.ID, client.ContainerUnpauseOptions{})
		case !c.State.Running:
			_, err = h.cli.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
		}
		if err == nil {
			err = h.unnote(ctx, id, noteStopped)
		}
	case driver.Suspend:
		if !c.State.Paused {
			_, err = h.cli.ContainerPause(ctx, c.ID, client.ContainerPauseOptions{})
		}
	case driver.Reboot, driver.RebootHard:
		seconds := 0
		if action == driver.Reboot {
			seconds = int(graceOf(c).Seconds())
		}
		if _, err = h.cli.ContainerRestart(ctx, c.ID, client.ContainerRestartOptions{Timeout: &seconds}); err == nil {
			err = h.unnote(ctx, id, noteStopped)
		}
	case driver.Stop, driver.Poweroff, driver.PoweroffHard:
		if status == container.StateCreated {
			return fmt.Errorf("the machine does not run: %w", driver.ErrInvalid)
		}
		// First the note, so that nobody takes the stop for an end by itself.
		if err = h.note(ctx, id, noteStopped); err != nil {
			return err
		}
		if action != driver.PoweroffHard {
			return h.shut(ctx, c.ID)
		}
		if c.State.Running || c.State.Paused {
			_, err = h.cli.ContainerKill(ctx, c.ID, client.ContainerKillOptions{})
			if errdefs.IsConflict(err) {
				err = nil // it has ended meanwhile
			}
		}
	}
	return err
}
