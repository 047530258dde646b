package docker

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
)

// Watch follows the daemon's events. An event tells that something has changed; what is emitted is how the container
// stands now.
func (h *host) Watch(ctx context.Context, emit func(driver.Machine)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := h.cli.Events(ctx, client.EventsListOptions{Filters: h.ours(labelMachine).Add("type", string(events.ContainerEventType))})
	for {
		select {
		case e := <-stream.Messages:
			if err := h.emit(ctx, e, emit); err != nil {
				return failed(err, "watch")
			}
		case err := <-stream.Err:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil || err == io.EOF {
				err = fmt.Errorf("%w: the daemon ended the stream of events", driver.ErrUnavailable)
			}
			return failed(err, "watch")
		}
	}
}

func (h *host) emit(ctx context.Context, e events.Message, emit func(driver.Machine)) error {
	id := driver.MachineID(e.Actor.Attributes[labelMachine])
	what, _, _ := strings.Cut(string(e.Action), ":")
	switch events.Action(what) {
	case events.ActionDestroy, events.ActionRemove:
		emit(driver.Machine{ID: id, Native: e.Actor.ID, State: driver.Gone, Reason: "the container was removed"})
		return nil
	case events.ActionStart, events.ActionDie, "cleanup", events.ActionPause, events.ActionUnPause, events.ActionHealthStatus, events.ActionRename:
	default:
		return nil
	}
	r, err := h.cli.ContainerInspect(ctx, e.Actor.ID, client.ContainerInspectOptions{})
	if missing(err) {
		return nil // its end comes as an event of its own
	}
	if err != nil {
		return err
	}
	m, err := h.show(ctx, r.Container)
	if err == nil {
		emit(m)
	}
	return err
}
