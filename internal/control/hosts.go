package control

import (
	"context"
	"net/netip"
	"strconv"
	"sync"

	"github.com/troupe-dev/troupe/internal/dns"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/service"
)

// Names of instances follow commits: what changed is noted as it is published, and looked at right after. Nothing is
// stored, and nothing is asked for again and again.

// A hostFeed holds what is to be looked at.
type hostFeed struct {
	mu   sync.Mutex
	due  map[uint64]*hostsDue // by service
	wake chan struct{}
}

type hostsDue struct {
	serials map[uint32]struct{}
	whole   bool
}

// note is quick: the service is locked meanwhile.
func (f *hostFeed) note(c engine.Change) { f.add(c.Service, c.Instances, false) }

func (f *hostFeed) add(id uint64, serials []uint32, whole bool) {
	f.mu.Lock()
	d := f.due[id]
	if d == nil {
		d = &hostsDue{serials: make(map[uint32]struct{}, len(serials))}
		f.due[id] = d
	}
	d.whole = d.whole || whole
	for _, serial := range serials {
		d.serials[serial] = struct{}{}
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *hostFeed) take() map[uint64]*hostsDue {
	f.mu.Lock()
	defer f.mu.Unlock()
	due := f.due
	f.due = make(map[uint64]*hostsDue)
	return due
}

// FollowHosts keeps the names of instances true until ctx ends.
func (c *Control) FollowHosts(ctx context.Context) error {
	hosts := c.names.Hosts()
	if hosts == nil {
		return nil
	}
	c.engine.Each(func(id uint64, _ *service.Service) bool {
		c.feed.add(id, nil, true)
		return true
	})
	for {
		labels := make(map[int]string) // of projects; a user may rename one between two rounds
		for id, d := range c.feed.take() {
			c.tellHosts(hosts, labels, id, d)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.feed.wake:
		}
	}
}

// tellHosts tells of the instances of a service that have changed.
func (c *Control) tellHosts(hosts *dns.Hosts, labels map[int]string, id uint64, d *hostsDue) {
	group := 0
	var v dns.View
	there := c.engine.View(id, func(s *service.Service) {
		if s.State == service.Done {
			return
		}
		group = s.Meta.Group
		v = dns.View{Service: id, Name: s.Meta.Name, Whole: d.whole}
		for _, r := range s.Roles {
			v.Roles = append(v.Roles, r.Name)
			if d.whole {
				r.Instances(func(i *service.Instance) bool {
					v.Hosts = append(v.Hosts, hostOf(s, i))
					return true
				})
			}
		}
		if d.whole {
			return
		}
		for serial := range d.serials {
			if i := s.Instance(serial); i != nil {
				v.Hosts = append(v.Hosts, hostOf(s, i))
			} else {
				v.Gone = append(v.Gone, serial)
			}
		}
	})
	if !there || v.Service == 0 {
		hosts.Remove(id)
		return
	}
	if labels[group] == "" {
		labels[group] = c.projectLabel(group)
	}
	v.Project = labels[group]
	hosts.Put(&v)
}

// hostOf is an instance as its names tell of it. One whose machine is not there, or is going, has no address.
func hostOf(s *service.Service, i *service.Instance) dns.Host {
	h := dns.Host{Serial: i.Serial, Name: s.InstanceName(i), Role: i.Role().Name, Ready: i.Phase == service.Up}
	switch i.Phase {
	case service.Starting, service.Held, service.Up, service.Parked, service.Down:
		for _, text := range i.Addresses {
			if a, err := netip.ParseAddr(text); err == nil {
				h.Addresses = append(h.Addresses, a.Unmap().WithZone(""))
			}
		}
	}
	return h
}

// projectLabel is the label of a project: its name, or its number where the name is no label, or that of two.
func (c *Control) projectLabel(group int) string {
	number := strconv.Itoa(group)
	label := dns.Label(c.directory.GroupName(group))
	if _, err := strconv.Atoi(label); err == nil || label == "" {
		return number
	}
	for _, g := range c.directory.Groups() {
		if g.ID < group && dns.Label(g.Name) == label {
			return number
		}
	}
	return label
}
