package dns

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"

	miekg "github.com/miekg/dns"
)

// liveTTL is how long, in seconds, others may remember the address of an instance, or that there is none: it may be
// replaced at any moment.
const liveTTL = 1

// mostAddresses bounds an answer about a role: what is more would not fit a message. Each time others are chosen.
const mostAddresses = 1000

// A Host is an instance as its names tell of it.
type Host struct {
	Serial    uint32
	Name      string // of the instance
	Role      string
	Addresses []netip.Addr
	Ready     bool // its role's name tells its addresses, too
}

// A View is what has changed about the names of a service.
type View struct {
	Service uint64
	Project string // a label, which no other project has
	Name    string // of the service
	Roles   []string
	Hosts   []Host
	Gone    []uint32 // serials of instances that are no more
	Whole   bool     // Hosts are all that there are
}

// Hosts are the names of instances below one zone: INSTANCE.SERVICE.PROJECT.ZONE and ROLE.SERVICE.PROJECT.ZONE, where
// SERVICE is a service's name or its number. Safe for concurrent use.
type Hosts struct {
	zone string
	self self
	soa  *miekg.SOA

	mu       sync.RWMutex
	services map[uint64]*family
	projects map[string]map[string][]*family // by the labels of project and service
}

// A family is a service's part of the names.
type family struct {
	project, number, name string // labels; name is "" for none
	hosts                 map[uint32]*Host
	named                 map[string][]*Host
	roles                 map[string]map[uint32]*Host // those that are ready
}

func newHosts(zone string, s self) *Hosts {
	return &Hosts{zone: zone, self: s, soa: s.soa(zone, "hostmaster."+zone, 1, liveTTL, liveTTL), services: make(map[uint64]*family), projects: make(map[string]map[string][]*family)}
}

// Put takes over how a service is.
func (h *Hosts) Put(v *View) {
	h.mu.Lock()
	defer h.mu.Unlock()
	name := Label(v.Name)
	if strings.Trim(name, "0123456789") == "" {
		name = "" // a number always means the service of that number
	}
	f := h.services[v.Service]
	if f == nil || v.Whole || f.project != v.Project || f.name != name {
		old := f
		h.forget(v.Service)
		f = &family{project: v.Project, number: strconv.FormatUint(v.Service, 10), name: name, hosts: make(map[uint32]*Host), named: make(map[string][]*Host)}
		if old != nil && !v.Whole {
			f.hosts, f.named = old.hosts, old.named
			f.roles = old.roles
		}
		h.services[v.Service] = f
		h.index(f)
	}
	f.setRoles(v.Roles)
	for _, serial := range v.Gone {
		f.drop(serial)
	}
	for i := range v.Hosts {
		f.put(v.Hosts[i])
	}
}

// Remove forgets a service.
func (h *Hosts) Remove(service uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(service)
}

func (h *Hosts) index(f *family) {
	labels := h.projects[f.project]
	if labels == nil {
		labels = make(map[string][]*family)
		h.projects[f.project] = labels
	}
	labels[f.number] = append(labels[f.number], f)
	if f.name != "" {
		labels[f.name] = append(labels[f.name], f)
	}
}

func (h *Hosts) forget(service uint64) {
	f := h.services[service]
	if f == nil {
		return
	}
	delete(h.services, service)
	labels := h.projects[f.project]
	for _, l := range []string{f.number, f.name} {
		rest := without(labels[l], f)
		if labels[l] = rest; len(rest) == 0 {
			delete(labels, l)
		}
	}
	if len(labels) == 0 {
		delete(h.projects, f.project)
	}
}

// without returns a list without one of its elements.
func without[T comparable](list []T, x T) []T {
	out := make([]T, 0, len(list))
	for _, y := range list {
		if y != x {
			out = append(out, y)
		}
	}
	return out
}

func (f *family) setRoles(names []string) {
	roles := make(map[string]map[uint32]*Host, len(names))
	for _, name := range names {
		l := Label(name)
		if roles[l] = f.roles[l]; roles[l] == nil {
			roles[l] = make(map[uint32]*Host)
		}
	}
	f.roles = roles
}

func (f *family) put(x Host) {
	f.drop(x.Serial)
	if len(x.Addresses) == 0 {
		return
	}
	host := &x
	f.hosts[x.Serial] = host
	l := Label(x.Name)
	f.named[l] = append(f.named[l], host)
	if role := f.roles[Label(x.Role)]; role != nil && x.Ready {
		role[x.Serial] = host
	}
}

func (f *family) drop(serial uint32) {
	host := f.hosts[serial]
	if host == nil {
		return
	}
	delete(f.hosts, serial)
	l := Label(host.Name)
	if f.named[l] = without(f.named[l], host); len(f.named[l]) == 0 {
		delete(f.named, l)
	}
	delete(f.roles[Label(host.Role)], serial)
}

// origin, start and find make Hosts a source.
func (h *Hosts) origin() string { return h.zone }

func (h *Hosts) start() *miekg.SOA { return h.soa }

func (h *Hosts) find(name string) (node, cut *node) {
	if name == h.zone {
		return h.self.apex(h.zone, h.soa, nil, liveTTL), nil
	}
	labels := strings.Split(strings.TrimSuffix(name, "."+h.zone), ".")
	if len(labels) == 1 && h.self.host == name {
		return h.self.node(name), nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	project := h.projects[labels[len(labels)-1]]
	if project == nil || len(labels) > 3 {
		return nil, nil
	}
	if len(labels) == 1 {
		return empty, nil
	}
	families := project[labels[len(labels)-2]]
	if len(families) == 0 {
		return nil, nil
	}
	if len(labels) == 2 {
		return empty, nil
	}
	return gather(families, name, labels[0]), nil
}

// gather returns the addresses of the instances, or else of the role, of that label.
func gather(families []*family, name, label string) *node {
	var found *node
	add := func(host *Host) {
		for _, a := range host.Addresses {
			if len(found.rrs) < mostAddresses {
				rr := address(a)
				*rr.Header() = miekg.RR_Header{Name: name, Rrtype: typeOf(a), Class: miekg.ClassINET, Ttl: liveTTL}
				found.rrs = append(found.rrs, rr)
			}
		}
	}
	for _, f := range families {
		for _, host := range f.named[label] {
			if found == nil {
				found = &node{}
			}
			add(host)
		}
	}
	if found != nil {
		return found
	}
	for _, f := range families {
		role, ok := f.roles[label]
		if ok && found == nil {
			found = &node{}
		}
		for _, host := range role { // a map's order is another each time: the load is spread
			if add(host); len(found.rrs) >= mostAddresses {
				return found
			}
		}
	}
	return found
}

func typeOf(a netip.Addr) uint16 {
	if a.Is4() {
		return miekg.TypeA
	}
	return miekg.TypeAAAA
}
