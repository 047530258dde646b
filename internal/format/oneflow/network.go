package oneflow

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// The ways in which a network comes to a service (specification, section 14): one that exists, one
// made from a network template, addresses reserved from another.
var networkKinds = []string{"id", "template_id", "reserve_from"}

// checkNetworks checks the networks that a new service is to have: each entry has one of networkKinds
// with a number, and a reservation its size in extra.
func (b *Body) checkNetworks() error {
	for i, v := range b.root.Array("networks_values") {
		entry, ok := v.(*Object)
		if !ok {
			return b.fail(Invalid, path{"networks_values", i}, "KEY: 'networks_values' must be an Object;")
		}
		for _, name := range entry.Keys() {
			if err := b.checkNetwork(entry.Get(name), name, path{"networks_values", i, name}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Body) checkNetwork(v any, name string, p path) error {
	value, ok := v.(*Object)
	if !ok {
		return b.fail(Invalid, p, "Network '%s' must be an Object with one of %s", shorten(name), strings.Join(networkKinds, ", "))
	}
	kind := ""
	for _, key := range value.Keys() {
		if slices.Contains(networkKinds, key) && (kind == "" || kind == "id") {
			kind = key
		}
	}
	if kind == "" {
		hint := ""
		if keys := value.Keys(); len(keys) > 0 {
			hint = nearest.Hint(keys[0], networkKinds)
		}
		return b.fail(Invalid, p, "Network '%s' must have one of %s%s", shorten(name), strings.Join(networkKinds, ", "), hint)
	}
	for _, key := range networkKinds {
		if value.Has(key) && !isNumber(value.Get(key)) {
			return b.fail(Invalid, p.with(key), "Network '%s' '%s' must be a number, not '%s'", shorten(name), key, shorten(scalar(value.Get(key))))
		}
	}
	extra, isText := value.Get("extra").(string)
	if value.Has("extra") && !isText {
		return b.fail(Invalid, p.with("extra"), "Network '%s' 'extra' must be a String;", shorten(name))
	}
	if kind == "reserve_from" && strings.TrimSpace(extra) == "" {
		return b.fail(Invalid, p, "Network '%s' reserves addresses: 'extra' must say how many, as in \"SIZE=5\"", shorten(name))
	}
	return nil
}

// isNumber reports whether a value is the number of something, be it as text.
func isNumber(v any) bool {
	switch v := v.(type) {
	case json.Number, string:
		n, err := strconv.Atoi(strings.TrimSpace(scalar(v)))
		return err == nil && n >= 0
	}
	return false
}

// A network is one that a service makes for itself, from a network template or by a reservation.
type network struct {
	name, resource string // in the body, and of the resource that it becomes
	value          *Object
	path           path
}

// networkKind is what drivers call a network, and networkOptions are those of its options that say what
// it is made from, by the key of networks_values.
const networkKind = "network"

var networkOptions = map[string]string{"template_id": "template", "reserve_from": "reserve_from"}

// made returns the networks of a body that are to be made. Their resources are called like them, as far as
// the names of resources allow; those of a running service, nil for none, keep what they are called.
func made(root *Object, running []service.ResourceSpec) []network {
	taken := make(map[string]bool)
	for _, r := range root.Array("roles") {
		taken[r.(*Object).Text("name")] = true
	}
	var networks []network
	for i, v := range root.Array("networks_values") {
		entry := v.(*Object)
		for _, name := range entry.Keys() {
			value := entry.Object(name)
			if originOf(value) == "" {
				continue
			}
			n := network{name: name, value: value, path: path{"networks_values", i, name}}
			n.resource = resourceName(name, taken, running)
			taken[n.resource] = true
			networks = append(networks, n)
		}
	}
	return networks
}

// originOf is the key that says what a network is made from, "" for one that exists.
func originOf(value *Object) string {
	for _, key := range networkKinds[1:] {
		if value.Has(key) {
			return key
		}
	}
	return ""
}

var notInResources = regexp.MustCompile(`[^A-Za-z0-9_-]`)

// resourceName finds a name for a network that no role and no other network has.
func resourceName(name string, taken map[string]bool, running []service.ResourceSpec) string {
	const longest = service.MaxName - len("-net99")
	base := notInResources.ReplaceAllString(name, "_")
	base = base[:min(len(base), longest)]
	candidate := func(n int) string {
		switch {
		case n == 0 && base != "":
			return base
		case n <= 1:
			return base + "-net"
		}
		return base + "-net" + strconv.Itoa(n)
	}
	for n := range service.MaxResources {
		called := func(x service.ResourceSpec) bool { return x.Name == candidate(n) }
		if slices.ContainsFunc(running, called) && !taken[candidate(n)] {
			return candidate(n)
		}
	}
	n := 0
	for taken[candidate(n)] {
		n++
	}
	return candidate(n)
}

// Networks returns the resources of the networks that a service of this body makes for itself, by the name of
// the network; running are those that it has.
func (b *Body) Networks(running []service.ResourceSpec) map[string]string {
	names := make(map[string]string)
	for _, n := range made(b.root, running) {
		names[n.name] = n.resource
	}
	return names
}

// SetNetworkIDs writes the ids of the networks that were made into their entries, where id knows one, and
// takes all others out.
func SetNetworkIDs(root *Object, id func(name string) (string, bool)) {
	for _, v := range root.Array("networks_values") {
		entry, ok := v.(*Object)
		if !ok {
			continue
		}
		for _, name := range entry.Keys() {
			value := entry.Object(name)
			if originOf(value) == "" {
				continue
			}
			value.Delete("id")
			text, ok := id(name)
			if n, err := strconv.Atoi(text); ok && err == nil {
				value.SetInt("id", n)
			} else if ok {
				value.Set("id", text)
			}
		}
	}
}

// resources makes resources of the networks that a service makes for itself, each by the driver of the first
// role that mentions it, or else of the first that has one which makes networks of its kind.
func (o Options) resources(networks []network, roles []*roleBuilder) ([]service.ResourceSpec, []Warning) {
	var specs []service.ResourceSpec
	var warnings []Warning
	for _, n := range networks {
		at := slices.IndexFunc(o.Running, func(x service.ResourceSpec) bool { return x.Name == n.resource })
		if at >= 0 {
			specs = append(specs, o.Running[at])
			continue
		}
		spec, ok := o.resource(&n, roles)
		if ok {
			specs = append(specs, spec)
			continue
		}
		var drivers []string
		for _, r := range roles {
			for _, impl := range r.definition.Implementations {
				if !slices.Contains(drivers, impl.Driver) {
					drivers = append(drivers, impl.Driver)
				}
			}
		}
		who := "no driver of its roles makes such networks"
		switch {
		case o.Kind == nil:
			who = "which driver makes it is not known here"
		case len(drivers) > 0:
			who += " (" + strings.Join(drivers, ", ") + ")"
		}
		warnings = append(warnings, Warning{Path: n.path.String(), Message: fmt.Sprintf("%s: the network is not made, and $%s stays as it is; "+
			"give the id of one that exists", who, shorten(n.name))})
	}
	return specs, warnings
}

// resource finds a driver that makes the network.
func (o Options) resource(n *network, roles []*roleBuilder) (service.ResourceSpec, bool) {
	if o.Kind == nil {
		return service.ResourceSpec{}, false
	}
	ordered := slices.Clone(roles)
	slices.SortStableFunc(ordered, func(a, b *roleBuilder) int { return a.mentions(n.name) - b.mentions(n.name) })
	origin := originOf(n.value)
	options := map[string]any{networkOptions[origin]: scalar(n.value.Get(origin))}
	if extra := n.value.Text("extra"); extra != "" {
		options["extra"] = extra
	}
	for _, r := range ordered {
		for _, impl := range r.definition.Implementations {
			kind, err := o.Kind(impl.Driver)
			if err != nil {
				continue
			}
			what, err := kind.Resource(networkKind)
			if err == nil && takes(what, options) {
				// A network that fails stays so until somebody recovers the service, as a machine does.
				return service.ResourceSpec{Name: n.resource, Kind: networkKind, Driver: impl.Driver, Account: impl.Account, Options: options, Heal: service.HealManual}, true
			}
		}
	}
	return service.ResourceSpec{}, false
}

func takes(kind *driver.ResourceKind, options map[string]any) bool {
	for name := range options {
		if !slices.ContainsFunc(kind.Options, func(o driver.Option) bool { return o.Name == name }) {
			return false
		}
	}
	return true
}

// mentions is 0 for roles in whose contents the network stands, else 1.
func (s *roleBuilder) mentions(network string) int {
	if strings.Contains(scalar(s.role.Object("template_contents")), "$"+network) {
		return 0
	}
	return 1
}
