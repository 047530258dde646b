package docker

import (
	"context"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
)

// What is noted of a container after it was made. A note is an empty volume: the only thing that a daemon keeps with
// labels, makes once for a name, and that costs nothing.
const (
	noteStopped = "stopped" // by an action, and not by itself
	noteReload  = "reload"  // files have changed and on_change has not been run for it
	noteStamp   = "g"       // followed by the generation
)

// notes are what is noted of one machine.
type notes struct {
	generation      uint64
	stopped, reload bool
	volumes         []string
}

func (n *notes) add(v *volume.Volume) {
	n.volumes = append(n.volumes, v.Name)
	switch text := v.Labels[labelNote]; text {
	case noteStopped:
		n.stopped = true
	case noteReload:
		n.reload = true
	default:
		g, _ := strconv.ParseUint(strings.TrimPrefix(text, noteStamp), 10, 64)
		n.generation = max(n.generation, g)
	}
}

func (h *host) allNotes(ctx context.Context) (map[driver.MachineID]notes, error) {
	list, err := h.cli.VolumeList(ctx, client.VolumeListOptions{Filters: h.ours(labelNote)})
	if err != nil || len(list.Items) == 0 {
		return nil, err
	}
	out := map[driver.MachineID]notes{}
	for i := range list.Items {
		id := driver.MachineID(list.Items[i].Labels[labelMachine])
		n := out[id]
		n.add(&list.Items[i])
		out[id] = n
	}
	return out, nil
}

func (h *host) notesOf(ctx context.Context, id driver.MachineID) (n notes, err error) {
	list, err := h.cli.VolumeList(ctx, client.VolumeListOptions{Filters: h.ours(labelNote, labelMachine+"="+string(id))})
	for i := range list.Items {
		n.add(&list.Items[i])
	}
	return n, err
}

func (h *host) note(ctx context.Context, id driver.MachineID, text string) error {
	return h.keep(ctx, h.name(id)+"."+text, map[string]string{labelMachine: string(id), labelNote: text})
}

func (h *host) unnote(ctx context.Context, id driver.MachineID, text string) error {
	_, err := h.cli.VolumeRemove(ctx, h.name(id)+"."+text, client.VolumeRemoveOptions{})
	return gone(err)
}

// Stamp notes the newer generation.
func (h *host) Stamp(ctx context.Context, ref driver.Ref, generation uint64) error {
	_, err := h.known(ctx, ref.ID)
	if err == nil {
		err = h.note(ctx, ref.ID, noteStamp+strconv.FormatUint(generation, 10))
	}
	if err != nil {
		return failed(err, "stamp %s", ref.ID)
	}
	return nil
}
