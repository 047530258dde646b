package onegate

import "slices"

// A route is one method on one path. Its operation is what switches it off; "" for nothing.
type route struct {
	method, path, operation string
	do                      func(*OneGate, *request) (answer, error)
}

// ofOld is the one route of 4.2, where the path alone names the machine.
const ofOld = "PUT /vm/{vm}"

// routes is the union of what all generations serve (specification, section 15).
var routes = []route{
	{"GET", "/{$}", "", (*OneGate).showPaths},
	{"GET", "/vm", "vm.show", (*OneGate).showVM},
	{"PUT", "/vm", "vm.update", (*OneGate).updateVM},
	{"GET", "/vms/{vm}", "vm.show_by_id", (*OneGate).showVM},
	{"PUT", "/vms/{vm}", "vm.update_by_id", (*OneGate).updateVM},
	{"PUT", "/vm/{vm}", "vm.update_by_id", (*OneGate).updateVM},
	{"POST", "/vms/{vm}/action", "vm.action_by_id", (*OneGate).act},
	{"GET", "/service", "service.show", (*OneGate).showService},
	{"PUT", "/service/role/{role}", "service.change_cardinality", (*OneGate).scaleRole},
	{"GET", "/vrouter", "", (*OneGate).noRouter},
	{"GET", "/vnet/{id}", "", (*OneGate).noRouter},
}

// Operations are those that can be switched off, by their names in OpenNebula's settings.
func Operations() []string {
	var names []string
	for _, r := range routes {
		if r.operation != "" && !slices.Contains(names, r.operation) {
			names = append(names, r.operation)
		}
	}
	return names
}
