package openstack

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/pagination"

	"github.com/troupe-dev/troupe/driver"
)

// errStop ends a list that nobody reads any more.
var errStop = errors.New("stop")

// each calls yield for every server of this installation until it returns false.
func (c *cloud) each(ctx context.Context, s *services, yield func(*servers.Server) bool) error {
	err := servers.List(s.nova, servers.ListOpts{Tags: c.mark()}).EachPage(ctx, func(_ context.Context, page pagination.Page) (bool, error) {
		list, err := servers.ExtractServers(page)
		if err != nil {
			return false, err
		}
		for i := range list {
			v := &list[i]
			if v.Metadata[metaInstallation] == c.installation && v.Metadata[metaMachine] != "" && !ended(v) && !yield(v) {
				return false, errStop
			}
		}
		return true, nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// List asks Nova for all servers at once, and Neutron once for floating addresses if one of them has any: Nova learns of
// these late.
func (c *cloud) List(ctx context.Context) iter.Seq2[driver.Machine, error] {
	return func(yield func(driver.Machine, error) bool) {
		s, err := c.connect(ctx)
		var floating map[string]string
		if err == nil {
			err = c.each(ctx, s, func(v *servers.Server) bool {
				if v.Metadata[metaFloating] != "" && floating == nil {
					var ferr error
					if floating, ferr = c.floatingAddresses(ctx, s); ferr != nil {
						return yield(driver.Machine{}, failed(ferr, "list")) && false
					}
				}
				return yield(show(v, firstOf(floating, v)), nil)
			})
		}
		if err != nil {
			yield(driver.Machine{}, failed(err, "list"))
		}
	}
}

// floatingAddresses returns the project's floating addresses by the hardware addresses of the ports that they lead to.
func (c *cloud) floatingAddresses(ctx context.Context, s *services) (map[string]string, error) {
	found, err := s.list(ctx, floatings)
	if err != nil {
		return nil, err
	}
	byMAC := map[string]string{}
	for i := range found {
		if f := &found[i]; f.PortDetails.MAC != "" {
			byMAC[f.PortDetails.MAC] = f.Floating
		}
	}
	return byMAC, nil
}

// firstOf returns the floating address that leads to one of a server's ports.
func firstOf(floating map[string]string, v *servers.Server) string {
	for _, a := range addressesOf(v) {
		if f := floating[a.mac]; f != "" {
			return f
		}
	}
	return ""
}

// ended reports whether a server is no more, although Nova still tells of it.
func ended(v *servers.Server) bool { return v.Status == "DELETED" || v.Status == "SOFT_DELETED" }

// show turns a server into a machine. floating is the floating address that Neutron tells of, "" for none.
func show(v *servers.Server, floating string) driver.Machine {
	generation, _ := strconv.ParseUint(v.Metadata[metaGeneration], 10, 64)
	m := driver.Machine{ID: driver.MachineID(v.Metadata[metaMachine]), Native: v.ID, State: stateOf(v), Created: v.Created, Generation: generation}
	if v.Fault.Message != "" && (m.State == driver.Failed || m.State == driver.Unknown) {
		m.Reason = v.Fault.Message
	}
	if m.State == driver.Unknown {
		m.Reason = strings.TrimSpace("Nova says that it is " + v.Status + ". " + m.Reason)
	}
	if floating != "" {
		m.Addresses = append(m.Addresses, floating)
	}
	for _, a := range addressesOf(v) {
		if !slices.Contains(m.Addresses, a.text) {
			m.Addresses = append(m.Addresses, a.text)
		}
	}
	return m
}

// stateOf tells what Nova's status means. What Nova does to a machine that runs on, or comes back, is no other state.
func stateOf(v *servers.Server) driver.State {
	switch v.Status {
	case "ACTIVE", "REBOOT", "HARD_REBOOT", "PASSWORD", "MIGRATING", "RESIZE", "VERIFY_RESIZE", "REVERT_RESIZE", "RESCUE":
		return driver.Running
	case "BUILD", "REBUILD":
		return driver.Pending
	case "SHUTOFF":
		return driver.Stopped
	case "PAUSED", "SUSPENDED":
		return driver.Suspended
	case "SHELVED", "SHELVED_OFFLOADED":
		return driver.Undeployed
	case "ERROR":
		return driver.Failed
	case "DELETED", "SOFT_DELETED":
		return driver.Gone
	}
	return driver.Unknown
}

// An address is one of a server's, as Nova tells.
type address struct{ text, kind, mac string }

// addressesOf returns floating addresses first, then those in the first network, then others by the networks' names.
func addressesOf(v *servers.Server) (out []address) {
	first := v.Metadata[metaNetwork]
	names := slices.Sorted(maps.Keys(v.Addresses))
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case a == first && b != first:
			return -1
		case b == first && a != first:
			return 1
		}
		return 0
	})
	var fixed []address
	for _, name := range names {
		list, _ := v.Addresses[name].([]any)
		for _, one := range list {
			m, _ := one.(map[string]any)
			a := address{}
			a.text, _ = m["addr"].(string)
			a.kind, _ = m["OS-EXT-IPS:type"].(string)
			a.mac, _ = m["OS-EXT-IPS-MAC:mac_addr"].(string)
			switch {
			case a.text == "":
			case a.kind == "floating":
				out = append(out, a)
			default:
				fixed = append(fixed, a)
			}
		}
	}
	return append(out, fixed...)
}
