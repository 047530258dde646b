package hot

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/internal/format/tree"
)

// A Release is the two templates of a version of a service: one that deploys it and one that provisions it.
type Release struct{ Deployment, Provision File }

// A Step is one update on the way from a release to another. Each is carried out when the one before is complete.
type Step struct {
	Name     string // what it does: add, route, deployment, provision
	Template File
}

// A Part says what a resource is in a service that is migrated by the names of its resources.
type Part string

// The parts.
const (
	VersionPart Part = "version" // of one version of the service: v1_web; both run side by side meanwhile
	SharedPart  Part = "shared"  // of all versions: shared_db; it stays as it is
	RoutingPart Part = "routing" // what leads to the service; it turns from the old version to the new
)

var (
	versionName  = regexp.MustCompile(`^[vV][0-9]+_.`)
	sharedName   = regexp.MustCompile(`^shared_.`)
	versionTypes = []string{"OS::Nova::Server", "OS::Neutron::Port"}
	sharedTypes  = []string{"OS::Heat::RandomString", "OS::Neutron::Net", "OS::Neutron::Subnet", "OS::Neutron::SecurityGroup", "OS::Neutron::Router",
		"OS::Neutron::RouterInterface", "OS::Neutron::Port", "OS::Nova::Server"}
)

// PartOf classifies a resource by its type and name. The error names those that are none of the parts.
func PartOf(kind, name string) (Part, error) {
	version, shared := versionName.MatchString(name), sharedName.MatchString(name)
	switch {
	case version && slices.Contains(versionTypes, kind):
		return VersionPart, nil
	case shared && slices.Contains(sharedTypes, kind):
		return SharedPart, nil
	case !version && !shared && kind == "OS::Neutron::FloatingIP":
		return RoutingPart, nil
	}
	return "", fmt.Errorf("resource %s of type %s cannot be migrated: servers and ports of a version are named v1_NAME, what versions share is named shared_NAME, and other names are those of floating addresses", name, kind)
}

// Migrate returns the updates that take a service from one release to another while both run: the new version's own
// resources are added, what leads to the service turns to them, and the new deployment and provision follow, with which
// the old version's go. There are none when nothing differs. It works backwards as well.
func Migrate(from, to Release) ([]Step, error) {
	old, err := rootOf(from.Provision)
	if err != nil {
		return nil, err
	}
	before, err := rootOf(from.Deployment)
	if err != nil {
		return nil, err
	}
	deployment, err := rootOf(to.Deployment)
	if err != nil {
		return nil, err
	}
	provision, err := rootOf(to.Provision)
	if err != nil {
		return nil, err
	}
	if alike(old, provision) && alike(before, deployment) {
		return nil, nil
	}
	add, route := overlay{}, overlay{}
	for _, e := range resourcesOf(deployment) {
		kind := e.Value.Get("type")
		if kind == nil {
			return nil, fmt.Errorf("resource %s of %s has no type", e.Key, to.Deployment.Name)
		}
		part, err := PartOf(kind.Text, e.Key)
		if err != nil {
			return nil, fmt.Errorf("%s:%d:%d: %w", to.Deployment.Name, e.At.Line, e.At.Column, err)
		}
		switch part {
		case SharedPart:
			if was := resourceIn(old, e.Key); was == nil || !alike(was, e.Value) {
				//lint:ignore ST1005 the words that users look for
				return nil, fmt.Errorf("Shared resource %s differs!", e.Key)
			}
		case VersionPart:
			add = append(add, e)
		case RoutingPart:
			route = append(route, e)
		}
	}
	first, err := add.over(old)
	if err != nil {
		return nil, err
	}
	second, err := append(slices.Clone(add), route...).over(old)
	if err != nil {
		return nil, err
	}
	return []Step{{"add", File{from.Provision.Name, first}}, {"route", File{from.Provision.Name, second}}, {"deployment", to.Deployment}, {"provision", to.Provision}}, nil
}

// A RegionSteps are the steps of one region.
type RegionSteps struct {
	Region string
	Steps  []Step
}

// MigrateRegions returns the steps of all regions, in their order: one after the other. Regions that are new have none;
// one that the new release lacks is an error. Nothing is to be touched when one of them cannot be migrated.
func MigrateRegions(from, to map[string]Release) ([]RegionSteps, error) {
	var out []RegionSteps
	for _, region := range slices.Sorted(maps.Keys(from)) {
		next, ok := to[region]
		if !ok {
			return nil, fmt.Errorf("region %s has the service, and the new release has no templates for it", region)
		}
		steps, err := Migrate(from[region], next)
		if err != nil {
			return nil, fmt.Errorf("region %s: %w", region, err)
		}
		if len(steps) > 0 {
			out = append(out, RegionSteps{region, steps})
		}
	}
	return out, nil
}

func rootOf(f File) (*tree.Node, error) {
	d := &document{}
	root := d.read(f.Name, f.Text)
	return root, d.err()
}

func resourcesOf(root *tree.Node) []tree.Entry {
	if all := root.Get("resources"); all != nil {
		return all.Entries
	}
	return nil
}

func resourceIn(root *tree.Node, name string) *tree.Node {
	for _, e := range resourcesOf(root) {
		if e.Key == name {
			return e.Value
		}
	}
	return nil
}

// alike reports whether two values say the same, however they are written.
func alike(a, b *tree.Node) bool { return reflect.DeepEqual(a.Any(), b.Any()) }

// An overlay is resources that go over those of a template.
type overlay []tree.Entry

// over writes the template with the resources in it: in the place of those that have their names, and behind the others.
func (o overlay) over(root *tree.Node) ([]byte, error) {
	all := slices.Clone(resourcesOf(root))
	for _, e := range o {
		if i := slices.IndexFunc(all, func(x tree.Entry) bool { return x.Key == e.Key }); i >= 0 {
			all[i] = e
		} else {
			all = append(all, e)
		}
	}
	var out yaml.MapSlice
	resources := yaml.MapItem{Key: "resources", Value: asYAML(&tree.Node{Kind: tree.Mapping, Entries: all})}
	placed := false
	for _, e := range root.Entries {
		if e.Key == "resources" {
			out, placed = append(out, resources), true
			continue
		}
		out = append(out, yaml.MapItem{Key: e.Key, Value: asYAML(e.Value)})
	}
	if !placed {
		out = append(out, resources)
	}
	return tree.Emit(out)
}

// asYAML returns a value to be written, its keys in their order.
func asYAML(n *tree.Node) any {
	switch n.Kind {
	case tree.Mapping:
		out := make(yaml.MapSlice, len(n.Entries))
		for i, e := range n.Entries {
			out[i] = yaml.MapItem{Key: e.Key, Value: asYAML(e.Value)}
		}
		return out
	case tree.List:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = asYAML(item)
		}
		return out
	}
	return n.Any()
}
