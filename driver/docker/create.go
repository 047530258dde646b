package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
)

// name is the name of the container of a machine, and of what else there is one of for each machine or resource.
func (h *host) name(id driver.MachineID) string { return "troupe-" + h.installation + "-" + string(id) }

// Create makes the container, puts its files into it and starts it. Each step is looked for before it is done, so that
// a repeated call goes on where an earlier one ended.
func (h *host) Create(ctx context.Context, req driver.Request) (driver.Machine, error) {
	m, err := h.make(ctx, &req)
	if err != nil && req.Address != "" && addressRefused(err) {
		req.Address = "" // it was a wish
		m, err = h.make(ctx, &req)
	}
	if errors.Is(err, errStuck) {
		m, err = h.make(ctx, &req)
	}
	if err != nil {
		return driver.Machine{}, failed(err, "create %s", req.ID)
	}
	return m, nil
}

// errStuck: the daemon has the container of an earlier call and cannot start it. So it is when the daemon was killed
// while it started it: its runtime may have it, which the daemon does not know. It was removed to be made anew; what the
// runtime started may run on, out of the daemon's reach.
var errStuck = fmt.Errorf("%w: the daemon cannot start the container any more", driver.ErrUnavailable)

// stuck reports whether a daemon that answers fails to start a container, for no reason that lies in the request.
func stuck(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !client.IsErrConnectionFailed(err) && driver.Class(classed(err)) == "unavailable"
}

// addressRefused reports whether a machine was refused because of the address that it wished for: another has it, or
// the network's addresses are the daemon's own choice.
func addressRefused(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, onlyConfigured) || strings.Contains(text, "address already in use") && !strings.Contains(text, "bind")
}

// onlyConfigured is what a daemon says of a wish for an address in a network whose addresses it has chosen itself.
const onlyConfigured = "user configured subnets"

func (h *host) make(ctx context.Context, req *driver.Request) (driver.Machine, error) {
	if err := ctx.Err(); err != nil {
		return driver.Machine{}, err
	}
	p, err := h.newPlan(req)
	if err != nil {
		return driver.Machine{}, err
	}
	release, err := h.claims.Claim(ctx, req.ID)
	if err != nil {
		return driver.Machine{}, err
	}
	c, err := h.find(ctx, req.ID)
	found, in := err == nil, true
	if missing(err) {
		c, in, err = h.build(ctx, p, req, release)
	}
	if !in {
		return driver.Machine{}, err // whoever waits for the daemon's answer releases
	}
	defer release()
	if err != nil {
		return driver.Machine{}, err
	}
	if c.State.Status != container.StateCreated {
		return h.show(ctx, c)
	}
	err = h.prepare(ctx, c, p, req)
	if err == nil && !req.Hold {
		_, err = h.cli.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
	}
	if err != nil {
		if found && stuck(ctx, err) {
			err = fmt.Errorf("%w: %v", errStuck, err)
		}
		return driver.Machine{}, h.undo(ctx, c.ID, err)
	}
	if c, err = h.find(ctx, req.ID); err != nil {
		if missing(err) {
			err = fmt.Errorf("%w: somebody removed the container while it was made", driver.ErrUnavailable)
		}
		return driver.Machine{}, err
	}
	return h.show(ctx, c)
}

// find inspects the container of a machine. The error is one of missing where there is none.
func (h *host) find(ctx context.Context, id driver.MachineID) (container.InspectResponse, error) {
	r, err := h.cli.ContainerInspect(ctx, h.name(id), client.ContainerInspectOptions{})
	if err != nil {
		return r.Container, err
	}
	if l := r.Container.Config.Labels; l[labelInstallation] != h.installation || l[labelMachine] != string(id) {
		return r.Container, fmt.Errorf("%w: a container that is not ours has the name %s", driver.ErrInvalid, h.name(id))
	}
	return r.Container, nil
}

// known is find for calls on machines that must be there: a missing one is of class ErrNotFound.
func (h *host) known(ctx context.Context, id driver.MachineID) (container.InspectResponse, error) {
	c, err := h.find(ctx, id)
	if missing(err) {
		err = driver.ErrNotFound
	}
	return c, err
}

// undo removes a container that could not be started for a reason that will not go away by itself, so that the refusal
// is definite, or so that it can be made anew.
func (h *host) undo(ctx context.Context, id string, reason error) error {
	if reason = classed(reason); !driver.Definite(reason) && !errors.Is(reason, errStuck) {
		return reason
	}
	if err := h.remove(ctx, id); err != nil {
		return fmt.Errorf("%w: %v; and the container could not be removed: %v", driver.ErrUnavailable, reason, err)
	}
	return reason
}

// build makes the container of a plan, with its image, volumes and first network. Where in is false the daemon has not
// answered before ctx ended, and release is called when it has.
func (h *host) build(ctx context.Context, p *plan, req *driver.Request, release func()) (c container.InspectResponse, in bool, err error) {
	options, err := h.assemble(ctx, p, req)
	if err == nil && p.pull == "always" {
		err = h.renew(ctx, p)
	}
	if err == nil {
		err = h.obey(ctx, p)
	}
	if err != nil {
		return c, true, err
	}
	post := func() (bool, error) {
		return answered(ctx, h, release, func(ctx context.Context) error {
			_, err := h.cli.ContainerCreate(ctx, options)
			return err
		})
	}
	in, err = post()
	if in && missing(err) {
		var there bool
		if there, err = h.provide(ctx, p, err); err == nil && there {
			in, err = post()
		}
	}
	if !in {
		return c, false, err
	}
	// Whatever it answered: if there is a container of that name now, it is ours, or somebody else's and refused.
	if found, ferr := h.find(ctx, req.ID); err == nil || ferr == nil {
		return found, true, ferr
	}
	return c, true, err
}

// assemble names volumes and the first network of a plan, and makes the volumes.
func (h *host) assemble(ctx context.Context, p *plan, req *driver.Request) (client.ContainerCreateOptions, error) {
	var none client.ContainerCreateOptions
	for i := range p.host.Mounts {
		if m := &p.host.Mounts[i]; m.Type == mount.TypeVolume && m.Source == "" {
			if m.Source = h.dataName(req.Data); m.Source == "" {
				return none, fmt.Errorf("%w: %q cannot name data", driver.ErrInvalid, req.Data)
			}
			if err := h.keep(ctx, m.Source, map[string]string{labelData: req.Data}); err != nil {
				return none, err
			}
		}
	}
	for _, v := range p.volumes {
		source, err := h.volume(ctx, req, v.name)
		if err != nil {
			return none, err
		}
		p.host.Mounts = append(p.host.Mounts, mount.Mount{Type: mount.TypeVolume, Source: source, Target: v.target, ReadOnly: v.readOnly})
	}
	options := client.ContainerCreateOptions{Name: h.name(req.ID), Config: &p.config, HostConfig: &p.host}
	if len(p.networks) == 0 {
		return options, nil
	}
	var addresses []netip.Prefix
	for i, name := range p.networks {
		n, err := h.network(ctx, req.Service, name)
		if err != nil {
			return none, err
		}
		if p.networks[i] = n.Name; i == 0 {
			for _, c := range n.IPAM.Config {
				addresses = append(addresses, c.Subnet)
			}
		}
	}
	first := p.networks[0]
	p.host.NetworkMode = container.NetworkMode(first)
	if builtIn(first) {
		return options, nil
	}
	endpoint := &network.EndpointSettings{Aliases: p.aliases}
	if wish, err := netip.ParseAddr(req.Address); err == nil && wish.Is4() {
		for _, subnet := range addresses {
			if subnet.Contains(wish) {
				endpoint.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: wish}
			}
		}
	}
	options.NetworkingConfig = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{first: endpoint}}
	return options, nil
}

// builtIn reports whether a network is one of the daemon's own, where machines have neither names nor fixed addresses.
func builtIn(name string) bool { return name == "bridge" || name == "none" || name == "default" }

// prepare puts a made container into its further networks and its files into it.
func (h *host) prepare(ctx context.Context, c container.InspectResponse, p *plan, req *driver.Request) error {
	files, err := h.userDataFiles(ctx, c, p.data)
	if err == nil {
		err = h.putFiles(ctx, c, slices.Concat(req.Files, files))
	}
	if err != nil {
		return err
	}
	if len(p.networks) < 2 {
		return nil
	}
	for _, name := range p.networks[1:] {
		n, err := h.network(ctx, req.Service, name) // by its first name if the container was found
		if err != nil {
			return err
		}
		if _, in := c.NetworkSettings.Networks[n.Name]; in {
			continue
		}
		if _, err := h.cli.NetworkConnect(ctx, n.ID, client.NetworkConnectOptions{Container: c.ID, EndpointConfig: &network.EndpointSettings{Aliases: p.aliases}}); err != nil {
			return fmt.Errorf("network %s: %w", name, err)
		}
	}
	return nil
}
