package openstack

import (
	"context"
	"fmt"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/troupe-dev/troupe/driver"
)

// Act does what Nova can: stopping and powering off are the same, and undeploying is shelving.
func (c *cloud) Act(ctx context.Context, ref driver.Ref, action driver.Action, _, token string) error {
	if !Kind().Supports(action) {
		return fmt.Errorf("openstack: %s: %w", action, driver.ErrUnsupported)
	}
	if err := c.act(ctx, ref.ID, action, token); err != nil {
		return failed(err, "%s %s", action, ref.ID)
	}
	return nil
}

func (c *cloud) act(ctx context.Context, id driver.MachineID, action driver.Action, token string) error {
	release, err := c.claims.Claim(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	s, err := c.connect(ctx)
	if err != nil {
		return err
	}
	server, err := c.known(ctx, s, id)
	if err != nil {
		return err
	}
	if c.tokens.Seen(id, token) {
		return nil
	}
	if server, err = s.idle(ctx, server); err != nil {
		return err
	}
	if err := do(ctx, s, server, action); err != nil {
		return err
	}
	c.tokens.Keep(id, token)
	return nil
}

// do brings a server into the state that the action means. One that is in that state is left alone.
func do(ctx context.Context, s *services, v *servers.Server, action driver.Action) error {
	n, id := s.nova, v.ID
	switch action {
	case driver.Stop, driver.Poweroff, driver.PoweroffHard:
		if v.Status != "SHUTOFF" {
			return servers.Stop(ctx, n, id).ExtractErr()
		}
	case driver.Suspend:
		if v.Status != "SUSPENDED" {
			return servers.Suspend(ctx, n, id).ExtractErr()
		}
	case driver.Undeploy, driver.UndeployHard:
		switch v.Status {
		case "SHELVED":
			return servers.ShelveOffload(ctx, n, id).ExtractErr()
		case "SHELVED_OFFLOADED":
		default:
			return servers.Shelve(ctx, n, id).ExtractErr()
		}
	case driver.Reboot:
		return servers.Reboot(ctx, n, id, servers.RebootOpts{Type: servers.SoftReboot}).ExtractErr()
	case driver.RebootHard:
		return servers.Reboot(ctx, n, id, servers.RebootOpts{Type: servers.HardReboot}).ExtractErr()
	case driver.Resume:
		switch v.Status {
		case "SUSPENDED":
			return servers.Resume(ctx, n, id).ExtractErr()
		case "PAUSED":
			return servers.Unpause(ctx, n, id).ExtractErr()
		case "SHELVED", "SHELVED_OFFLOADED":
			return servers.Unshelve(ctx, n, id, servers.UnshelveOpts{}).ExtractErr()
		case "SHUTOFF":
			return servers.Start(ctx, n, id).ExtractErr()
		}
	}
	return nil
}
