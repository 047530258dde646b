package openstack

import (
	"context"
	"fmt"
	"slices"

	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/troupe-dev/troupe/driver"
)

// errNoVolumes is what a cloud without Cinder is told.
var errNoVolumes = fmt.Errorf("%w: this cloud has no volumes", driver.ErrUnsupported)

// disks returns the machine's volumes: the one that it boots from, those that it names, and that of its data. None of them
// outlives its caller's wish but the ones that were there before.
func (c *cloud) disks(ctx context.Context, s *services, p *plan, req *driver.Request, image string) ([]servers.BlockDevice, error) {
	if !p.boot && len(p.volumes) == 0 && req.Data == "" {
		return nil, nil
	}
	if s.cinder == nil {
		return nil, errNoVolumes
	}
	root := servers.BlockDevice{SourceType: servers.SourceImage, UUID: image, DestinationType: servers.DestinationLocal, DeleteOnTermination: true}
	if p.boot {
		root.DestinationType, root.DeleteOnTermination, root.VolumeSize, root.VolumeType = servers.DestinationVolume, !p.keep, p.size, p.volumeType
		if p.size == 0 {
			size, err := c.imageSize(ctx, s, image)
			if err != nil {
				return nil, err
			}
			root.VolumeSize = size
		}
	}
	disks := []servers.BlockDevice{root}
	attach := func(id string) {
		disks = append(disks, servers.BlockDevice{SourceType: servers.SourceVolume, UUID: id, DestinationType: servers.DestinationVolume, BootIndex: -1})
	}
	for _, name := range p.volumes {
		v, err := c.volumeOf(ctx, s, req.Service, name)
		if err != nil {
			return nil, err
		}
		attach(v.ID)
	}
	if req.Data != "" {
		v, err := c.data(ctx, s, p, req)
		if err != nil {
			return nil, err
		}
		attach(v.ID)
	}
	return disks, nil
}

// metadata by which a volume is known, beside those of servers.
const (
	metaKey  = metaPrefix + "key"
	metaKind = metaPrefix + "kind"
)

// volumesWith returns the installation's volumes that have further metadata, as names and values in turn.
func (c *cloud) volumesWith(ctx context.Context, s *services, more ...string) ([]volumes.Volume, error) {
	meta := map[string]string{metaInstallation: c.installation}
	for n := 0; n+1 < len(more); n += 2 {
		meta[more[n]] = more[n+1]
	}
	page, err := volumes.List(s.cinder, volumes.ListOpts{Metadata: meta}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	list, err := volumes.ExtractVolumes(page)
	list = slices.DeleteFunc(list, func(v volumes.Volume) bool {
		for name, value := range meta {
			if v.Metadata[name] != value {
				return true
			}
		}
		return v.Status == "deleting"
	})
	slices.SortFunc(list, func(a, b volumes.Volume) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return list, err
}

// volumeOf finds a volume that an option means.
func (c *cloud) volumeOf(ctx context.Context, s *services, service, text string) (v volumes.Volume, err error) {
	list, err := c.volumesWith(ctx, s, metaKind, "volume", metaService, service, metaKey, text)
	if err != nil || len(list) > 0 {
		if err == nil {
			v = list[0]
		}
		return v, err
	}
	page, err := volumes.List(s.cinder, volumes.ListOpts{Name: text}).AllPages(ctx)
	if err == nil {
		list, err = volumes.ExtractVolumes(page)
	}
	if err != nil {
		return v, err
	}
	if len(list) == 0 && isID(text) {
		one, err := volumes.Get(ctx, s.cinder, text).Extract()
		if err != nil && !missing(err) {
			return v, err
		}
		if err == nil {
			list = append(list, *one)
		}
	}
	switch {
	case len(list) == 0:
		return v, refuse("volumes", fmt.Sprintf("there is no volume %q, neither a resource of the service nor one of the project", text))
	case len(list) > 1:
		return v, refuse("volumes", fmt.Sprintf("there are %d volumes %q; give the id", len(list), text))
	case list[0].Metadata[metaInstallation] != "":
		return v, refuse("volumes", fmt.Sprintf("volume %q belongs to another service or machine", text))
	}
	return list[0], nil
}

// data finds or makes the volume with the data of a stable identity, and waits until no other machine has it.
func (c *cloud) data(ctx context.Context, s *services, p *plan, req *driver.Request) (volumes.Volume, error) {
	release, err := c.claims.Claim(ctx, driver.MachineID("data "+req.Data))
	if err != nil {
		return volumes.Volume{}, err
	}
	defer release()
	list, err := c.volumesWith(ctx, s, metaData, req.Data)
	if err != nil {
		return volumes.Volume{}, err
	}
	if len(list) == 0 {
		v, err := c.makeVolume(ctx, s, volumes.CreateOpts{Size: p.dataSize, VolumeType: p.volumeType, AvailabilityZone: "", Name: req.Role + "-" + req.Data,
			Metadata: map[string]string{metaInstallation: c.installation, metaData: req.Data, metaProject: req.Project}})
		if err != nil {
			return v, err
		}
		list = append(list, v)
	}
	return c.available(ctx, s, list[0].ID)
}

func (c *cloud) makeVolume(ctx context.Context, s *services, o volumes.CreateOpts) (volumes.Volume, error) {
	if err := ctx.Err(); err != nil {
		return volumes.Volume{}, err
	}
	inner, cancel := c.making(ctx)
	defer cancel()
	v, err := volumes.Create(inner, s.cinder, o, nil).Extract()
	if err != nil {
		return volumes.Volume{}, problem(err)
	}
	return *v, nil
}

// available waits until a volume may be attached.
func (c *cloud) available(ctx context.Context, s *services, id string) (volumes.Volume, error) {
	var p pause
	for {
		v, err := volumes.Get(ctx, s.cinder, id).Extract()
		switch {
		case err != nil:
			return volumes.Volume{}, problem(err)
		case v.Status == "available":
			return *v, nil
		case v.Status == "in-use" && len(v.Attachments) > 0:
			return *v, fmt.Errorf("%w: volume %s is attached to server %s", driver.ErrUnavailable, id, v.Attachments[0].ServerID)
		case len(v.Status) > 5 && v.Status[:5] == "error":
			return *v, fmt.Errorf("%w: Cinder says that volume %s is in state %s", driver.ErrUnavailable, id, v.Status)
		}
		if err := p.wait(ctx); err != nil {
			return *v, err
		}
	}
}

// RemoveData removes the volume of a stable identity.
func (c *cloud) RemoveData(ctx context.Context, data string) error {
	err := c.removeData(ctx, data)
	if err != nil {
		return failed(err, "remove data %s", data)
	}
	return nil
}

func (c *cloud) removeData(ctx context.Context, data string) error {
	release, err := c.claims.Claim(ctx, driver.MachineID("data "+data))
	if err != nil {
		return err
	}
	defer release()
	s, err := c.connect(ctx)
	if err != nil || s.cinder == nil {
		return err
	}
	list, err := c.volumesWith(ctx, s, metaData, data)
	if err != nil {
		return err
	}
	return c.removeVolumes(ctx, s, list)
}

// removeVolumes removes volumes and returns when they are gone.
func (c *cloud) removeVolumes(ctx context.Context, s *services, list []volumes.Volume) error {
	for _, v := range list {
		err := volumes.Delete(ctx, s.cinder, v.ID, volumes.DeleteOpts{}).ExtractErr()
		if answer, ok := answerOf(err); ok && answer.Actual == 400 {
			return fmt.Errorf("%w: %s", driver.ErrUnavailable, wordsOf(err)) // it is still in use
		}
		if gone(err) != nil {
			return err
		}
	}
	for _, v := range list {
		var p pause
		for {
			now, err := volumes.Get(ctx, s.cinder, v.ID).Extract()
			if missing(err) {
				break
			}
			if err == nil && now.Status == "error_deleting" {
				err = fmt.Errorf("%w: Cinder cannot delete volume %s", driver.ErrUnavailable, v.ID)
			}
			if err == nil {
				err = p.wait(ctx)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
