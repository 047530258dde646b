package service

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/uuid"
)

// Recorded is the driver of resources that no back end makes: the service keeps them, with an id, a name and, where
// ResourceSpec.Addresses says so, an address. They are nodes of its graph like any other, so that descriptions which
// speak of a router or a port mean the same on a back end that has none.
const Recorded = "recorded"

// The outputs of a recorded resource.
const (
	outputID      = "id"
	outputName    = "name"
	outputAddress = "address"
)

// recorded reports whether the service alone keeps the resource.
func (x *Resource) recorded() bool { return x.Driver == Recorded }

// record makes a recorded resource ready. What it shows follows from the service, its time of creation and the
// resource's serial, and so stays the same as long as the resource is there.
func (s *Service) record(x *Resource, now Time) {
	x.Outputs = map[string]string{outputID: s.recordedID(x), outputName: fmt.Sprintf("%s-%d", x.Name, s.ID)}
	if x.Spec.Addresses != "" {
		x.Outputs[outputAddress] = s.freeAddress(x)
	}
	x.Begun, x.Failures, x.Overdue, x.Reason = 0, 0, false, ""
	s.enterResource(x, ResourceReady, now)
	s.drained = true // decide again: roles were looked at before
	for _, r := range x.users {
		r.progress = now
		s.touch(r)
	}
}

// seed hashes what names a recorded resource for ever.
func (s *Service) seed(x *Resource) [sha256.Size]byte {
	var b [20]byte
	binary.BigEndian.PutUint64(b[:], s.ID)
	binary.BigEndian.PutUint64(b[8:], uint64(s.Created))
	binary.BigEndian.PutUint32(b[16:], x.Serial)
	return sha256.Sum256(b[:])
}

func (s *Service) recordedID(x *Resource) string {
	sum := s.seed(x)
	return uuid.NewHash(sha256.New(), uuid.Nil, sum[:], 4).String()
}

// maxTries is how many addresses of a range are looked at for one that no other resource of the service has.
const maxTries = 4096

// stride leads from one try to the next, wherever in the range: it is odd, so that it passes every address.
const stride = 0x9e3779b97f4a7c15

// freeAddress returns an address of the resource's range that no other recorded resource of the service has; the
// only one of a range that has one, and "" when all are taken.
func (s *Service) freeAddress(x *Resource) string {
	within, err := netip.ParsePrefix(x.Spec.Addresses)
	if err != nil {
		return "" // Validate has refused it
	}
	if within.IsSingleIP() {
		return within.Addr().String()
	}
	if s.addresses == nil {
		s.addresses = make(map[string]bool, len(s.Resources))
		for _, y := range s.Resources {
			if y.recorded() && y.Outputs[outputAddress] != "" {
				s.addresses[y.Outputs[outputAddress]] = true
			}
		}
	}
	sum := s.seed(x)
	for n := range uint64(maxTries) {
		a := hostOf(within, binary.BigEndian.Uint64(sum[:])+n*stride)
		if text := a.String(); usable(within, a) && !s.addresses[text] {
			s.addresses[text] = true
			return text
		}
	}
	return ""
}

// hostOf returns the nth address of a range, counted round.
func hostOf(within netip.Prefix, n uint64) netip.Addr {
	bytes := within.Masked().Addr().AsSlice()
	free := len(bytes)*8 - within.Bits()
	for at := len(bytes) - 1; at >= 0 && free > 0; at-- {
		mask := byte(0xff)
		if free < 8 {
			mask = 1<<free - 1
		}
		bytes[at] |= byte(n) & mask
		n, free = n>>8, free-8
	}
	a, _ := netip.AddrFromSlice(bytes)
	return a
}

// usable leaves out what networks keep for themselves: the first addresses and the last of a range, and of wide
// ranges those with a byte of 0 or 255.
func usable(within netip.Prefix, a netip.Addr) bool {
	bytes := a.AsSlice()
	last := bytes[len(bytes)-1]
	switch hosts := len(bytes)*8 - within.Bits(); {
	case hosts < 3:
		return a != within.Masked().Addr()
	case hosts < 8:
		return a != within.Masked().Addr() && a != within.Masked().Addr().Next() && within.Contains(a.Next())
	case hosts > 16:
		return last > 1 && last < 255 && !slices.Contains(bytes[(within.Bits()+7)/8:len(bytes)-1], 0) && !slices.Contains(bytes[(within.Bits()+7)/8:len(bytes)-1], 255)
	default:
		return last > 1 && last < 255
	}
}

// Bears returns the resource whose address the instance's machine bears, or nil: it is the first of its role, if there
// are more for once.
func (i *Instance) Bears() *Resource {
	if i.Number > 0 {
		return nil
	}
	return i.role.bears
}

// Address is the address that a resource has, or "".
func (x *Resource) Address() string { return x.Outputs[outputAddress] }

// bearer returns another role that still has machines with the address that the role's machine is to bear; nil for
// none. An address is one machine's at a time: the old one goes before the new one comes.
func (s *Service) bearer(r *Role) *Role {
	if r.bears == nil {
		return nil
	}
	for _, other := range r.bears.bearers {
		if other != r && other.total > 0 {
			return other
		}
	}
	for _, other := range r.bears.before {
		if other != r && other.outdated > 0 {
			return other
		}
	}
	return nil
}

// bear writes down which address the machine of a role really has, where its back end did not give it the one that
// the resource had.
func (s *Service) bear(i *Instance, addresses []string, now Time) {
	r := i.role
	x := r.bears
	if x == nil || i.Number > 0 || !x.recorded() || x.Spec == nil || len(addresses) == 0 || slices.Contains(addresses, x.Address()) {
		return
	}
	before := x.Address()
	outputs := map[string]string{}
	for k, v := range x.Outputs {
		outputs[k] = v
	}
	outputs[outputAddress] = addresses[0]
	x.Outputs, s.head, s.addresses = outputs, true, nil
	if before != "" {
		s.event(now, false, r, nil, "resource %s has the address %s: its back end did not give %s", x.Name, addresses[0], before)
	}
}

// linkBefore notes whose machines had an address before the update that is under way.
func (s *Service) linkBefore(resources map[string]*Resource) {
	if s.Previous == nil || !slices.ContainsFunc(s.Previous.Roles, func(r RoleSpec) bool { return r.Address != "" }) {
		return
	}
	was := make(map[string]string, len(s.Previous.Roles))
	for n := range s.Previous.Roles {
		was[s.Previous.Roles[n].Name] = s.Previous.Roles[n].Address
	}
	for _, r := range s.Roles {
		if x := resources[was[r.Name]]; x != nil && x != r.bears {
			x.before = append(x.before, r)
		}
	}
}
