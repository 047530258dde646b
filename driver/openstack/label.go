package openstack

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servergroups"

	"github.com/troupe-dev/troupe/driver"
)

// A label is the name of a thing of which Nova keeps nothing else: a key pair or a server group.
type label struct {
	id         driver.MachineID
	generation uint64
	key        string
}

func (l label) service() string {
	service, _, _ := strings.Cut(string(l.id), "-")
	return service
}

func (c *cloud) labelPrefix() string { return "troupe-" + c.installation + "-" }

// labelOf returns the name of a resource.
func (c *cloud) labelOf(req *driver.ResourceRequest) string {
	return fmt.Sprintf("%s%s_%d_%s", c.labelPrefix(), req.ID, req.Generation, req.Key)
}

var labelForm = regexp.MustCompile(`^(\d+-r\d+)_(\d+)_(.*)$`)

// readLabel takes a name apart; ours is false for one that is not this installation's.
func (c *cloud) readLabel(name string) (l label, ours bool) {
	rest, ours := strings.CutPrefix(name, c.labelPrefix())
	m := labelForm.FindStringSubmatch(rest)
	if !ours || m == nil {
		return l, false
	}
	l.id, l.key = driver.MachineID(m[1]), m[3]
	l.generation, _ = strconv.ParseUint(m[2], 10, 64)
	return l, true
}

// A labelled thing is a key pair or a server group.
type labelled struct {
	label
	native string
	more   map[string]string
}

func (l *labelled) show() driver.Resource {
	r := driver.Resource{ID: l.id, Native: l.native, State: driver.Running, Generation: l.generation, Outputs: map[string]string{"id": l.native}}
	for name, value := range l.more {
		r.Outputs[name] = value
	}
	return r
}

func (c *cloud) keys(ctx context.Context, s *services) (out []labelled, err error) {
	page, err := keypairs.List(s.nova, nil).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	list, err := keypairs.ExtractKeyPairs(page)
	for _, k := range list {
		if l, ours := c.readLabel(k.Name); ours {
			out = append(out, labelled{l, k.Name, map[string]string{"name": k.Name, "fingerprint": k.Fingerprint}})
		}
	}
	return out, err
}

func (c *cloud) groups(ctx context.Context, s *services) (out []labelled, err error) {
	list, err := s.serverGroups(ctx)
	for _, g := range list {
		if l, ours := c.readLabel(g.Name); ours {
			out = append(out, labelled{l, g.ID, map[string]string{"name": g.Name}})
		}
	}
	return out, err
}

// with returns the first thing that bears an id; nil for none.
func with(list []labelled, id driver.MachineID) *labelled {
	for i := range list {
		if list[i].id == id {
			return &list[i]
		}
	}
	return nil
}

// keyResource makes a key pair. Nova refuses a second one of a name.
func (c *cloud) keyResource(ctx context.Context, s *services, req *driver.ResourceRequest, options map[string]any) (driver.Resource, error) {
	have, err := c.keys(ctx, s)
	if l := with(have, req.ID); err != nil || l != nil {
		if l != nil {
			return l.show(), nil
		}
		return driver.Resource{}, err
	}
	if err := ctx.Err(); err != nil {
		return driver.Resource{}, err
	}
	inner, cancel := c.making(ctx)
	defer cancel()
	k, err := keypairs.Create(inner, s.nova, keypairs.CreateOpts{Name: c.labelOf(req), PublicKey: driver.Get[string](options, "public_key")}).Extract()
	if err != nil {
		return driver.Resource{}, err
	}
	l, _ := c.readLabel(k.Name)
	return (&labelled{l, k.Name, map[string]string{"name": k.Name, "fingerprint": k.Fingerprint}}).show(), nil
}

func (c *cloud) groupResource(ctx context.Context, s *services, req *driver.ResourceRequest, options map[string]any) (driver.Resource, error) {
	have, err := c.groups(ctx, s)
	if l := with(have, req.ID); err != nil || l != nil {
		if l != nil {
			return l.show(), nil
		}
		return driver.Resource{}, err
	}
	if err := ctx.Err(); err != nil {
		return driver.Resource{}, err
	}
	inner, cancel := c.making(ctx)
	defer cancel()
	g, err := servergroups.Create(inner, s.nova, servergroups.CreateOpts{Name: c.labelOf(req), Policy: driver.Get[string](options, "policy")}).Extract()
	if err != nil {
		return driver.Resource{}, err
	}
	l, _ := c.readLabel(g.Name)
	return (&labelled{l, g.ID, map[string]string{"name": g.Name}}).show(), nil
}

// volumeResource makes a volume, which is pending until it can be attached.
func (c *cloud) volumeResource(ctx context.Context, s *services, req *driver.ResourceRequest, options map[string]any) (driver.Resource, error) {
	if s.cinder == nil {
		return driver.Resource{}, errNoVolumes
	}
	have, err := c.volumesWith(ctx, s, metaMachine, string(req.ID))
	if err != nil {
		return driver.Resource{}, err
	}
	if len(have) > 0 {
		return showVolume(&have[0]), nil
	}
	o := volumes.CreateOpts{Size: driver.Get[int](options, "size"), VolumeType: driver.Get[string](options, "type"), SnapshotID: driver.Get[string](options, "snapshot"),
		AvailabilityZone: driver.Get[string](options, "availability_zone"), Name: req.Name, Metadata: map[string]string{metaInstallation: c.installation,
			metaMachine: string(req.ID), metaKind: "volume", metaService: req.Service, metaKey: req.Key, metaGeneration: strconv.FormatUint(req.Generation, 10)}}
	if o.Size < 1 {
		return driver.Resource{}, refuse("size", "must be at least 1")
	}
	if image := driver.Get[string](options, "image"); image != "" {
		if o.ImageID, err = c.image(ctx, s, image); err != nil {
			return driver.Resource{}, err
		}
	}
	v, err := c.makeVolume(ctx, s, o)
	if err != nil {
		return driver.Resource{}, err
	}
	return showVolume(&v), nil
}

func showVolume(v *volumes.Volume) driver.Resource {
	generation, _ := strconv.ParseUint(v.Metadata[metaGeneration], 10, 64)
	r := driver.Resource{ID: driver.MachineID(v.Metadata[metaMachine]), Native: v.ID, State: driver.Running, Generation: generation,
		Outputs: map[string]string{"id": v.ID, "name": v.Name, "size": strconv.Itoa(v.Size)}}
	switch {
	case v.Status == "creating" || v.Status == "downloading":
		r.State = driver.Pending
	case strings.HasPrefix(v.Status, "error"):
		r.State, r.Reason = driver.Failed, "Cinder says that it is in state "+v.Status
	}
	return r
}

func (c *cloud) listOther(ctx context.Context, s *services, kind string) (out []driver.Resource, err error) {
	var list []labelled
	switch kind {
	case "volume":
		if s.cinder == nil {
			return nil, nil
		}
		found, err := c.volumesWith(ctx, s, metaKind, "volume")
		for i := range found {
			out = append(out, showVolume(&found[i]))
		}
		return out, err
	case "key":
		list, err = c.keys(ctx, s)
	default:
		list, err = c.groups(ctx, s)
	}
	for i := range list {
		out = append(out, list[i].show())
	}
	return out, err
}

// removeOther removes a volume, key pair or server group.
func (c *cloud) removeOther(ctx context.Context, s *services, id driver.MachineID) error {
	if s.cinder != nil {
		found, err := c.volumesWith(ctx, s, metaMachine, string(id))
		if err == nil {
			err = c.removeVolumes(ctx, s, found)
		}
		if err != nil {
			return err
		}
	}
	have, err := c.keys(ctx, s)
	if l := with(have, id); err == nil && l != nil {
		err = gone(keypairs.Delete(ctx, s.nova, l.native, nil).ExtractErr())
	}
	if err != nil {
		return err
	}
	have, err = c.groups(ctx, s)
	if l := with(have, id); err == nil && l != nil {
		err = gone(servergroups.Delete(ctx, s.nova, l.native).ExtractErr())
	}
	return err
}
