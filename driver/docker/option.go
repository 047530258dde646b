package docker

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/cloudinit"
)

var machineOptions = []driver.Option{
	{Name: "image", Type: driver.String, Required: true, Examples: []string{"nginx:1.29", "registry.example.org/shop/web@sha256:…"},
		Help: "The image that the machine is made from."},
	{Name: "pull", Type: driver.String, Default: "missing", Choices: []string{"missing", "always", "never"},
		Help: "When the image is pulled from its registry."},
	{Name: "command", Type: driver.List, Examples: []string{"[httpd, -f, -p, \"80\"]"}, Help: "The command, in place of the image's."},
	{Name: "entrypoint", Type: driver.List, Examples: []string{"[/bin/sh, -c]"}, Help: "The entry point, in place of the image's."},
	{Name: "networks", Type: driver.List, Examples: []string{"[private, front]"},
		Help: "Networks that the machine is in: resources of the service by their names, or else networks of the daemon. The first gives the address that others see. Without any it is in the daemon's default network."},
	{Name: "aliases", Type: driver.List, Examples: []string{"[db]"}, Help: "Further names of the machine in its networks, beside its own and its role's."},
	{Name: "ports", Type: driver.List, Examples: []string{"[\"8080:80\", \"127.0.0.1:53:53/udp\", \"80\"]"},
		Help: "Published ports, [ADDRESS:][PORT:]PORT[/PROTOCOL]; without a port of the host one is chosen."},
	{Name: "volumes", Type: driver.List, Examples: []string{"[\"cache:/var/cache/app\", \"conf:/etc/app:ro\"]"},
		Help: "Volumes, NAME:PATH[:ro]: resources of the service by their names, or else volumes that the project keeps under that name."},
	{Name: "data_path", Type: driver.String, Default: "/data", Examples: []string{"/var/lib/postgresql/data"},
		Help: "Where the data of a stable identity is mounted."},
	{Name: "grace", Type: driver.Duration, Default: "10s", Help: "How long before_stop and the main program have to end before it is killed."},
	{Name: "before_stop", Type: driver.String, Examples: []string{"./drain"}, Help: "Command run by /bin/sh -c inside the machine before the stop signal, within the grace period."},
	{Name: "stop_signal", Type: driver.String, Advanced: true, Examples: []string{"SIGQUIT"}, Help: "Signal that asks the main program to end; the image's by default."},
	{Name: "on_change", Type: driver.String, Examples: []string{"HUP", "nginx -s reload"},
		Help: "What to do when a rendered file changed: a signal's name for the main program, or a command."},
	{Name: "health", Type: driver.String, Default: "observe", Choices: []string{"observe", "wait", "off"},
		Help: "What the image's own health check is for: observe replaces a machine that is unhealthy, wait also keeps it from being up before it is healthy, off turns the check off."},
	{Name: "user", Type: driver.String, Advanced: true, Examples: []string{"1000:1000"}, Help: "User that the main program runs as; the image's by default. Files are its own if it is given in numbers."},
	{Name: "working_dir", Type: driver.String, Advanced: true, Help: "Folder in which the main program starts; the image's by default."},
	{Name: "tty", Type: driver.Bool, Advanced: true, Default: false, Help: "Gives the main program a terminal, so that its output and error output are one."},
	{Name: "init", Type: driver.Bool, Advanced: true, Default: false, Help: "Runs the main program below a small init that collects its orphans."},
	{Name: "read_only", Type: driver.Bool, Advanced: true, Default: false, Help: "The machine cannot write outside its volumes. It can then have no files either."},
	{Name: "tmpfs", Type: driver.List, Advanced: true, Examples: []string{"[/run, /tmp]"}, Help: "Folders that are kept in memory."},
	{Name: "pids", Type: driver.Int, Advanced: true, Help: "The most processes and threads that the machine may have."},
	{Name: "ulimits", Type: driver.Map, Advanced: true, Examples: []string{"{nofile: \"1024:4096\", nproc: 512}"}, Help: "Limits of each process: one number, or SOFT:HARD."},
	{Name: "shm_size", Type: driver.Size, Advanced: true, Help: "Size of /dev/shm."},
	{Name: "cap_drop", Type: driver.List, Advanced: true, Examples: []string{"[ALL]"}, Help: "Capabilities that are taken away."},
	{Name: "dns", Type: driver.List, Advanced: true, Help: "Addresses of name servers, in place of the daemon's."},
	{Name: "extra_hosts", Type: driver.Map, Advanced: true, Examples: []string{"{db.example.org: 10.0.0.9}"}, Help: "Addresses of further host names."},
	{Name: "labels", Type: driver.Map, Advanced: true, Help: "Further labels of the container."},
	{Name: "import", Type: driver.String, Advanced: true, Examples: []string{"https://images.example.org/web.tar.gz"},
		Help: "URL of a root file system, .tar or .tar.gz as docker export writes it, that the server fetches and makes the image of when the daemon lacks it, in place of a registry."},
	{Name: "archive", Type: driver.String, Advanced: true, HostAccess: true, Examples: []string{"/srv/images/web.tar"},
		Help: "File on the server's host, as docker save writes it, from which the image is loaded when the daemon lacks it."},
	{Name: "binds", Type: driver.List, Advanced: true, HostAccess: true, Examples: []string{"[\"/srv/www:/www:ro\"]"},
		Help: "Folders of the daemon's host, or any of its volumes, SOURCE:PATH[:OPTIONS]."},
	{Name: "privileged", Type: driver.Bool, Advanced: true, HostAccess: true, Default: false, Help: "Gives the machine all rights on the daemon's host."},
	{Name: "host_network", Type: driver.Bool, Advanced: true, HostAccess: true, Default: false, Help: "The machine uses the network of the daemon's host; it has no address of its own then."},
	{Name: "devices", Type: driver.List, Advanced: true, HostAccess: true, Examples: []string{"[\"/dev/kvm\", \"/dev/sdb:/dev/data:r\"]"},
		Help: "Devices of the daemon's host, HOST[:PATH[:RIGHTS]]."},
	{Name: "cap_add", Type: driver.List, Advanced: true, HostAccess: true, Examples: []string{"[NET_ADMIN]"}, Help: "Further capabilities."},
}

// The labels of what the driver makes.
const (
	labelPrefix       = "dev.troupe."
	labelInstallation = labelPrefix + "installation"
	labelMachine      = labelPrefix + "machine"
	labelResource     = labelPrefix + "resource" // the resource's kind
	labelGeneration   = labelPrefix + "generation"
	labelProject      = labelPrefix + "project"
	labelService      = labelPrefix + "service"
	labelRole         = labelPrefix + "role"
	labelName         = labelPrefix + "name"
	labelNumber       = labelPrefix + "number"
	labelHold         = labelPrefix + "hold"
	labelData         = labelPrefix + "data"
	labelNote         = labelPrefix + "note"
	labelHealth       = labelPrefix + "health"
	labelGrace        = labelPrefix + "grace"
	labelBeforeStop   = labelPrefix + "before-stop"
	labelOnChange     = labelPrefix + "on-change"
	labelOwner        = labelPrefix + "owner" // of the files: UID:GID
)

// A plan is what a container shall be, read from a request; networks and named volumes are still names.
type plan struct {
	config   container.Config
	host     container.HostConfig
	networks []string
	aliases  []string
	volumes  []volumeUse
	pull     string
	archive  string
	source   string // URL
	owner    string
	data     *cloudinit.Plan
}

// A volumeUse is a named volume in a machine.
type volumeUse struct {
	name, target string
	readOnly     bool
}

// newPlan reads the options of a request.
func (h *host) newPlan(req *driver.Request) (*plan, error) {
	options, err := Kind().Check(req.Options)
	if err != nil {
		return nil, err
	}
	text, list := driver.Get[string], driver.Get[[]string]
	data, err := cloudinit.Read(req.UserData)
	if err != nil {
		return nil, err
	}
	hostname := hostName(cmp.Or(data.Hostname, req.Name))
	data.Hostname = "" // the daemon sets it
	grace := driver.Get[time.Duration](options, "grace")
	seconds := int((grace + time.Second - 1) / time.Second)
	p := &plan{
		networks: list(options, "networks"), pull: text(options, "pull"), archive: text(options, "archive"), source: text(options, "import"), data: data,
		config: container.Config{
			Image: text(options, "image"), Hostname: hostname, Cmd: list(options, "command"), Entrypoint: list(options, "entrypoint"),
			User: text(options, "user"), WorkingDir: text(options, "working_dir"), Tty: driver.Get[bool](options, "tty"),
			StopSignal: text(options, "stop_signal"), StopTimeout: &seconds, Labels: maps.Clone(driver.Get[map[string]string](options, "labels")),
		},
		host: container.HostConfig{
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
			CapAdd:        list(options, "cap_add"), CapDrop: list(options, "cap_drop"), Privileged: driver.Get[bool](options, "privileged"),
			ReadonlyRootfs: driver.Get[bool](options, "read_only"), ShmSize: driver.Get[int64](options, "shm_size"),
			Resources: container.Resources{NanoCPUs: int64(req.CPUs * 1e9), Memory: req.Memory},
		},
	}
	if driver.Get[bool](options, "init") {
		yes := true
		p.host.Init = &yes
	}
	if n := driver.Get[int](options, "pids"); n != 0 {
		limit := int64(n)
		p.host.PidsLimit = &limit
	}
	if p.config.Image == "" {
		return nil, refuse("image", "must not be empty")
	}
	if p.source != "" {
		if p.archive != "" {
			return nil, refuse("import", "cannot be given beside archive")
		}
		if err := checkSource(p.source); err != nil {
			return nil, err
		}
	}
	for _, alias := range append([]string{req.Name, req.Role}, list(options, "aliases")...) {
		if alias != "" && !slices.Contains(p.aliases, alias) {
			p.aliases = append(p.aliases, alias)
		}
	}
	if health := text(options, "health"); health == "off" {
		p.config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
	}
	if numeric(p.config.User) {
		p.owner = p.config.User
	}
	for _, part := range []func(map[string]any, *driver.Request) error{p.setNetwork, p.setMounts, p.setLimits, p.setEnv} {
		if err := part(options, req); err != nil {
			return nil, err
		}
	}
	h.label(p, options, req)
	return p, nil
}

// label writes down whose the container is, and what later calls must know of it.
func (h *host) label(p *plan, options map[string]any, req *driver.Request) {
	if p.config.Labels == nil {
		p.config.Labels = map[string]string{}
	}
	maps.DeleteFunc(p.config.Labels, func(name, _ string) bool { return strings.HasPrefix(name, labelPrefix) })
	for name, value := range map[string]string{
		labelInstallation: h.installation, labelMachine: string(req.ID), labelGeneration: strconv.FormatUint(req.Generation, 10),
		labelProject: req.Project, labelService: req.Service, labelRole: req.Role, labelName: req.Name, labelNumber: strconv.Itoa(req.Number),
		labelHold: map[bool]string{true: "true"}[req.Hold], labelData: req.Data, labelHealth: driver.Get[string](options, "health"),
		labelGrace:      driver.Get[time.Duration](options, "grace").String(),
		labelBeforeStop: driver.Get[string](options, "before_stop"), labelOnChange: driver.Get[string](options, "on_change"), labelOwner: p.owner,
	} {
		if value != "" {
			p.config.Labels[name] = value
		}
	}
}

// hostName is the name as a host name: the part before the first dot, of 63 bytes at most.
func hostName(name string) string {
	name, _, _ = strings.Cut(name, ".")
	return strings.Trim(name[:min(len(name), 63)], "-_")
}

// numeric reports whether a user is given as UID or UID:GID.
func numeric(user string) bool {
	uid, gid, both := strings.Cut(user, ":")
	_, err := strconv.ParseUint(uid, 10, 31)
	if err == nil && both {
		_, err = strconv.ParseUint(gid, 10, 31)
	}
	return err == nil
}

func (p *plan) setNetwork(options map[string]any, _ *driver.Request) error {
	if driver.Get[bool](options, "host_network") {
		if len(p.networks) > 0 {
			return refuse("host_network", "cannot be given beside networks")
		}
		p.host.NetworkMode = "host"
	}
	for _, name := range p.networks {
		if name == "" || name == "host" || strings.HasPrefix(name, "container:") {
			return refuse("networks", fmt.Sprintf("%q is no network; for that of the daemon's host give host_network: true", name))
		}
	}
	for _, text := range driver.Get[[]string](options, "dns") {
		a, err := parseAddress(text)
		if err != nil {
			return refuse("dns", err.Error())
		}
		p.host.DNS = append(p.host.DNS, a)
	}
	for name, address := range driver.Get[map[string]string](options, "extra_hosts") {
		if _, err := parseAddress(address); err != nil && address != "host-gateway" {
			return refuse("extra_hosts", err.Error())
		}
		p.host.ExtraHosts = append(p.host.ExtraHosts, name+":"+address)
	}
	sort.Strings(p.host.ExtraHosts)
	for _, text := range driver.Get[[]string](options, "ports") {
		port, binding, err := parsePort(text)
		if err != nil {
			return refuse("ports", fmt.Sprintf("%q: %v; give [ADDRESS:][PORT:]PORT[/PROTOCOL]", text, err))
		}
		if p.config.ExposedPorts == nil {
			p.config.ExposedPorts, p.host.PortBindings = network.PortSet{}, network.PortMap{}
		}
		p.config.ExposedPorts[port] = struct{}{}
		p.host.PortBindings[port] = append(p.host.PortBindings[port], binding)
	}
	return nil
}

func (p *plan) setMounts(options map[string]any, req *driver.Request) error {
	seen := map[string]bool{}
	add := func(option, text, target string) error {
		if !path.IsAbs(target) || path.Clean(target) == "/" {
			return refuse(option, fmt.Sprintf("%q: %q is no folder inside the machine; give an absolute path", text, target))
		}
		if seen[path.Clean(target)] {
			return refuse(option, fmt.Sprintf("%q: something is mounted at %s already", text, target))
		}
		seen[path.Clean(target)] = true
		return nil
	}
	if req.Data != "" {
		target := driver.Get[string](options, "data_path")
		if err := add("data_path", target, target); err != nil {
			return err
		}
		p.host.Mounts = append(p.host.Mounts, mount.Mount{Type: mount.TypeVolume, Target: target}) // its source is named by the caller
	}
	for _, text := range driver.Get[[]string](options, "volumes") {
		parts := strings.Split(text, ":")
		if len(parts) < 2 || len(parts) > 3 || len(parts) == 3 && parts[2] != "ro" && parts[2] != "rw" {
			return refuse("volumes", fmt.Sprintf("%q: give NAME:PATH or NAME:PATH:ro", text))
		}
		if !volumeName.MatchString(parts[0]) {
			return refuse("volumes", fmt.Sprintf("%q is no volume's name; folders of the daemon's host are given as binds", parts[0]))
		}
		if err := add("volumes", text, parts[1]); err != nil {
			return err
		}
		p.volumes = append(p.volumes, volumeUse{name: parts[0], target: parts[1], readOnly: parts[len(parts)-1] == "ro"})
	}
	for _, text := range driver.Get[[]string](options, "binds") {
		parts := strings.Split(text, ":")
		if len(parts) < 2 || len(parts) > 3 || parts[0] == "" {
			return refuse("binds", fmt.Sprintf("%q: give SOURCE:PATH or SOURCE:PATH:OPTIONS", text))
		}
		if err := add("binds", text, parts[1]); err != nil {
			return err
		}
		p.host.Binds = append(p.host.Binds, text)
	}
	for _, target := range driver.Get[[]string](options, "tmpfs") {
		if err := add("tmpfs", target, target); err != nil {
			return err
		}
		p.host.Mounts = append(p.host.Mounts, mount.Mount{Type: mount.TypeTmpfs, Target: target})
	}
	return nil
}

func (p *plan) setLimits(options map[string]any, req *driver.Request) error {
	if req.CPUs < 0 || req.Memory < 0 {
		return fmt.Errorf("%w: neither cpus nor memory may be negative", driver.ErrInvalid)
	}
	for name, text := range driver.Get[map[string]string](options, "ulimits") {
		soft, hard, both := strings.Cut(text, ":")
		s, err := strconv.ParseInt(soft, 10, 64)
		n := s
		if err == nil && both {
			n, err = strconv.ParseInt(hard, 10, 64)
		}
		if err != nil || n < s && n != -1 {
			return refuse("ulimits", fmt.Sprintf("%s: %q: give a number, or SOFT:HARD", name, text))
		}
		p.host.Ulimits = append(p.host.Ulimits, &units.Ulimit{Name: name, Soft: s, Hard: n})
	}
	slices.SortFunc(p.host.Ulimits, func(a, b *units.Ulimit) int { return strings.Compare(a.Name, b.Name) })
	for _, text := range driver.Get[[]string](options, "devices") {
		parts := strings.Split(text, ":")
		d := container.DeviceMapping{PathOnHost: parts[0], PathInContainer: parts[0], CgroupPermissions: "rwm"}
		if len(parts) > 1 {
			d.PathInContainer = parts[1]
		}
		if len(parts) > 2 {
			d.CgroupPermissions = parts[2]
		}
		if len(parts) > 3 || !path.IsAbs(d.PathOnHost) || !path.IsAbs(d.PathInContainer) {
			return refuse("devices", fmt.Sprintf("%q: give HOST, HOST:PATH or HOST:PATH:RIGHTS", text))
		}
		p.host.Devices = append(p.host.Devices, d)
	}
	return nil
}

// setEnv adds to the request's environment what a machine is told of itself.
func (p *plan) setEnv(options map[string]any, req *driver.Request) error {
	env := maps.Clone(req.Env)
	if env == nil {
		env = map[string]string{}
	}
	for k, v := range env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			return fmt.Errorf("environment: %q cannot be set: %w", k, driver.ErrInvalid)
		}
	}
	env["TROUPE_INSTANCE"], env["TROUPE_PROJECT"], env["TROUPE_SERVICE"] = req.Name, req.Project, req.Service
	env["TROUPE_ROLE"], env["TROUPE_NUMBER"] = req.Role, strconv.Itoa(req.Number)
	if req.Data != "" {
		env["TROUPE_DATA"] = driver.Get[string](options, "data_path")
	}
	p.config.Env = environment(env)
	return nil
}

// environment returns the variables as NAME=VALUE, in order.
func environment(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}
