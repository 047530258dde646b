package openstack

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/troupe-dev/troupe/driver"
)

// scheduleTime is how long Create waits for Nova to find the machine a host. If there is none, another back end may have one.
const scheduleTime = 30 * time.Second

// Create makes the machine's ports, then the server, then its floating address. Each is looked for before it is made, so
// that a repeated call goes on where an earlier one ended. It waits until the server has a host.
func (c *cloud) Create(ctx context.Context, req driver.Request) (driver.Machine, error) {
	m, err := claimed(ctx, c, req.ID, func() (driver.Machine, error) { return c.make(ctx, &req) })
	if err != nil {
		return driver.Machine{}, failed(err, "create %s", req.ID)
	}
	return m, nil
}

// make finds or makes the machine. Its claim is held.
func (c *cloud) make(ctx context.Context, req *driver.Request) (driver.Machine, error) {
	p, err := c.newPlan(req)
	if err != nil {
		return driver.Machine{}, err
	}
	if req.Hold {
		return driver.Machine{}, fmt.Errorf("%w: Nova starts what it makes", driver.ErrUnsupported)
	}
	s, err := c.connect(ctx)
	if err == nil {
		err = s.isProject(p.project)
	}
	if err != nil {
		return driver.Machine{}, err
	}
	found, err := c.serversOf(ctx, s, req.ID)
	if err != nil {
		return driver.Machine{}, err
	}
	if len(found) == 0 {
		if err = c.build(ctx, s, p, req); err == nil {
			found, err = c.serversOf(ctx, s, req.ID)
		}
	}
	if err != nil {
		return driver.Machine{}, c.undo(ctx, s, req.ID, err)
	}
	server, err := c.placed(ctx, s, found)
	if err != nil {
		return driver.Machine{}, c.undo(ctx, s, req.ID, err)
	}
	var address string
	if p.floating != "" && server.Status != "ERROR" {
		if address, err = c.bindFloating(ctx, s, p, req); err != nil {
			return driver.Machine{}, c.undo(ctx, s, req.ID, err)
		}
	}
	return show(server, address), nil
}

// serversOf returns the servers that bear a machine's id, the best first: one that has not failed before one that has,
// then the oldest.
func (c *cloud) serversOf(ctx context.Context, s *services, id driver.MachineID) ([]servers.Server, error) {
	page, err := servers.List(s.nova, servers.ListOpts{Tags: c.machineTag(id)}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	list, err := servers.ExtractServers(page)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(v servers.Server) bool {
		return v.Metadata[metaInstallation] != c.installation || v.Metadata[metaMachine] != string(id) || ended(&v)
	})
	slices.SortFunc(list, func(a, b servers.Server) int {
		if (a.Status == "ERROR") != (b.Status == "ERROR") {
			return map[bool]int{true: 1, false: -1}[a.Status == "ERROR"]
		}
		return a.Created.Compare(b.Created)
	})
	return list, nil
}

// known returns the server of a machine that must be there: a missing one is of class ErrNotFound.
func (c *cloud) known(ctx context.Context, s *services, id driver.MachineID) (*servers.Server, error) {
	found, err := c.serversOf(ctx, s, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, driver.ErrNotFound
	}
	return &found[0], nil
}

func (c *cloud) machineTag(id driver.MachineID) string {
	return tag("troupe=" + c.installation + "-" + string(id))
}

// An order is a request for a server.
type order struct {
	servers.CreateOpts
	hints servers.SchedulerHintOpts
	key   string
}

// build asks Nova for the server. No other request for it can have success any more, or it is asked for by nobody else.
func (c *cloud) build(ctx context.Context, s *services, p *plan, req *driver.Request) error {
	o, err := c.order(ctx, s, p, req)
	if err != nil {
		return err
	}
	nics, again, err := c.attachments(ctx, s, p, req)
	if err != nil {
		return err
	}
	if again { // an earlier request was sent and may have been carried out meanwhile
		found, err := c.serversOf(ctx, s, req.ID)
		if err != nil || len(found) > 0 {
			return errors.Join(err, c.erase(ctx, s, found))
		}
	}
	o.Networks = nics
	if err := ctx.Err(); err != nil {
		return err
	}
	inner, cancel := c.making(ctx)
	defer cancel()
	_, err = servers.Create(inner, s.nova, keypairs.CreateOptsExt{CreateOptsBuilder: o.CreateOpts, KeyName: o.key}, o.hints).Extract()
	if answer, ok := answerOf(err); ok && answer.Actual == 400 {
		c.names.forget()
	}
	return problem(err)
}

// order is the request for the server, but for its networks.
func (c *cloud) order(ctx context.Context, s *services, p *plan, req *driver.Request) (*order, error) {
	image, err := c.image(ctx, s, p.image)
	if err != nil {
		return nil, err
	}
	flavor, err := c.flavorOf(ctx, s, p, req)
	if err != nil {
		return nil, err
	}
	o := &order{CreateOpts: servers.CreateOpts{Name: p.name, FlavorRef: flavor, AvailabilityZone: p.zone, Metadata: p.metadata, Tags: []string{c.mark(), c.machineTag(req.ID)}}}
	if len(p.userData) > 0 {
		o.UserData = []byte(base64.StdEncoding.EncodeToString(p.userData)) // here, since the client takes texts that look like it for it
	}
	if p.drive {
		o.ConfigDrive = &p.drive
	}
	if o.BlockDevice, err = c.disks(ctx, s, p, req, image); err != nil {
		return nil, err
	}
	if !p.boot {
		o.ImageRef = image
	}
	o.hints.AdditionalProperties = map[string]any{}
	for name, value := range p.hints {
		o.hints.AdditionalProperties[name] = value
	}
	if p.group != "" {
		if o.hints.Group, err = c.groupOf(ctx, s, req.Service, p.group); err != nil {
			return nil, err
		}
	}
	if p.key != "" {
		o.key, err = c.keyOf(ctx, s, req.Service, p.key)
	}
	return o, err
}

// placed waits until Nova has found the best of a machine's servers a host, or has given up.
func (c *cloud) placed(ctx context.Context, s *services, found []servers.Server) (*servers.Server, error) {
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: somebody removed the server while it was made", driver.ErrUnavailable)
	}
	server := &found[0]
	var p pause
	for end := time.Now().Add(scheduleTime); server.Status == "BUILD" && (server.TaskState == "" || server.TaskState == "scheduling") && time.Now().Before(end); {
		if err := p.wait(ctx); err != nil {
			return nil, err
		}
		var err error
		if server, err = servers.Get(ctx, s.nova, server.ID).Extract(); err != nil {
			return nil, err
		}
	}
	if server.Status == "ERROR" {
		text := strings.ToLower(server.Fault.Message)
		for _, w := range words {
			if w.class == driver.ErrCapacity && strings.Contains(text, w.says) {
				return nil, fmt.Errorf("%w: %s", driver.ErrCapacity, server.Fault.Message)
			}
		}
	}
	return server, nil
}

// undo removes everything of a machine that cannot be made, so that the refusal is definite.
func (c *cloud) undo(ctx context.Context, s *services, id driver.MachineID, reason error) error {
	reason = classed(reason)
	if !driver.Definite(reason) {
		return reason
	}
	found, err := c.serversOf(ctx, s, id)
	if err == nil {
		err = c.clear(ctx, s, id, found)
	}
	if err != nil {
		return fmt.Errorf("%w: %v; and what was made for it could not be removed: %v", driver.ErrUnavailable, reason, classed(err))
	}
	return reason
}

// Stamp writes the newer generation into the server's metadata. Nova takes none while it works on the server.
func (c *cloud) Stamp(ctx context.Context, ref driver.Ref, generation uint64) error {
	s, err := c.connect(ctx)
	var server *servers.Server
	if err == nil {
		server, err = c.known(ctx, s, ref.ID)
	}
	if err == nil {
		server, err = s.idle(ctx, server)
	}
	if err == nil {
		_, err = servers.UpdateMetadata(ctx, s.nova, server.ID, servers.MetadataOpts{metaGeneration: strconv.FormatUint(generation, 10)}).Extract()
	}
	if err != nil {
		return failed(err, "stamp %s", ref.ID)
	}
	return nil
}

// idle waits until Nova does nothing with a server: it does one thing at a time.
func (s *services) idle(ctx context.Context, v *servers.Server) (*servers.Server, error) {
	var p pause
	for v.TaskState != "" || v.Status == "BUILD" {
		if err := p.wait(ctx); err != nil {
			return nil, err
		}
		var err error
		if v, err = servers.Get(ctx, s.nova, v.ID).Extract(); err != nil {
			return nil, err
		}
	}
	return v, nil
}
