package docker

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
)

// ours is the filter that lets this installation's things through, and of those the ones with further labels,
// as NAME or NAME=VALUE.
func (h *host) ours(labels ...string) client.Filters {
	return make(client.Filters).Add("label", append(labels, labelInstallation+"="+h.installation)...)
}

// List asks the daemon for all containers at once, and for each of those that do not simply run once more: only so it
// tells exit codes and reasons.
func (h *host) List(ctx context.Context) iter.Seq2[driver.Machine, error] {
	return func(yield func(driver.Machine, error) bool) {
		list, err := h.cli.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: h.ours(labelMachine)})
		var notes map[driver.MachineID]notes
		if err == nil {
			notes, err = h.allNotes(ctx)
		}
		if err != nil {
			yield(driver.Machine{}, failed(err, "list"))
			return
		}
		for i := range list.Items {
			c := &list.Items[i]
			m, err := h.summary(ctx, c, notes[driver.MachineID(c.Labels[labelMachine])])
			if missing(err) {
				continue // it went meanwhile
			}
			if err != nil {
				yield(driver.Machine{}, failed(err, "list"))
				return
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// summary is what the list tells of a container, or what the daemon says when asked.
func (h *host) summary(ctx context.Context, c *container.Summary, n notes) (driver.Machine, error) {
	// Daemons before 29 tell the health in words only.
	checked := strings.HasSuffix(c.Status, ")") && !strings.HasSuffix(c.Status, "(healthy)")
	if c.State != container.StateRunning || checked || c.NetworkSettings == nil {
		r, err := h.cli.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		if err != nil {
			return driver.Machine{}, err
		}
		return show(r.Container, n), nil
	}
	m := identify(c.ID, c.Labels, n)
	m.State, m.Created = driver.Running, time.Unix(c.Created, 0)
	m.Addresses = addresses(c.HostConfig.NetworkMode, c.NetworkSettings.Networks)
	return m, nil
}

// show is show with what is noted of the container.
func (h *host) show(ctx context.Context, c container.InspectResponse) (driver.Machine, error) {
	n, err := h.notesOf(ctx, driver.MachineID(c.Config.Labels[labelMachine]))
	if err != nil {
		return driver.Machine{}, err
	}
	return show(c, n), nil
}

func identify(native string, labels map[string]string, n notes) driver.Machine {
	generation, _ := strconv.ParseUint(labels[labelGeneration], 10, 64)
	return driver.Machine{ID: driver.MachineID(labels[labelMachine]), Native: native, Generation: max(generation, n.generation)}
}

// show turns a container into a machine.
func show(c container.InspectResponse, n notes) driver.Machine {
	m := identify(c.ID, c.Config.Labels, n)
	m.Created, _ = time.Parse(time.RFC3339Nano, c.Created)
	if c.NetworkSettings != nil && c.HostConfig != nil {
		m.Addresses = addresses(string(c.HostConfig.NetworkMode), c.NetworkSettings.Networks)
	}
	s := c.State
	switch s.Status {
	case container.StateRunning, "stopping":
		m.State = driver.Running
		if s.Health != nil {
			health(&m, s.Health, c.Config.Labels[labelHealth] == "wait")
		}
	case container.StatePaused:
		m.State = driver.Suspended
	case container.StateExited, "stopped": // by Podman, until it has cleaned up
		m.State, m.ExitCode, m.Reason = driver.Exited, exitCode(s.ExitCode), s.Error
		if s.OOMKilled {
			m.Reason = "out of memory: the kernel killed it"
		}
		if n.stopped {
			m.State = driver.Stopped
		}
	case container.StateDead, container.StateRemoving:
		m.State, m.Reason = driver.Failed, "the daemon says that it is "+string(s.Status)
	case container.StateRestarting:
		m.State = driver.Pending
	case container.StateCreated, "configured", "initialized": // the latter are Podman's
		if m.State, m.Reason = driver.Pending, s.Error; c.Config.Labels[labelHold] != "" {
			m.State = driver.Held
		}
	default:
		m.State, m.Reason = driver.Unknown, fmt.Sprintf("the daemon says that it is %q", s.Status)
	}
	return m
}

// health takes the image's own check into account.
func health(m *driver.Machine, h *container.Health, wait bool) {
	switch {
	case h.Status == container.Unhealthy:
		m.State, m.Reason = driver.Failed, "unhealthy"
		if n := len(h.Log); n > 0 {
			text := strings.TrimSpace(h.Log[n-1].Output)
			m.Reason = fmt.Sprintf("unhealthy, the image's check ended with %d: %s", h.Log[n-1].ExitCode, text[max(0, len(text)-200):])
		}
	case h.Status == container.Starting && wait:
		m.State, m.Reason = driver.Pending, "the image's check has not passed yet"
	}
}

// exitCode returns a daemon's exit code as drivers tell it: the daemon adds 128 to the number of a signal.
func exitCode(code int) int {
	if code > 128 && code <= 128+64 {
		return 128 - code
	}
	return code
}

// addresses returns the addresses in the first network, then those in others by the networks' names.
func addresses(mode string, in map[string]*network.EndpointSettings) (out []string) {
	names := slices.Sorted(maps.Keys(in))
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case a == mode && b != mode:
			return -1
		case b == mode && a != mode:
			return 1
		}
		return 0
	})
	for _, name := range names {
		if e := in[name]; e != nil {
			if e.IPAddress.IsValid() {
				out = append(out, e.IPAddress.String())
			}
			if e.GlobalIPv6Address.IsValid() {
				out = append(out, e.GlobalIPv6Address.String())
			}
		}
	}
	return out
}
