package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// UUID is the id of an instance in the form of a UUID, for clients that need one.
func (c *Control) UUID(id uint64, serial uint32) string {
	return service.UUID(c.store.Installation().ID, id, serial)
}

// Checking reports whether the checks of an instance that runs have not all been answered since this server started. The
// service is held for reading.
func (c *Control) Checking(id uint64, i *service.Instance) bool { return c.engine.Checking(id, i) }

// FindInstances returns the serials of the instances of a role that people name, each by its number in the role, its
// name, its UUID, the id of its machine, there or here, or any of its addresses. What names none, or several, is an
// error that says so.
func (c *Control) FindInstances(who *identity.Caller, id uint64, role string, names []string) (serials []uint32, err error) {
	if len(names) > service.MaxChosen {
		return nil, fmt.Errorf("%w: %d instances are named; %d is the most at a time", identity.ErrInvalid, len(names), service.MaxChosen)
	}
	wanted := make(map[string]int, len(names))
	for n, name := range names {
		wanted[normal(name)] = n
	}
	found := make([][]*service.Instance, len(names))
	var there []string
	var wrong error
	if err := c.Read(who, id, func(s *service.Service) {
		r := s.Role(role)
		if r == nil {
			wrong = fmt.Errorf("%w: no role %q%s", identity.ErrNotFound, role, nearest.Hint(role, roleNames(s)))
			return
		}
		for i := range r.Instances {
			if i.Phase == service.Stopping {
				continue
			}
			there = append(there, s.InstanceName(i))
			for _, name := range c.namesOf(s, i) {
				n, ok := wanted[normal(name)]
				if ok && !slices.Contains(found[n], i) {
					found[n] = append(found[n], i)
				}
			}
		}
		wrong = nameless(s, role, names, found, there)
	}); err != nil {
		return nil, err
	}
	if wrong != nil {
		return nil, wrong
	}
	for _, name := range names {
		serials = append(serials, found[wanted[normal(name)]][0].Serial)
	}
	return serials, nil
}

// nameless says which of the names stands for no instance, or for several; nil when each stands for one.
func nameless(s *service.Service, role string, names []string, found [][]*service.Instance, there []string) error {
	last := make(map[string]int, len(names))
	for n, name := range names {
		last[normal(name)] = n
	}
	for _, name := range names {
		switch all := found[last[normal(name)]]; {
		case len(all) == 0:
			return fmt.Errorf("%w: role %s has no instance %q by number, name, id or address%s", identity.ErrNotFound, role, name, nearest.Hint(name, there))
		case len(all) > 1:
			return fmt.Errorf("%w: %q names both %s and %s; name one by its number", identity.ErrInvalid, name, s.InstanceName(all[0]), s.InstanceName(all[1]))
		}
	}
	return nil
}

func roleNames(s *service.Service) []string {
	names := make([]string, len(s.Roles))
	for n, r := range s.Roles {
		names[n] = r.Name
	}
	return names
}

// namesOf returns all that an instance can be found by.
func (c *Control) namesOf(s *service.Service, i *service.Instance) []string {
	number := strconv.FormatUint(uint64(i.Number), 10)
	return append([]string{number, i.Role().Name + "/" + number, s.InstanceName(i), c.UUID(s.ID, i.Serial), string(s.MachineID(i)), i.Native}, i.Addresses...)
}

// normal writes a name as all write it: addresses have several spellings, ids two.
func normal(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap().String()
	}
	return name
}
