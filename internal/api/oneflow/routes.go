package oneflow

// A route is one method on one path.
type route struct {
	method, path string
	do           handler
}

// A handler answers a request.
type handler = func(*OneFlow, *request) (answer, error)

// routes is the union of what all generations serve (specification, section 3).
var routes = []route{
	{"GET", "/service", (*OneFlow).listServices},
	{"GET", "/service/{id}", onService((*OneFlow).showService)},
	{"PUT", "/service/{id}", onService((*OneFlow).updateService)},
	{"DELETE", "/service/{id}", onService((*OneFlow).undeploy)},
	{"POST", "/service/{id}/action", onAction((*OneFlow).actOnService)},
	{"POST", "/service/{id}/scale", onService((*OneFlow).scaleRole)},
	{"POST", "/service/{id}/role_action", onAction((*OneFlow).changeRoles)},
	{"PUT", "/service/{id}/role/{role}", onService((*OneFlow).putRole)},
	{"POST", "/service/{id}/role/{role}/action", onAction((*OneFlow).actOnRole)},
	{"DELETE", "/service/{id}/sched_action/{action}", onService((*OneFlow).cancelAction)},
	{"DELETE", "/service/{id}/role/{role}/sched_action/{action}", onService((*OneFlow).cancelAction)},
	{"POST", "/service_pool/purge_done", (*OneFlow).purgeDone},

	{"GET", "/service_template", (*OneFlow).listTemplates},
	{"POST", "/service_template", (*OneFlow).createTemplate},
	{"GET", "/service_template/{id}", (*OneFlow).showTemplate},
	{"PUT", "/service_template/{id}", (*OneFlow).updateTemplate},
	{"DELETE", "/service_template/{id}", (*OneFlow).deleteTemplate},
	{"POST", "/service_template/{id}/action", (*OneFlow).actOnTemplate},
}

// onService makes a handler of what answers for the service that the path names.
func onService(do func(*OneFlow, *request, *snapshot) (answer, error)) handler {
	return func(f *OneFlow, r *request) (answer, error) {
		s, err := f.service(r)
		if err != nil {
			return answer{}, err
		}
		return do(f, r, s)
	}
}

// onAction makes a handler of what performs an action on the service that the path names.
func onAction(do func(*OneFlow, *request, *snapshot, action) (answer, error)) handler {
	return onService(func(f *OneFlow, r *request, s *snapshot) (answer, error) {
		a, err := r.action()
		if err != nil {
			return answer{}, err
		}
		return do(f, r, s, a)
	})
}
