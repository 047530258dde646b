package openstack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servergroups"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// rememberNames is how long what a name means is believed: machines of a role name the same.
const rememberNames = time.Minute

// names remembers what was looked up.
type names struct {
	mu    sync.Mutex
	known map[string]named
}

type named struct {
	id    string
	until time.Time
}

// of returns what a name means, and asks where that is not known.
func (n *names) of(key string, ask func() (string, error)) (string, error) {
	n.mu.Lock()
	found, ok := n.known[key]
	n.mu.Unlock()
	if ok && time.Now().Before(found.until) {
		return found.id, nil
	}
	id, err := ask()
	if err != nil {
		return "", err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil || len(n.known) > 1000 {
		n.known = make(map[string]named)
	}
	n.known[key] = named{id, time.Now().Add(rememberNames)}
	return id, nil
}

// forget drops everything, after what a name meant was not there.
func (n *names) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.known)
}

// image returns the id of an image that is named.
func (c *cloud) image(ctx context.Context, s *services, text string) (string, error) {
	return c.names.of("image "+text, func() (string, error) {
		page, err := images.List(s.glance, images.ListOpts{Name: text, Status: images.ImageStatusActive}).AllPages(ctx)
		if err != nil {
			return "", err
		}
		found, err := images.ExtractImages(page)
		switch {
		case err != nil:
			return "", err
		case len(found) == 1:
			return found[0].ID, nil
		case len(found) > 1:
			slices.SortFunc(found, func(a, b images.Image) int { return b.CreatedAt.Compare(a.CreatedAt) })
			return found[0].ID, nil // the newest, as clouds replace images under their names
		}
		if isID(text) {
			i, err := images.Get(ctx, s.glance, text).Extract()
			if err == nil {
				return i.ID, nil
			}
			if !missing(err) {
				return "", err
			}
		}
		return "", refuse("image", fmt.Sprintf("there is no image %q", text))
	})
}

// flavorOf returns the id of the flavor that is named, or that is big enough.
func (c *cloud) flavorOf(ctx context.Context, s *services, p *plan, req *driver.Request) (string, error) {
	key := "flavor " + p.flavor
	if p.flavor == "" {
		key = fmt.Sprintf("size %g %d", req.CPUs, req.Memory)
	}
	return c.names.of(key, func() (string, error) {
		page, err := flavors.ListDetail(s.nova, nil).AllPages(ctx)
		if err != nil {
			return "", err
		}
		list, err := flavors.ExtractFlavors(page)
		if err != nil {
			return "", err
		}
		if p.flavor == "" {
			return smallest(list, req)
		}
		all := make([]string, len(list))
		for i := range list {
			if all[i] = list[i].Name; list[i].Name == p.flavor || list[i].ID == p.flavor {
				return list[i].ID, nil
			}
		}
		hint := nearest.Hint(p.flavor, all)
		if hint == "" {
			hint = fmt.Sprintf("; there are %.300s", strings.Join(all, ", "))
		}
		return "", refuse("flavor", fmt.Sprintf("there is no flavor %q%s", p.flavor, hint))
	})
}

// smallest chooses the flavor with the least memory, then processors, then disk, of those that are big enough.
func smallest(list []flavors.Flavor, req *driver.Request) (string, error) {
	mib := (req.Memory + 1<<20 - 1) >> 20
	fits := slices.DeleteFunc(slices.Clone(list), func(f flavors.Flavor) bool { return float64(f.VCPUs) < req.CPUs || int64(f.RAM) < mib })
	if len(fits) == 0 {
		return "", refuse("flavor", fmt.Sprintf("no flavor has %g processors and %d MiB of memory", req.CPUs, mib))
	}
	return slices.MinFunc(fits, func(a, b flavors.Flavor) int {
		return cmp.Or(cmp.Compare(a.RAM, b.RAM), cmp.Compare(a.VCPUs, b.VCPUs), cmp.Compare(a.Disk, b.Disk), strings.Compare(a.ID, b.ID))
	}).ID, nil
}

// keyOf returns the name of a key pair: that of a resource of the service, or the given one.
func (c *cloud) keyOf(ctx context.Context, s *services, service, text string) (string, error) {
	page, err := keypairs.List(s.nova, nil).AllPages(ctx)
	if err != nil {
		return "", err
	}
	list, err := keypairs.ExtractKeyPairs(page)
	if err != nil {
		return "", err
	}
	own := ""
	for _, k := range list {
		if l, ours := c.readLabel(k.Name); ours && l.service() == service && l.key == text {
			return k.Name, nil
		}
		if k.Name == text {
			own = text
		}
	}
	if own == "" {
		return "", refuse("key", fmt.Sprintf("there is no key pair %q, neither a resource of the service nor one of the user", text))
	}
	if _, ours := c.readLabel(own); ours {
		return "", refuse("key", fmt.Sprintf("%q is a resource of another service", text))
	}
	return own, nil
}

// groupOf returns the id of a server group.
func (c *cloud) groupOf(ctx context.Context, s *services, service, text string) (string, error) {
	list, err := s.serverGroups(ctx)
	if err != nil {
		return "", err
	}
	id := ""
	for _, g := range list {
		l, ours := c.readLabel(g.Name)
		switch {
		case ours && l.service() == service && l.key == text:
			return g.ID, nil
		case !ours && (g.Name == text || g.ID == text):
			id = g.ID
		}
	}
	if id == "" {
		return "", refuse("server_group", fmt.Sprintf("there is no server group %q, neither a resource of the service nor one of the project", text))
	}
	return id, nil
}

func (s *services) serverGroups(ctx context.Context) ([]servergroups.ServerGroup, error) {
	page, err := servergroups.List(s.nova, nil).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	return servergroups.ExtractServerGroups(page)
}

// imageSize returns how many GiB a volume needs for an image.
func (c *cloud) imageSize(ctx context.Context, s *services, id string) (int, error) {
	i, err := images.Get(ctx, s.glance, id).Extract()
	if err != nil {
		return 0, problem(err)
	}
	return max(i.MinDiskGigabytes, int((i.SizeBytes+1<<30-1)>>30), 1), nil
}
