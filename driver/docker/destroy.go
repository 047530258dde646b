package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
)

// Destroy removes whatever container bears the machine's id, with its unnamed volumes and its notes.
func (h *host) Destroy(ctx context.Context, ref driver.Ref, mode driver.Shutdown) error {
	release, err := h.claims.Claim(ctx, ref.ID)
	if err != nil {
		return failed(err, "destroy %s", ref.ID)
	}
	defer release()
	list, err := h.cli.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: h.ours(labelMachine + "=" + string(ref.ID))})
	for _, c := range list.Items {
		if err == nil && mode == driver.Graceful {
			err = h.shut(ctx, c.ID)
		}
		if err == nil {
			err = h.remove(ctx, c.ID)
		}
	}
	if err == nil {
		err = h.forget(ctx, ref.ID)
	}
	if err != nil {
		return failed(err, "destroy %s", ref.ID)
	}
	return nil
}

// forget removes what is noted of a machine.
func (h *host) forget(ctx context.Context, id driver.MachineID) error {
	h.tokens.Forget(id)
	n, err := h.notesOf(ctx, id)
	for _, name := range n.volumes {
		if err == nil {
			_, err = h.cli.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
			err = gone(err)
		}
	}
	return err
}

// shut lets a container end: its before_stop command, then its stop signal, then, after the grace period, a kill.
func (h *host) shut(ctx context.Context, native string) error {
	r, err := h.cli.ContainerInspect(ctx, native, client.ContainerInspectOptions{})
	if err != nil {
		return gone(err)
	}
	c := r.Container
	if c.State.Paused {
		if _, err := h.cli.ContainerUnpause(ctx, native, client.ContainerUnpauseOptions{}); gone(err) != nil && !errdefs.IsConflict(err) {
			return err
		}
	}
	if !c.State.Running && !c.State.Paused {
		return nil
	}
	left := graceOf(c)
	if hook := c.Config.Labels[labelBeforeStop]; hook != "" {
		began := time.Now()
		inner, cancel := context.WithTimeout(ctx, left)
		_, _ = h.exec(inner, c, driver.Command{Args: []string{"/bin/sh", "-c", hook}}) // the machine goes all the same
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		left = max(0, left-time.Since(began))
	}
	seconds := int((left + time.Second - 1) / time.Second)
	_, err = h.cli.ContainerStop(ctx, native, client.ContainerStopOptions{Timeout: &seconds})
	return gone(err)
}

func graceOf(c container.InspectResponse) time.Duration {
	d, err := time.ParseDuration(c.Config.Labels[labelGrace])
	if err != nil {
		return 10 * time.Second
	}
	return d
}

// remove removes a container at once and returns when it is gone.
func (h *host) remove(ctx context.Context, native string) error {
	_, err := h.cli.ContainerRemove(ctx, native, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if !errdefs.IsConflict(err) {
		return gone(err)
	}
	// Somebody else is removing it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait := h.cli.ContainerWait(ctx, native, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	select {
	case <-wait.Result:
		return nil
	case werr := <-wait.Error:
		if gone(werr) != nil {
			return fmt.Errorf("%w; %w", err, werr)
		}
		return nil
	}
}
