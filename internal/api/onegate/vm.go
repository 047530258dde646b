package onegate

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/api"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// showPaths tells where to ask.
func (g *OneGate) showPaths(r *request) (answer, error) {
	base := g.URL
	if base == "" {
		base = "http://" + r.Host
		if r.TLS != nil {
			base = "https://" + r.Host
		}
		prefix, _ := r.Context().Value(prefixKey{}).(string)
		base += prefix
	}
	return answer{http.StatusOK, object("vm_info", base+"/vm", "service_info", base+"/service")}, nil
}

// named is the serial of the machine that the path names: one of the same service, or the one that asks where none is
// named.
func (g *OneGate) named(r *request) (uint32, error) {
	given := r.PathValue("vm")
	if given == "" {
		return r.me.Serial, nil
	}
	stranger := refuse(http.StatusBadRequest, "Service %d does not contain VM %.40s.", r.me.Service, strings.ToValidUTF8(given, "?"))
	n, err := strconv.ParseInt(given, 10, 64)
	if err != nil {
		return 0, stranger
	}
	id, serial := service.ParseNumericID(n)
	if id != r.me.Service {
		return 0, stranger
	}
	known := false
	if err := g.Control.Read(r.me.Owner, id, func(s *service.Service) { known = s.Instance(serial) != nil }); err != nil {
		return 0, err
	}
	if !known {
		return 0, stranger
	}
	return serial, nil
}

func (g *OneGate) showVM(r *request) (answer, error) {
	serial, err := g.named(r)
	if err != nil {
		return answer{}, err
	}
	vm, err := g.OneFlow.VM(r.me.Owner, r.me.Service, serial)
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, object("VM", cut(vm))}, nil
}

// What is shown of a machine, and of each of its interfaces.
var (
	vmKeys  = []string{"NAME", "ID", "STATE", "LCM_STATE", "USER_TEMPLATE"}
	nicKeys = []string{"IP", "IP6_LINK", "IP6_SITE", "IP6_GLOBAL", "NETWORK", "MAC", "NAME", "PARENT", "EXTERNAL", "EXTERNAL_IP"}
)

// cut leaves of a machine what other machines may see.
func cut(vm *format.Object) *format.Object {
	shown := only(vm, vmKeys)
	shown.Object("USER_TEMPLATE").Delete("SCHED_MESSAGE")
	template := new(format.Object)
	for _, key := range [...]string{"NIC", "NIC_ALIAS"} {
		list := []any{}
		interfaces := vm.Object("TEMPLATE").Array(key)
		if one, ok := vm.Object("TEMPLATE").Get(key).(*format.Object); ok {
			interfaces = []any{one}
		}
		for _, x := range interfaces {
			if nic, ok := x.(*format.Object); ok {
				list = append(list, only(nic, nicKeys))
			}
		}
		template.Set(key, list)
	}
	shown.Set("TEMPLATE", template)
	return shown
}

func only(o *format.Object, keys []string) *format.Object {
	out := new(format.Object)
	for _, key := range keys {
		if o.Has(key) {
			out.Set(key, o.Get(key))
		}
	}
	return out
}

// updateVM takes attributes, of which numbers are samples as well, or deletes one.
func (g *OneGate) updateVM(r *request) (answer, error) {
	serial, err := g.named(r)
	if err != nil {
		return answer{}, err
	}
	body, err := r.read()
	if err != nil {
		return answer{}, err
	}
	data, deletes := unwrap(r.URL.Query(), string(body))
	p := &payload{}
	if deletes {
		p.attributes, err = g.deletion(r, serial, data)
	} else {
		p, err = parsePayload(data)
	}
	if err != nil {
		return answer{}, err
	}
	if len(p.attributes)+len(p.samples) == 0 {
		return answer{}, refuse(http.StatusBadRequest, "the body names no attribute; send lines KEY=VALUE, such as READY=YES")
	}
	for _, name := range p.names() {
		if slices.ContainsFunc(g.Protected, func(x string) bool { return strings.EqualFold(x, name) }) {
			return answer{}, refuse(http.StatusForbidden, "Attribute (%s) is not allowed to be changed", name)
		}
	}
	return answer{status: http.StatusOK}, g.take(r, serial, p)
}

// deletion is what removes the attribute of that name.
func (g *OneGate) deletion(r *request, serial uint32, data string) (map[string]string, error) {
	name := strings.ToUpper(strings.TrimSpace(data))
	found := false
	err := g.Control.Read(r.me.Owner, r.me.Service, func(s *service.Service) {
		if i := s.Instance(serial); i != nil {
			_, found = i.Attributes[name]
		}
	})
	if err == nil && !found && !slices.Contains(g.Protected, name) {
		err = failed("there is no attribute %.100q to delete", name)
	}
	return map[string]string{name: ""}, err
}

// take stores the attributes, and then the samples: policies look at both when a sample comes.
func (g *OneGate) take(r *request, serial uint32, p *payload) error {
	if serial != r.me.Serial { // of another machine: nobody measures for another
		_, err := g.Control.Report(r.Context(), r.me.Owner, r.me.Service, serial, p.attributes)
		return err
	}
	b := telemetry.NewBatch()
	defer b.Free()
	if len(p.samples) > 0 { // a project that sends too many samples still gets its READY through
		done, err := g.Control.AdmitInstance(r.Context(), r.me)
		if err != nil {
			return err
		}
		defer done()
		if err := telemetry.DecodeAttributes(b, p.samples, time.Now()); err != nil {
			return err
		}
	}
	if len(p.attributes) > 0 {
		if err := g.Control.ReportInstance(r.Context(), r.me, p.attributes); err != nil {
			return err
		}
	}
	if b.Points() == 0 {
		return nil
	}
	_, err := g.Control.WriteInstanceMetrics(r.me, b)
	return err
}

// elsewhere are actions that OpenNebula's machines know and this server does not.
var elsewhere = []string{"deploy", "livemigrate", "migrate", "saveas", "chown", "chmod", "resize", "attachdisk", "detachdisk", "attachnic",
	"detachnic", "rename", "resched", "unresched", "recover"}

// otherNames are names of actions that mean something else here.
var otherNames = map[string]string{"snapshot_create": "snapshot-create", "snapshot_revert": "snapshot-revert", "snapshot_delete": "snapshot-delete"}

// act performs an action on a machine. params true means the hard way.
func (g *OneGate) act(r *request) (answer, error) {
	serial, err := g.named(r)
	if err != nil {
		return answer{}, err
	}
	body, err := r.read()
	if err != nil {
		return answer{}, err
	}
	var asked struct {
		Action struct {
			Perform string `json:"perform"`
			Params  any    `json:"params"`
		} `json:"action"`
	}
	if err := api.UnmarshalJSON(body, &asked); err != nil {
		return answer{}, err
	}
	name, given := asked.Action.Perform, asked.Action.Perform
	if slices.Contains(g.Restricted, name) {
		return answer{}, refuse(http.StatusForbidden, "Action (%s) is not allowed on this resource", name)
	}
	if slices.Contains(elsewhere, name) {
		return answer{}, refuse(http.StatusBadRequest, "OneGate server doesn't support this feature: the action %s of a VM", name)
	}
	if other, ok := otherNames[name]; ok {
		name = other
	}
	if asked.Action.Params == true && slices.Contains(service.ActionNames(), name+"-hard") {
		name += "-hard"
	}
	if _, _, ok := service.ActionNamed(name); !ok {
		return answer{}, failed("Action (%.100s) is not supported%s", strings.ToValidUTF8(given, "?"), nearest.Hint(given, service.ActionNames()))
	}
	args, _ := asked.Action.Params.(string)
	return answer{status: http.StatusNoContent}, g.order(r, service.Command{Act: &service.Act{Serial: serial, Action: name, Args: args}})
}

// order brings a command of a machine to its service.
func (g *OneGate) order(r *request, cmd service.Command) error {
	cmd.By = r.me.Owner.Name
	cmd.Because = "asked by instance " + strconv.FormatUint(uint64(r.me.Serial), 10) + " of role " + r.me.Role
	_, err := g.Control.Order(r.Context(), r.me.Owner, r.me.Service, cmd)
	if errors.Is(err, identity.ErrNotFound) {
		return refuse(http.StatusNotFound, "%v", err)
	}
	return err
}

// noRouter: no machine here is a virtual router.
func (g *OneGate) noRouter(*request) (answer, error) {
	return answer{}, refuse(http.StatusBadRequest, "Empty or invalid VROUTER_ID")
}
