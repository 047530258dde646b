package oneflow

// A route is one method on one path.
type route struct {
	method, path string
	do           func(*OneFlow, *request) (answer, error)
}

// routes is the union of what all generations serve (specification, section 3).
var routes = []route{
	{"GET", "/service", (*OneFlow).listServices},
	{"GET", "/service/{id}", (*OneFlow).showService},
	{"PUT", "/service/{id}", (*OneFlow).updateService},
	{"DELETE", "/service/{id}", (*OneFlow).deleteService},
	{"POST", "/service/{id}/action", (*OneFlow).actOnService},
	{"POST", "/service/{id}/scale", (*OneFlow).scaleRole},
	{"POST", "/service/{id}/role_action", (*OneFlow).changeRoles},
	{"PUT", "/service/{id}/role/{role}", (*OneFlow).putRole},
	{"POST", "/service/{id}/role/{role}/action", (*OneFlow).actOnRole},
	{"DELETE", "/service/{id}/sched_action/{action}", (*OneFlow).cancelAction},
	{"DELETE", "/service/{id}/role/{role}/sched_action/{action}", (*OneFlow).cancelAction},
	{"POST", "/service_pool/purge_done", (*OneFlow).purgeDone},

	{"GET", "/service_template", (*OneFlow).listTemplates},
	{"POST", "/service_template", (*OneFlow).createTemplate},
	{"GET", "/service_template/{id}", (*OneFlow).showTemplate},
	{"PUT", "/service_template/{id}", (*OneFlow).updateTemplate},
	{"DELETE", "/service_template/{id}", (*OneFlow).deleteTemplate},
	{"POST", "/service_template/{id}/action", (*OneFlow).actOnTemplate},
}
