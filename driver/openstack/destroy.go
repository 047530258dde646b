package openstack

import (
	"context"
	"slices"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/troupe-dev/troupe/driver"
)

// Destroy removes whatever servers bear the machine's id, or of several the one that is meant, and with the last of them
// its ports and its own floating address.
func (c *cloud) Destroy(ctx context.Context, ref driver.Ref, mode driver.Shutdown) error {
	release, err := c.claims.Claim(ctx, ref.ID)
	if err != nil {
		return failed(err, "destroy %s", ref.ID)
	}
	defer release()
	if err := c.destroy(ctx, ref, mode); err != nil {
		return failed(err, "destroy %s", ref.ID)
	}
	c.tokens.Forget(ref.ID)
	return nil
}

func (c *cloud) destroy(ctx context.Context, ref driver.Ref, mode driver.Shutdown) error {
	s, err := c.connect(ctx)
	if err != nil {
		return err
	}
	found, err := c.serversOf(ctx, s, ref.ID)
	if err != nil {
		return err
	}
	meant := found
	if i := slices.IndexFunc(found, func(v servers.Server) bool { return v.ID == ref.Native }); i >= 0 && len(found) > 1 {
		meant = found[i : i+1]
	}
	if mode == driver.Graceful {
		for i := range meant {
			if err := c.shut(ctx, s, &meant[i]); err != nil {
				return err
			}
		}
	}
	if len(meant) < len(found) {
		return c.erase(ctx, s, meant)
	}
	return c.clear(ctx, s, ref.ID, found)
}

// shut lets a server shut down, for as long as its machine may take.
func (c *cloud) shut(ctx context.Context, s *services, v *servers.Server) error {
	if v.Status != "ACTIVE" {
		return nil
	}
	grace, err := time.ParseDuration(v.Metadata[metaGrace])
	if err != nil || grace <= 0 {
		return nil
	}
	if err := servers.Stop(ctx, s.nova, v.ID).ExtractErr(); err != nil {
		if conflict(err) {
			return nil // it does something else just now, and goes all the same
		}
		return gone(err)
	}
	var p pause
	for end := time.Now().Add(grace); time.Now().Before(end); {
		if err := p.wait(ctx); err != nil {
			return err
		}
		now, err := servers.Get(ctx, s.nova, v.ID).Extract()
		if err != nil {
			return gone(err)
		}
		if now.Status != "ACTIVE" {
			return nil
		}
	}
	return nil
}

// erase removes servers and returns when they are gone.
func (c *cloud) erase(ctx context.Context, s *services, list []servers.Server) error {
	for i := range list {
		if err := gone(servers.Delete(ctx, s.nova, list[i].ID).ExtractErr()); err != nil {
			return err
		}
	}
	for i := range list {
		var p pause
		for {
			now, err := servers.Get(ctx, s.nova, list[i].ID).Extract()
			if missing(err) || err == nil && ended(now) {
				break
			}
			if err == nil && now.Status == "ERROR" && now.TaskState == "" { // what was under way when it was asked had failed
				err = gone(servers.Delete(ctx, s.nova, list[i].ID).ExtractErr())
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

// clear removes a machine's servers, then what was made for it. A floating address that was there before stays.
func (c *cloud) clear(ctx context.Context, s *services, id driver.MachineID, list []servers.Server) error {
	if err := c.erase(ctx, s, list); err != nil {
		return err
	}
	for _, kind := range []collection{floatings, ports} {
		made, err := s.list(ctx, kind, "description", c.description("machine", id))
		if err != nil {
			return err
		}
		for _, i := range made {
			if err := s.remove(ctx, kind, i.ID); err != nil {
				return err
			}
		}
	}
	return nil
}
