package docker

import (
	"context"
	"fmt"

	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
)

// dataName is the volume that keeps the data of a stable identity; "" where the data's name cannot be part of one.
func (h *host) dataName(data string) string {
	if name := h.name("data-" + driver.MachineID(data)); volumeName.MatchString(name) {
		return name
	}
	return ""
}

// keep makes a volume of ours, or does nothing where there is one of that name.
func (h *host) keep(ctx context.Context, name string, labels map[string]string) error {
	labels[labelInstallation] = h.installation
	v, err := h.cli.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name, Labels: labels})
	for k, want := range labels {
		if err == nil && v.Volume.Labels[k] != want {
			err = fmt.Errorf("%w: a volume of somebody else has the name %s", driver.ErrInvalid, name)
		}
	}
	return err
}

// RemoveData removes the volume of a stable identity.
func (h *host) RemoveData(ctx context.Context, data string) error {
	name := h.dataName(data)
	if name == "" {
		return nil
	}
	_, err := h.cli.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
	if gone(err) != nil {
		return failed(err, "remove data %s", data)
	}
	return nil
}
