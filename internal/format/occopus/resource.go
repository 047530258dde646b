package occopus

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
)

// A resourceType is what a resource section of that type may say, and how Troupe's driver calls it.
type resourceType struct {
	name   string
	driver string
	keys   []resourceKey
	// free: other keys are options of the driver as they stand.
	free bool
	// lists: Occopus tells a list of addresses of each machine, even of one.
	lists bool
	// oneOf are keys of which one must be there.
	oneOf []string
}

type resourceKey struct {
	name     string
	option   string // of the driver
	kind     keyKind
	required bool
	secret   bool
	needs    []string // keys that a mapping must have
	ignored  string   // why the key has no effect
}

// A keyKind is what a value must be. Texts that hold a template pass for any scalar.
type keyKind uint8

const (
	anyText   keyKind = iota // any scalar
	textList                 // a list of scalars
	freeKeys                 // keys and values
	truth                    // true or false
	number                   // a number
	whole                    // a whole number that is not negative
	portList                 // whole numbers, or texts such as 53/UDP
	anyScalar                // present is what counts
)

// must and may are a required and an optional key.
func must(name, option string) resourceKey {
	return resourceKey{name: name, option: option, required: true}
}
func may(name, option string) resourceKey { return resourceKey{name: name, option: option} }

func (k resourceKey) of(kind keyKind) resourceKey          { k.kind = kind; return k }
func (k resourceKey) hidden() resourceKey                  { k.secret = true; return k }
func (k resourceKey) with(needs ...string) resourceKey     { k.needs = needs; k.kind = freeKeys; return k }
func (k resourceKey) withoutEffect(why string) resourceKey { k.ignored = why; return k }

// resourceTypes are all that Occopus 1.10 knows, and two of our own.
var resourceTypes = []resourceType{
	{name: "ec2", driver: "ec2", lists: true, keys: []resourceKey{
		must("endpoint", "endpoint"), must("regionname", "region"), must("image_id", "image"), must("instance_type", "instance_type"),
		may("key_name", "key"), may("security_group_ids", "security_groups").of(textList), may("subnet_id", "subnet"),
		may("tags", "tags").of(freeKeys), may("name", "name"),
	}},
	{name: "nova", driver: "openstack", keys: []resourceKey{
		must("endpoint", "endpoint"), must("image_id", "image"), must("flavor_name", "flavor"), must("project_id", "project"),
		may("server_name", "server_name"), may("key_name", "key"), may("security_groups", "security_groups").of(textList),
		may("floating_ip", "floating_ip").of(anyScalar), may("floating_ip_pool", "floating_ip_pool"), may("network_id", "networks"),
		may("user_domain_name", "user_domain"), may("region_name", "region"), may("volume_size", "volume_size").of(whole),
		may("volume_persist", "keep_volume").of(truth), may("tenant_name", "tenant").withoutEffect("Occopus ignores it"), may("name", "name"),
	}},
	{name: "docker", driver: "docker", keys: []resourceKey{
		must("endpoint", "endpoint"), must("origin", "origin"), must("image", "image"), must("tag", "tag"), may("name", "name"),
	}},
	{name: "cloudsigma", driver: "cloudsigma", keys: []resourceKey{
		must("endpoint", "endpoint"), must("libdrive_id", "drive"), must("description", "description").with("cpu", "mem", "vnc_password"),
		may("name", "name"),
	}},
	{name: "cloudbroker", driver: "cloudbroker", lists: true, keys: []resourceKey{
		must("endpoint", "endpoint"), must("description", "description").with("deployment_id", "instance_type_id"), may("name", "name"),
		may("start_in_vpc", "start_in_vpc").of(anyScalar),
	}},
	{name: "azure_vm", driver: "azure_vm", oneOf: []string{"password", "ssh_key_data"}, keys: []resourceKey{
		must("endpoint", "endpoint"), must("resource_group", "resource_group"), must("location", "location"), must("vm_size", "size"),
		must("publisher", "publisher"), must("offer", "offer"), must("sku", "sku"), must("version", "version"), must("username", "username"),
		may("password", "password").hidden(), may("ssh_key_data", "ssh_key"), may("public_ip_needed", "public_address").of(truth),
		may("vnet_name", "network"), may("subnet_name", "subnet"), may("customdata", "custom_data").withoutEffect("Occopus accepts and ignores it"),
		may("server_name", "server_name"), may("name", "name"),
	}},
	{name: "azure_aci", driver: "azure_aci", lists: true, keys: []resourceKey{
		must("endpoint", "endpoint"), must("resource_group", "resource_group"), must("location", "location"), must("cpu_cores", "cpus").of(number),
		must("memory", "memory").of(number), must("image", "image"), must("os_type", "os"), must("network_type", "network_type"),
		may("gpu_type", "gpu_type"), may("gpu_count", "gpu_count").of(whole), may("ports", "ports").of(portList), may("vnet_name", "network"),
		may("subnet_name", "subnet"), may("name", "name"),
	}},
	{name: "process", driver: "process", free: true, keys: []resourceKey{may("endpoint", "endpoint"), may("name", "name")}},
	{name: "sim", driver: "sim", free: true, keys: []resourceKey{may("endpoint", "endpoint"), may("name", "name")}},
}

// typeOf returns the resource type of that name; nil when there is none.
func typeOf(name string) *resourceType {
	for i := range resourceTypes {
		if resourceTypes[i].name == name {
			return &resourceTypes[i]
		}
	}
	return nil
}

func (t *resourceType) key(name string) *resourceKey {
	for i := range t.keys {
		if t.keys[i].name == name {
			return &t.keys[i]
		}
	}
	return nil
}

// templated reports whether a text is known only when a template in it has been filled.
func templated(s string) bool { return strings.Contains(s, "{{") || strings.Contains(s, "{%") }

// wrong says what is wrong with a value; "" for nothing. compatible is what Occopus says of it.
func (k *resourceKey) wrong(n *tree.Node) (text, compatible string) {
	if n.Kind == tree.Text && templated(n.Text) && k.kind != textList && k.kind != freeKeys {
		return "", ""
	}
	switch k.kind {
	case anyText, anyScalar:
		if !n.Kind.Scalar() {
			return fmt.Sprintf("expected text, found %s", n.Kind), ""
		}
	case textList, portList:
		if n.Kind != tree.List {
			return fmt.Sprintf("expected a list, found %s", n.Found()), ""
		}
		for _, item := range n.Items {
			if !item.Kind.Scalar() || item.Kind == tree.Null {
				return fmt.Sprintf("expected a list of texts, found %s in it", item.Kind), ""
			}
			if k.kind == portList && !isContainerPort(item.Text) {
				return fmt.Sprintf("%q is no port: write one such as 80 or 53/UDP", item.Text), ""
			}
		}
	case freeKeys:
		if n.Kind != tree.Mapping {
			return fmt.Sprintf("expected keys and values, found %s", n.Kind), ""
		}
		var missing []string
		for _, need := range k.needs {
			if n.Get(need) == nil {
				missing = append(missing, need)
			}
		}
		if len(missing) > 0 {
			return "needs " + strings.Join(missing, ", "), "Missing key(s): " + strings.Join(missing, ", ")
		}
	case truth:
		if n.Kind != tree.Boolean {
			return fmt.Sprintf("expected true or false, found %s", n.Found()), ""
		}
	case number:
		if n.Kind != tree.Integer && n.Kind != tree.Float && !isNumber(n.Text) {
			return fmt.Sprintf("expected a number, found %s", n.Found()), ""
		}
	case whole:
		v, err := strconv.Atoi(n.Text)
		if i, ok := n.Int(); ok {
			v, err = i, nil
		}
		if err != nil || !n.Kind.Scalar() {
			return fmt.Sprintf("expected a whole number, found %s", n.Found()),
				fmt.Sprintf(`Could not convert %s value "%s" to integer!`, k.name, n.Text)
		}
		if v < 0 {
			return "must not be negative", fmt.Sprintf("Negative numbers for %s are prohibited!", k.name)
		}
	}
	return "", ""
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

func isContainerPort(s string) bool {
	number, protocol, ok := strings.Cut(s, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	return err == nil && n > 0 && (!ok || slices.Contains([]string{"TCP", "UDP"}, strings.ToUpper(protocol)))
}

// resourceNames are the names of all types.
func resourceNames() []string {
	names := make([]string, len(resourceTypes))
	for i := range resourceTypes {
		names[i] = resourceTypes[i].name
	}
	return names
}
