package oneflow

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/driver"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/service"
)

// OpenNebula's states of a VM; an active one has a second state (specification, section 8).
const (
	vmPending    = 1
	vmHold       = 2
	vmActive     = 3
	vmStopped    = 4
	vmSuspended  = 5
	vmDone       = 6
	vmPoweroff   = 8
	vmUndeployed = 9

	lcmBoot        = 2
	lcmRunning     = 3
	lcmShutdown    = 12
	lcmUnknown     = 16
	lcmBootFailure = 36
)

// vmState maps the phase of an instance and the state of its machine.
func vmState(i *service.Instance) (state, lcm int) {
	switch i.Phase {
	case service.Queued, service.Creating:
		return vmPending, 0
	case service.Held:
		return vmHold, 0
	case service.Starting:
		if i.Machine == driver.Running {
			return vmActive, lcmRunning // up but for its checks or READY
		}
		return vmActive, lcmBoot
	case service.Up:
		return vmActive, lcmRunning
	case service.Finished:
		return vmPoweroff, 0
	case service.Parked:
		if i.Machine != driver.Gone && i.Machine != driver.Pending && restStates[i.Rest()] != 0 {
			return restStates[i.Rest()], 0
		}
	case service.Backoff, service.Resting:
		return vmActive, lcmBootFailure
	case service.Replacing, service.Stopping:
		if i.Machine == driver.Gone {
			return vmDone, 0
		}
		return vmActive, lcmShutdown
	}
	return machineState(i.Machine)
}

// restStates are the states of machines that rest on purpose.
var restStates = map[service.Rest]int{service.RestPoweredOff: vmPoweroff, service.RestStopped: vmStopped,
	service.RestSuspended: vmSuspended, service.RestUndeployed: vmUndeployed, service.RestHeld: vmHold}

// machineState is that of an instance that is parked or down.
func machineState(m driver.State) (state, lcm int) {
	switch m {
	case driver.Pending:
		return vmActive, lcmBoot
	case driver.Held:
		return vmHold, 0
	case driver.Running:
		return vmActive, lcmUnknown // it runs, and its checks fail
	case driver.Stopped, driver.Exited:
		return vmPoweroff, 0
	case driver.Suspended:
		return vmSuspended, 0
	case driver.Undeployed:
		return vmUndeployed, 0
	case driver.Failed:
		return vmActive, lcmBootFailure
	case driver.Gone:
		return vmDone, 0
	}
	return vmActive, lcmUnknown
}

// node is one instance of a role, with its machine.
func (f *OneFlow) node(s *snapshot, r *roleShot, n *nodeShot, show func(string) string) *format.Object {
	return object("deploy_id", number(service.NumericID(s.id, n.Serial)), "running", n.Phase == service.Up, "vm_info", object("VM", f.vm(s, r, n, show)))
}

// vm is the machine of an instance; show makes of a text what may be seen of it.
func (f *OneFlow) vm(s *snapshot, r *roleShot, n *nodeShot, show func(string) string) *format.Object {
	id := service.NumericID(s.id, n.Serial)
	state, lcm := vmState(&n.Instance)
	directory := f.Control.Directory()
	user := object()
	template := vmTemplate(r.spec, show, user)
	for _, key := range slices.Sorted(maps.Keys(n.Attributes)) {
		value := show(n.Attributes[key])
		if vector, ok := format.ParseVector(value); ok {
			user.Set(key, vector)
			continue
		}
		user.Set(key, vmValue(value))
	}
	if n.Ready && !user.Has("READY") {
		user.Set("READY", "YES")
	}
	user.Set("SERVICE_ID", text(s.id))
	user.Set("ROLE_NAME", r.name)
	setNICs(template, n.Addresses)
	template.Set("TEMPLATE_ID", strconv.Itoa(r.spec.Machine.ID))
	template.Set("VMID", text(id))
	if len(n.Actions) > 0 {
		template.Set("SCHED_ACTION", scheduled(n.Actions))
	}
	return object("ID", text(id), "UID", text(s.meta.Owner), "GID", text(s.meta.Group),
		"UNAME", directory.UserName(s.meta.Owner), "GNAME", directory.GroupName(s.meta.Group), "NAME", n.name,
		"STATE", strconv.Itoa(state), "LCM_STATE", strconv.Itoa(lcm),
		"STIME", text(n.Created.Time().Unix()), "DEPLOY_ID", n.Native,
		"MONITORING", object(), "TEMPLATE", template, "USER_TEMPLATE", user)
}

// vmTemplate builds the template of a VM from the dotted attributes of its definition, and gives user
// what is the user's.
func vmTemplate(r *service.RoleSpec, show func(string) string, user *format.Object) *format.Object {
	template, all := object(), new(tree)
	for name, value := range r.Machine.Attributes {
		all.plant(name, show(value))
	}
	for _, key := range slices.Sorted(maps.Keys(all.children)) {
		to := user
		if service.OfTemplate(key) {
			to = template
		}
		to.Set(key, all.children[key].shape())
	}
	if r.Machine.CPUs > 0 && !template.Has("CPU") {
		template.Set("CPU", strconv.FormatFloat(r.Machine.CPUs, 'f', -1, 64))
	}
	if r.Machine.Memory > 0 && !template.Has("MEMORY") {
		template.Set("MEMORY", text(r.Machine.Memory>>20))
	}
	return template
}

// A tree is what dotted names spell: "CONTEXT.HOST", "NIC.0.NETWORK".
type tree struct {
	value    string
	children map[string]*tree
}

func (t *tree) plant(name, value string) {
	for part := range strings.SplitSeq(name, ".") {
		if t.children == nil {
			t.children = make(map[string]*tree)
		}
		if t.children[part] == nil {
			t.children[part] = new(tree)
		}
		t = t.children[part]
	}
	t.value = value
}

// shape returns the text of a leaf, a list where all children are numbered, else an object.
func (t *tree) shape() any {
	if len(t.children) == 0 {
		return vmValue(t.value)
	}
	o, list, numbered := object(), []any{}, true
	for _, key := range slices.SortedFunc(maps.Keys(t.children), byNumber) {
		v := t.children[key].shape()
		if _, err := strconv.Atoi(key); err != nil {
			numbered = false
		}
		o.Set(key, v)
		list = append(list, v)
	}
	if numbered {
		return list
	}
	return o
}

// byNumber orders "2" before "10", and texts as texts.
func byNumber(a, b string) int {
	m, err1 := strconv.Atoi(a)
	n, err2 := strconv.Atoi(b)
	if err1 == nil && err2 == nil {
		return m - n
	}
	return strings.Compare(a, b)
}

// vmValue is how OpenNebula shows a text in a VM: an empty one as an empty object.
func vmValue(text string) any {
	if text == "" {
		return object()
	}
	return text
}

// setNICs shows the addresses of a machine, on the interfaces that its template declares as far as
// there are any.
func setNICs(template *format.Object, addresses []string) {
	nics := template.Array("NIC")
	for n, address := range addresses {
		var nic *format.Object
		if n < len(nics) {
			nic, _ = nics[n].(*format.Object)
		}
		if nic == nil {
			nic = object("NIC_ID", strconv.Itoa(n), "NAME", "NIC"+strconv.Itoa(n))
			nics = append(nics, nic)
		}
		key := "IP"
		if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() {
			key = "IP6_GLOBAL"
		}
		nic.Set(key, address)
	}
	if len(nics) > 0 {
		template.Set("NIC", nics)
	}
}

func scheduled(actions []service.PendingAction) []any {
	list := []any{}
	for _, a := range actions {
		o := object("ID", strconv.FormatUint(uint64(a.Serial), 10), "ACTION", string(a.Action), "TIME", text(a.At.Time().Unix()))
		if a.Args != "" {
			o.Set("ARGS", a.Args)
		}
		list = append(list, o)
	}
	return list
}
