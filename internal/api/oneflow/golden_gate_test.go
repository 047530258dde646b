package oneflow_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/service"
)

// machines are those of the only service, by role and number.
func (p *player) machines() map[string]driver.MachineID {
	all := make(map[string]driver.MachineID)
	for _, id := range p.Control.Services(p.Root()) {
		p.Engine.View(id, func(s *service.Service) {
			for _, r := range s.Roles {
				for i := range r.Instances {
					if i.Machine == driver.Running && i.Phase != service.Stopping {
						all[fmt.Sprintf("%s/%d", r.Name, i.Number)] = s.MachineID(i)
					}
				}
			}
		})
	}
	return all
}

// load lets the machines tell their load, in order.
func (p *player) load(values ...string) {
	p.t.Helper()
	all := p.machines()
	if len(all) != len(values) {
		p.t.Fatalf("%d machines, want %d", len(all), len(values))
	}
	for n, name := range slices.Sorted(maps.Keys(all)) {
		if status, text := p.ask(p.gate, all[name], "PUT", "/vm", "LOAD="+values[n]); status != 200 {
			p.t.Fatal(status, text)
		}
	}
}

// The machines of the recording, and which of them asked.
var recordedVMs = map[string]string{"180": "a/0", "181": "b/0", "182": "a/1"}

func asking(n int) string {
	switch {
	case n < 5:
		return ""
	case n < 16 || n == 20 || n == 21 || n == 29:
		return "180"
	case n < 20:
		return "181"
	}
	return "182"
}

var (
	vmInPath = regexp.MustCompile(`^(/vms/)(18\d)`)
	numbers  = regexp.MustCompile(`(service_|SERVICE_ID":"|"id":"|service |Service )(\d+)`)
	vmIDs    = regexp.MustCompile(`("ID":"|"deploy_id":)(18\d)`)
	nobodys  = regexp.MustCompile(`"running":(null|true|false)`)
)

// tell repeats an exchange with OneGate.
func (p *player) tell(n int, x *exchange) {
	p.t.Helper()
	all, who := make(map[string]driver.MachineID), asking(n)
	p.Within("the machine that asked", func() bool {
		all = p.machines()
		return who == "" || all[recordedVMs[who]] != ""
	})
	number := func(recorded string) string { return p.Control.InstanceVM(all[recordedVMs[recorded]]) }
	path := vmInPath.ReplaceAllStringFunc(x.Path, func(found string) string { return "/vms/" + number(found[len("/vms/"):]) })
	status, text := p.ask(p.gate, all[recordedVMs[who]], x.Method, path, x.Body)
	if status != x.Status {
		if !p.allowed.allows(p.Scenario, n, "status") {
			p.t.Errorf("%s/%d %s (%s %s %s): recorded %d %s, we answer %d %s", p.Scenario, n, x.Note, x.Method, path, x.Body, x.Status, x.Answer, status, text)
		}
		return
	}
	want := numbers.ReplaceAllStringFunc(x.Answer, func(found string) string {
		m := numbers.FindStringSubmatch(found)
		if ours := p.ids[m[2]]; ours != "" {
			return m[1] + ours
		}
		return found
	})
	want = vmIDs.ReplaceAllStringFunc(want, func(found string) string {
		m := vmIDs.FindStringSubmatch(found)
		return m[1] + number(m[2])
	})
	want = strings.ReplaceAll(want, "http://127.0.0.1:5030", p.gate)
	if x.Status < 400 {
		if x.Answer != "" && !p.reference {
			p.same(n, x, want, text)
		}
	} else if !strings.HasPrefix(text, want) && !p.allowed.allows(p.Scenario, n, "error") {
		p.t.Errorf("%s/%d %s (%s %s %s): recorded %s, we answer %s", p.Scenario, n, x.Note, x.Method, path, x.Body, want, text)
	}
}

// same compares two JSON texts: what was recorded must be there, save what the engines of the two do not share.
func (p *player) same(n int, x *exchange, want, have string) {
	p.t.Helper()
	recorded, ours := make(map[string]string), make(map[string]string)
	p.flatten(recorded, "", apitest.Decode(nobodys.ReplaceAllString(want, `"running":0`)), nil)
	p.flatten(ours, "", apitest.Decode(nobodys.ReplaceAllString(have, `"running":0`)), nil)
	for _, field := range slices.Sorted(maps.Keys(recorded)) {
		if ours[field] != recorded[field] && !p.allowed.allows(p.Scenario, n, strings.TrimPrefix(general(field), ".")) {
			p.t.Errorf("%s/%d %s (%s %s)\n%s: recorded %q, we answer %q", p.Scenario, n, x.Note, x.Method, x.Path, field, recorded[field], ours[field])
		}
	}
	for _, field := range slices.Sorted(maps.Keys(ours)) {
		if _, ok := recorded[field]; !ok && !p.allowed.allows(p.Scenario, n, "+"+strings.TrimPrefix(general(field), ".")) {
			p.t.Errorf("%s/%d %s (%s %s)\n%s: recorded nothing, we answer %q", p.Scenario, n, x.Note, x.Method, x.Path, field, ours[field])
		}
	}
}
