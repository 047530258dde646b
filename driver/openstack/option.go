package openstack

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/cloudinit"
)

var machineOptions = []driver.Option{
	{Name: "image", Type: driver.String, Required: true, Examples: []string{"debian-13"}, Help: "The image that the machine boots from, by name or id."},
	{Name: "flavor", Type: driver.String, Examples: []string{"m1.small"}, Help: "The flavor, by name or id; if absent, the smallest that has the machine's processors and memory."},
	{Name: "networks", Type: driver.List, Examples: []string{"[private, front]"},
		Help: "Networks that the machine is in: resources of the service by their names, or else networks of the project by name or id. The first gives the address that others see. Without any it is the project's only network."},
	{Name: "ports", Type: driver.List, Help: "Ports that the machine gets before those in networks: resources of the service by their names, or else ports by name or id. They outlive it."},
	{Name: "security_groups", Type: driver.List, Examples: []string{"[web, ssh]"}, Help: "Security groups of the ports that are made for it: resources of the service by their names, or else groups by name or id. The project's default if absent."},
	{Name: "floating_ip", Type: driver.String, Examples: []string{"true", "front-address", "203.0.113.7"},
		Help: "true for a floating address of its own; or one that is there: a resource of the service by its name, or an address. It is the first of the machine's addresses."},
	{Name: "floating_ip_pool", Type: driver.String, Examples: []string{"public"}, Help: "The external network that a floating address of its own is from; the only one if absent. Alone it means floating_ip: true."},
	{Name: "key", Type: driver.String, Help: "The SSH key pair: a resource of the service by its name, or else one of the user's by name."},
	{Name: "availability_zone", Type: driver.String, Help: "Where it runs."},
	{Name: "server_group", Type: driver.String, Help: "The server group: a resource of the service by its name, or else one by name or id."},
	{Name: "scheduler_hints", Type: driver.Map, Advanced: true, Help: "Further hints for Nova's scheduler."},
	{Name: "boot_volume", Type: driver.Bool, Default: false, Help: "Boots from a volume that is made from the image, and not from a disk of its host."},
	{Name: "volume_size", Type: driver.Int, Examples: []string{"20"}, Help: "GiB of that volume, which it asks for by itself; as much as the image needs if absent."},
	{Name: "volume_type", Type: driver.String, Help: "Type of the volumes that are made for the machine."},
	{Name: "keep_volume", Type: driver.Bool, Default: false, Help: "The volume that it booted from stays when the machine goes. Nobody removes it."},
	{Name: "volumes", Type: driver.List, Help: "Volumes that are attached: resources of the service by their names, or else volumes by name or id. They outlive it."},
	{Name: "data_size", Type: driver.Int, Default: 10, Help: "GiB of the volume with the data of a stable identity."},
	{Name: "server_name", Type: driver.String, Help: "Name of the server; the instance's if absent."},
	{Name: "grace", Type: driver.Duration, Default: "30s", Help: "How long the machine has to shut down before it is removed."},
	{Name: "metadata", Type: driver.Map, Help: "Metadata of the server, which the machine can read. Names that begin with troupe. are the driver's."},
	{Name: "config_drive", Type: driver.Bool, Advanced: true, Default: false, Help: "Hands user data over on a drive, for networks without a metadata service."},
	{Name: "endpoint", Type: driver.String, Advanced: true, Help: "The Keystone that is meant. It must be the account's: machines that say where they belong are made nowhere else."},
	{Name: "project", Type: driver.String, Advanced: true, Help: "The project that is meant, by name or id; likewise."},
	{Name: "region", Type: driver.String, Advanced: true, Help: "The region that is meant; likewise."},
	{Name: "user_domain", Type: driver.String, Advanced: true, Help: "The domain of the account's user that is meant; likewise."},
}

// metadata by which a server is known. Nova keeps it with the server.
const (
	metaPrefix       = "troupe."
	metaInstallation = metaPrefix + "installation"
	metaMachine      = metaPrefix + "machine"
	metaGeneration   = metaPrefix + "generation"
	metaProject      = metaPrefix + "project"
	metaService      = metaPrefix + "service"
	metaRole         = metaPrefix + "role"
	metaNetwork      = metaPrefix + "network" // the first one's name
	metaFloating     = metaPrefix + "floating"
	metaGrace        = metaPrefix + "grace"
	metaData         = metaPrefix + "data"
)

// userDataLimit is how many bytes of user data Nova takes: 65535 in base64.
const userDataLimit = 65535 / 4 * 3

// A plan is what a request asks for.
type plan struct {
	image, flavor, key, zone, group string
	networks, ports, groups         []string
	floating                        string // "", "true", or which one
	pool                            string
	hints, metadata                 map[string]string
	boot, keep, drive               bool
	size, dataSize                  int
	volumeType                      string
	volumes                         []string
	name, project                   string
	grace                           time.Duration
	userData                        []byte
}

// own reports whether the machine wants a floating address of its own.
func (p *plan) own() bool { return p.floating == "true" }

// newPlan reads the options of a request.
func (c *cloud) newPlan(req *driver.Request) (*plan, error) {
	options, err := Kind().Check(req.Options)
	if err != nil {
		return nil, err
	}
	text, list, yes, number := driver.Get[string], driver.Get[[]string], driver.Get[bool], driver.Get[int]
	p := &plan{
		image: text(options, "image"), flavor: text(options, "flavor"), key: text(options, "key"), zone: text(options, "availability_zone"), group: text(options, "server_group"),
		networks: list(options, "networks"), ports: list(options, "ports"), groups: list(options, "security_groups"),
		floating: text(options, "floating_ip"), pool: text(options, "floating_ip_pool"),
		hints: driver.Get[map[string]string](options, "scheduler_hints"), metadata: maps.Clone(driver.Get[map[string]string](options, "metadata")),
		boot: yes(options, "boot_volume"), keep: yes(options, "keep_volume"), drive: yes(options, "config_drive"),
		size: number(options, "volume_size"), dataSize: number(options, "data_size"), volumeType: text(options, "volume_type"), volumes: list(options, "volumes"),
		name: text(options, "server_name"), project: text(options, "project"), grace: driver.Get[time.Duration](options, "grace"),
	}
	if p.name == "" {
		p.name = req.Name
	}
	if p.name == "" || len(p.name) > 255 {
		return nil, refuse("server_name", "must have 1 to 255 characters")
	}
	if p.image == "" {
		return nil, refuse("image", "must not be empty")
	}
	if p.size < 0 || p.dataSize < 1 {
		return nil, refuse("volume_size", "neither it nor data_size may be less than 1")
	}
	if p.size > 0 {
		p.boot = true
	}
	if err := p.setFloating(); err != nil {
		return nil, err
	}
	if err := p.setMetadata(c, req); err != nil {
		return nil, err
	}
	if err := c.access.meant(text(options, "endpoint"), p.project, text(options, "region"), text(options, "user_domain")); err != nil {
		return nil, err
	}
	p.userData, err = userData(req)
	return p, err
}

func (p *plan) setFloating() error {
	switch p.floating {
	case "no", "false":
		p.floating = ""
	case "yes":
		p.floating = "true"
	}
	if p.pool != "" && p.floating == "" {
		p.floating = "true"
	}
	if p.floating != "" && !p.own() && p.pool != "" {
		return refuse("floating_ip_pool", "cannot be given beside an address that is there")
	}
	return nil
}

// setMetadata writes down whose the server is, and what later calls must know of it.
func (p *plan) setMetadata(c *cloud, req *driver.Request) error {
	if p.metadata == nil {
		p.metadata = map[string]string{}
	}
	maps.DeleteFunc(p.metadata, func(name, _ string) bool { return strings.HasPrefix(name, metaPrefix) })
	for name, value := range p.metadata {
		if len(name) > 255 || len(value) > 255 {
			return refuse("metadata", fmt.Sprintf("%.40q is too long: names and values have at most 255 characters", name))
		}
	}
	for name, value := range map[string]string{
		metaInstallation: c.installation, metaMachine: string(req.ID), metaGeneration: strconv.FormatUint(req.Generation, 10), metaProject: req.Project,
		metaService: req.Service, metaRole: req.Role, metaData: req.Data, metaGrace: p.grace.String(), metaFloating: p.floating,
	} {
		if value != "" && len(value) <= 255 {
			p.metadata[name] = value
		}
	}
	return nil
}

// meant refuses a machine that says that it belongs elsewhere than where the account makes it.
func (a *access) meant(endpoint, project, region, userDomain string) error {
	trim := func(url string) string {
		return strings.TrimSuffix(strings.TrimRight(url, "/"), "/v3")
	}
	if endpoint != "" && trim(endpoint) != trim(a.auth.IdentityEndpoint) {
		return refuse("endpoint", fmt.Sprintf("the account is of %s, not of %s", trim(a.auth.IdentityEndpoint), endpoint))
	}
	// Whether the id and the name of a project are one the cloud tells (see services.isProject).
	if s := a.auth.Scope; project != "" && s != nil && (isProjectID(project) && s.ProjectID != "" && s.ProjectID != project || !isProjectID(project) && s.ProjectName != "" && s.ProjectName != project) {
		return otherProject(s.ProjectName+s.ProjectID, project)
	}
	if region != "" && a.at.Region != "" && region != a.at.Region {
		return refuse("region", fmt.Sprintf("the account is of region %s, not of %s", a.at.Region, region))
	}
	if own := []string{a.auth.DomainName, a.auth.DomainID}; userDomain != "" && own[0]+own[1] != "" && !slices.ContainsFunc(own, func(d string) bool { return strings.EqualFold(d, userDomain) }) {
		return refuse("user_domain", fmt.Sprintf("the account's user is of domain %s, not of %s", own[0]+own[1], userDomain))
	}
	return nil
}

// isProjectID tells ids of projects from names, as good as one can.
func isProjectID(text string) bool {
	return len(text) == 32 && strings.Trim(text, "0123456789abcdef") == ""
}

func otherProject(own, meant string) error {
	return refuse("project", fmt.Sprintf("the account is of project %s, not of %s; name an account of that project", own, meant))
}

// isProject refuses a machine that says that it belongs to another project.
func (s *services) isProject(meant string) error {
	if p := s.project; meant != "" && p != nil && meant != p.ID && meant != p.Name {
		return otherProject(p.Name, meant)
	}
	return nil
}

// userData is what the machine gets: what the request says, and before it what writes the machine's files and
// environment.
func userData(req *driver.Request) ([]byte, error) {
	data := req.UserData
	if hook := writing(req); hook != nil {
		var parts []cloudinit.Part
		if len(data) > 0 {
			parts = append(parts, cloudinit.Part{Name: "user-data", Content: data})
		}
		var err error
		if data, err = cloudinit.Archive(append([]cloudinit.Part{{Name: "troupe-files", Content: hook}}, parts...)...); err != nil {
			return nil, err
		}
	}
	return cloudinit.Fit(data, userDataLimit)
}

// wish returns the address that a machine asks for; the zero value for any.
func wish(req *driver.Request) netip.Addr {
	a, _ := netip.ParseAddr(req.Address)
	return a
}
