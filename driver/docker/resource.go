package docker

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
)

var resourceKinds = []driver.ResourceKind{
	{Name: "network", Help: "A network of its own, in which machines find each other by name.", Options: []driver.Option{
		{Name: "cidr", Type: driver.String, Examples: []string{"10.1.0.0/24"}, Help: "Its addresses; chosen by the daemon if absent. Stable identities keep their addresses only in a network whose addresses are given."},
		{Name: "gateway", Type: driver.String, Help: "The address of its gateway; the first of cidr if absent."},
		{Name: "internal", Type: driver.Bool, Default: false, Help: "Whether it is cut off from other networks."},
		{Name: "driver", Type: driver.String, Default: "bridge", HostAccess: true, Advanced: true, Help: "Docker's network driver. Others than bridge reach the network of the daemon's host."},
		{Name: "driver_options", Type: driver.Map, HostAccess: true, Advanced: true, Help: "Options of that driver."},
	}},
	{Name: "volume", Help: "A volume, kept as long as its service.", Options: []driver.Option{
		{Name: "driver", Type: driver.String, Default: "local", HostAccess: true, Advanced: true, Help: "Docker's volume driver."},
		{Name: "driver_options", Type: driver.Map, HostAccess: true, Advanced: true, Help: "Options of that driver. Those of local can mount what the daemon's host reaches."},
	}},
}

// MakeResource makes a network or a volume.
func (h *host) MakeResource(ctx context.Context, req driver.ResourceRequest) (driver.Resource, error) {
	r, err := h.makeResource(ctx, &req)
	if err != nil {
		return driver.Resource{}, failed(err, "make %s %s", req.Kind, req.ID)
	}
	return r, nil
}

func (h *host) makeResource(ctx context.Context, req *driver.ResourceRequest) (driver.Resource, error) {
	kind, err := Kind().Resource(req.Kind)
	if err != nil {
		return driver.Resource{}, err
	}
	options, err := kind.Check(req.Options)
	if err != nil {
		return driver.Resource{}, err
	}
	release, err := h.claims.Claim(ctx, req.ID)
	if err != nil {
		return driver.Resource{}, err
	}
	labels := map[string]string{
		labelInstallation: h.installation, labelMachine: string(req.ID), labelResource: req.Kind, labelService: req.Service, labelName: req.Key,
		labelGeneration: strconv.FormatUint(req.Generation, 10),
	}
	var r driver.Resource
	in := true
	if req.Kind == "volume" {
		r, in, err = h.makeVolume(ctx, req, options, labels, release)
	} else {
		r, in, err = h.makeNetwork(ctx, req, options, labels, release)
	}
	if in {
		release()
	}
	return r, err
}

func (h *host) makeVolume(ctx context.Context, req *driver.ResourceRequest, options map[string]any, labels map[string]string, release func()) (r driver.Resource, in bool, err error) {
	var made client.VolumeCreateResult
	in, err = answered(ctx, h, release, func(ctx context.Context) (err error) {
		made, err = h.cli.VolumeCreate(ctx, client.VolumeCreateOptions{Name: h.name(req.ID), Labels: labels,
			Driver: driver.Get[string](options, "driver"), DriverOpts: driver.Get[map[string]string](options, "driver_options")})
		return err
	})
	if !in || err != nil {
		return r, in, err
	}
	return showVolume(&made.Volume), true, nil
}

func showVolume(v *volume.Volume) driver.Resource {
	r := resourceOf(v.Labels, v.Name)
	r.Outputs = map[string]string{"id": v.Name, "name": v.Name, "driver": v.Driver}
	return r
}

func resourceOf(labels map[string]string, native string) driver.Resource {
	generation, _ := strconv.ParseUint(labels[labelGeneration], 10, 64)
	return driver.Resource{ID: driver.MachineID(labels[labelMachine]), Native: native, State: driver.Running, Generation: generation}
}

// makeNetwork looks for the network first: a daemon makes any number of one name.
func (h *host) makeNetwork(ctx context.Context, req *driver.ResourceRequest, options map[string]any, labels map[string]string, release func()) (r driver.Resource, in bool, err error) {
	list, err := h.cli.NetworkList(ctx, client.NetworkListOptions{Filters: h.ours(labelMachine + "=" + string(req.ID))})
	if err != nil {
		return r, true, err
	}
	if len(list.Items) > 0 {
		return showNetwork(&list.Items[0].Network), true, nil
	}
	o := client.NetworkCreateOptions{Labels: labels, Driver: driver.Get[string](options, "driver"),
		Options: driver.Get[map[string]string](options, "driver_options"), Internal: driver.Get[bool](options, "internal")}
	if o.IPAM, err = ipam(options); err != nil {
		return r, true, err
	}
	var id string
	in, err = answered(ctx, h, release, func(ctx context.Context) error {
		made, err := h.cli.NetworkCreate(ctx, h.name(req.ID), o)
		id = made.ID
		return err
	})
	if !in || err != nil {
		return r, in, err
	}
	n, err := h.cli.NetworkInspect(ctx, id, client.NetworkInspectOptions{})
	if err != nil {
		return r, true, fmt.Errorf("%w: look at it: %w", driver.ErrUnavailable, err)
	}
	return showNetwork(&n.Network.Network), true, nil
}

func ipam(options map[string]any) (*network.IPAM, error) {
	cidr, gateway := driver.Get[string](options, "cidr"), driver.Get[string](options, "gateway")
	if cidr == "" {
		if gateway != "" {
			return nil, refuse("gateway", "needs cidr beside it")
		}
		return nil, nil
	}
	subnet, err := netip.ParsePrefix(cidr)
	if err != nil {
		return nil, refuse("cidr", fmt.Sprintf("%q: give a network such as 10.1.0.0/24", cidr))
	}
	c := network.IPAMConfig{Subnet: subnet.Masked()}
	if gateway != "" {
		if c.Gateway, err = parseAddress(gateway); err != nil || !subnet.Contains(c.Gateway) {
			return nil, refuse("gateway", fmt.Sprintf("%q is no address of %s", gateway, cidr))
		}
	}
	return &network.IPAM{Config: []network.IPAMConfig{c}}, nil
}

func showNetwork(n *network.Network) driver.Resource {
	r := resourceOf(n.Labels, n.ID)
	r.Outputs = map[string]string{"id": n.ID, "name": n.Name}
	for _, c := range n.IPAM.Config {
		if r.Outputs["cidr"] == "" && c.Subnet.IsValid() {
			r.Outputs["cidr"] = c.Subnet.String()
			if c.Gateway.IsValid() {
				r.Outputs["gateway"] = c.Gateway.String()
			} else if n.Driver == "bridge" { // which takes the first, and need not say so
				r.Outputs["gateway"] = c.Subnet.Masked().Addr().Next().String()
			}
		}
	}
	return r
}

// RemoveResource removes what bears the resource's id.
func (h *host) RemoveResource(ctx context.Context, ref driver.Ref) error {
	release, err := h.claims.Claim(ctx, ref.ID)
	if err != nil {
		return failed(err, "remove %s", ref.ID)
	}
	defer release()
	for r, err := range h.resources(ctx, labelMachine+"="+string(ref.ID)) {
		if err == nil {
			if r.Outputs["driver"] != "" {
				_, err = h.cli.VolumeRemove(ctx, r.Native, client.VolumeRemoveOptions{})
			} else {
				_, err = h.cli.NetworkRemove(ctx, r.Native, client.NetworkRemoveOptions{})
			}
		}
		if gone(err) != nil {
			return failed(inUse(err), "remove %s", ref.ID)
		}
	}
	return nil
}

// inUse gives its class to the refusal to remove what machines still use: it may be possible later.
func inUse(err error) error {
	if errdefs.IsConflict(err) || errdefs.IsPermissionDenied(err) {
		return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
	}
	return err
}

// ListResources yields networks and volumes.
func (h *host) ListResources(ctx context.Context) iter.Seq2[driver.Resource, error] {
	return h.resources(ctx)
}

func (h *host) resources(ctx context.Context, labels ...string) iter.Seq2[driver.Resource, error] {
	return func(yield func(driver.Resource, error) bool) {
		filters := h.ours(append(labels, labelResource)...)
		networks, err := h.cli.NetworkList(ctx, client.NetworkListOptions{Filters: filters})
		volumes, verr := h.cli.VolumeList(ctx, client.VolumeListOptions{Filters: filters})
		if err = errors.Join(err, verr); err != nil {
			yield(driver.Resource{}, failed(err, "list resources"))
			return
		}
		for i := range networks.Items {
			if !yield(showNetwork(&networks.Items[i].Network), nil) {
				return
			}
		}
		for i := range volumes.Items {
			if !yield(showVolume(&volumes.Items[i]), nil) {
				return
			}
		}
	}
}

// network returns the network that a machine means: a resource of its service, or else one of the daemon's by its name
// or id.
func (h *host) network(ctx context.Context, service, name string) (network.Network, error) {
	if !builtIn(name) {
		list, err := h.cli.NetworkList(ctx, client.NetworkListOptions{Filters: h.ours(labelResource, labelService+"="+service, labelName+"="+name)})
		if err != nil {
			return network.Network{}, err
		}
		if len(list.Items) > 0 {
			return list.Items[0].Network, nil
		}
	}
	n, err := h.cli.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
	if missing(err) {
		err = refuse("networks", fmt.Sprintf("there is no network %q, neither a resource of the service nor one of the daemon", name))
	}
	if err == nil && n.Network.Labels[labelResource] != "" && (n.Network.Labels[labelService] != service || n.Network.Labels[labelInstallation] != h.installation) {
		err = refuse("networks", fmt.Sprintf("%q is a resource of another service", name))
	}
	return n.Network.Network, err
}

// volume returns the volume that a machine means: a resource of its service, or else the one that its project keeps
// under that name. The name alone would reach those of others.
func (h *host) volume(ctx context.Context, req *driver.Request, name string) (string, error) {
	list, err := h.cli.VolumeList(ctx, client.VolumeListOptions{Filters: h.ours(labelResource, labelService+"="+req.Service, labelName+"="+name)})
	if err != nil {
		return "", err
	}
	if len(list.Items) > 0 {
		return list.Items[0].Name, nil
	}
	full := h.name("volume-" + driver.MachineID(req.Project+"-"+name))
	if !volumeName.MatchString(full) {
		return "", refuse("volumes", fmt.Sprintf("project %q and %q make no name of a volume; use a resource", req.Project, name))
	}
	return full, h.keep(ctx, full, map[string]string{labelProject: req.Project, labelName: name})
}
