package occi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/occi"
)

// The kinds of resources of services that are shown, and where.
var shown = map[string]struct {
	kind     occi.TypeID
	location string
	link     occi.TypeID
}{
	"network": {occi.Network, "/network/", occi.NetworkInterface},
	"volume":  {occi.Storage, "/storage/", occi.StorageLink},
}

// resourceKind returns what the core calls a network or storage; "" for other kinds.
func resourceKind(kind occi.TypeID) string {
	for name, k := range shown {
		if k.kind == kind {
			return name
		}
	}
	return ""
}

// resourcePath returns the path of a network or volume.
func resourcePath(s *service.Service, x *service.Resource) string {
	key := strconv.FormatUint(s.ID, 10)
	if !alone(s) {
		key += "-" + x.Name
	}
	return shown[x.Kind].location + key
}

// resource returns a network or volume of a service as an entity; nil for one that leaves or is of another kind.
func (f *OCCI) resource(s *service.Service, x *service.Resource) *occi.Entity {
	k, ok := shown[x.Kind]
	if !ok || x.Phase == service.ResourceRemoving || x.Phase == service.ResourceGone || leaves(s) {
		return nil
	}
	e := &occi.Entity{Path: resourcePath(s, x), Kind: k.kind}
	noted := f.noted(e.Path, s)
	show(e, noted, occi.AttrTitle, occi.AttrSummary)
	if _, ok := e.Attributes.Get(occi.AttrTitle); !ok && !alone(s) {
		e.Attributes.Set(occi.AttrTitle, s.Meta.Name+"/"+x.Name)
	}
	if k.kind == occi.Network {
		f.network(e, x, noted)
	} else {
		storage(e, x, noted)
	}
	if x.Reason != "" {
		e.Attributes.Set("occi."+k.kind.Term()+".state.message", x.Reason)
	}
	return e
}

func (f *OCCI) network(e *occi.Entity, x *service.Resource, noted map[string]any) {
	show(e, noted, "occi.network.vlan", "occi.network.label")
	state := map[service.ResourcePhase]string{service.ResourceReady: "active", service.ResourceFailed: "error"}[x.Phase]
	if state == "" {
		state = "inactive"
	}
	e.Attributes.Set("occi.network.state", state)
	cidr := x.Outputs["cidr"]
	if cidr == "" {
		cidr = text(noted["occi.network.address"])
	}
	if cidr != "" {
		e.Mixins = append(e.Mixins, occi.IPNetwork)
		e.Attributes.Set("occi.network.address", cidr)
		show(e, noted, "occi.network.gateway", "occi.network.allocation")
	}
}

func storage(e *occi.Entity, x *service.Resource, noted map[string]any) {
	if size := x.Outputs["size"]; size != "" {
		e.Attributes.Set("occi.storage.size", json.Number(size))
	} else if size, ok := noted["occi.storage.size"]; ok {
		e.Attributes.Set("occi.storage.size", size)
	} else {
		e.Attributes.Set("occi.storage.size", json.Number("0")) // a volume without a bound of its own
	}
	state := map[service.ResourcePhase]string{service.ResourceReady: "online", service.ResourceFailed: "error"}[x.Phase]
	if state == "" {
		state = "offline"
	}
	e.Attributes.Set("occi.storage.state", state)
}

// resourceSpec returns the service that a network or storage is to be: one without roles. The first back end that makes such
// things makes it.
func (f *OCCI) resourceSpec(who *identity.Caller, e *occi.Entity) (*service.Spec, error) {
	kind := resourceKind(e.Kind)
	makers := f.Control.Makers(who, kind)
	if len(makers) == 0 {
		return nil, occi.Errorf(http.StatusNotImplemented, "no back end of this server makes a %s; those of driver docker and sim do", kind)
	}
	maker := makers[0]
	options := make(map[string]any)
	for option, attribute := range map[string]string{"cidr": "occi.network.address", "gateway": "occi.network.gateway"} {
		if v := e.Attributes.Text(attribute); v != "" && offers(maker.Kind.Options, option) {
			options[option] = v
		}
	}
	if size, ok := e.Attributes.Float("occi.storage.size"); ok {
		if size <= 0 {
			return nil, occi.Errorf(http.StatusBadRequest, "occi.storage.size is %g GB", size)
		}
		if offers(maker.Kind.Options, "size") {
			options["size"] = size
		}
	}
	spec := &service.Spec{Name: kind, Strategy: service.Straight, Format: Format, Resources: []service.ResourceSpec{
		{Name: kind, Kind: kind, Driver: maker.Driver, Account: maker.Account, Options: options},
	}}
	return spec, document(spec, e)
}

// interfaces returns the real links of an instance: one for each address, and one for each network and volume that its role needs
// besides. An address belongs to the needed network in whose range it is, else to the back end's own.
func (f *OCCI) interfaces(s *service.Service, i *service.Instance, key string) []*occi.Entity {
	var out []*occi.Entity
	state, _ := computeState(i)
	if state != "active" {
		state = "inactive"
	}
	add := func(kind, name, target, address string) {
		k := shown[kind]
		n := 0
		for _, l := range out {
			if l.Target.Location == target {
				n++
			}
		}
		l := &occi.Entity{Path: fmt.Sprintf("%s%s.%s.%d", linkLocations[k.link], key, name, n), Kind: k.link,
			Source: occi.Reference{Location: "/compute/" + key, Kind: occi.Compute}, Target: occi.Reference{Location: target, Kind: k.kind}}
		l.Attributes.Set("occi."+k.link.Term()+".state", state)
		if address != "" {
			l.Mixins = []occi.TypeID{occi.IPNetworkInterface}
			l.Attributes.Set("occi.networkinterface.address", address)
		}
		out = append(out, l)
	}
	left := slices.Clone(i.Addresses)
	for _, name := range i.Role().Spec.Needs {
		x := s.Resource(name)
		if x == nil || shown[x.Kind].kind == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(x.Outputs["cidr"])
		before := len(out)
		left = slices.DeleteFunc(left, func(address string) bool {
			a, bad := netip.ParseAddr(address)
			if err != nil || bad != nil || !prefix.Contains(a) {
				return false
			}
			add(x.Kind, x.Name, resourcePath(s, x), address)
			return true
		})
		if len(out) == before {
			add(x.Kind, x.Name, resourcePath(s, x), "")
		}
	}
	if name, account := backendOf(i.Role(), i); name != "" {
		b := backendKey(name, account)
		for _, address := range left {
			add("network", "@"+b, "/network/"+b, address)
		}
	}
	return out
}

// backendKey names a back end in paths.
func backendKey(name, account string) string {
	if account == "" {
		return name
	}
	return name + ":" + account
}

// backends returns the networks that the back ends of the server themselves are.
func (f *OCCI) backends(who *identity.Caller) []*occi.Entity {
	var out []*occi.Entity
	for _, b := range f.Control.Backends(who) {
		e := &occi.Entity{Path: "/network/" + b.Key, Kind: occi.Network}
		e.Attributes.Set(occi.AttrTitle, "network of "+b.Key)
		e.Attributes.Set("occi.network.label", b.Key)
		e.Attributes.Set("occi.network.state", "active")
		if b.Error != "" {
			e.Attributes.Set("occi.network.state", "error")
			e.Attributes.Set("occi.network.state.message", b.Error)
		}
		out = append(out, e)
	}
	return out
}
