package heat

// A route is one method on one path.
type route struct {
	method, path string
	do           func(*Heat, *request) error
}

const (
	root   = "/v1/{tenant}"
	stacks = root + "/stacks"
	stack  = stacks + "/{name}/{id}"
	member = stack + "/resources/{resource}"
)

// routes are those of Heat's API 1.0. Who reads a stack by one reference alone is redirected to its name and id.
var routes = []route{
	{"GET", "/{$}", (*Heat).versions},
	{"GET", root + "/build_info", (*Heat).buildInfo},
	{"POST", root + "/validate", (*Heat).validate},
	{"GET", root + "/resource_types", (*Heat).listTypes},
	{"GET", root + "/resource_types/{type}", (*Heat).showType},
	{"GET", root + "/resource_types/{type}/template", (*Heat).typeTemplate},
	{"GET", root + "/template_versions", (*Heat).templateVersions},
	{"GET", root + "/template_versions/{version}/functions", (*Heat).templateFunctions},

	{"GET", stacks, (*Heat).list},
	{"POST", stacks, (*Heat).create},
	{"GET", stacks + "/detail", (*Heat).listDetail},
	{"POST", stacks + "/preview", (*Heat).preview},
	{"GET", stacks + "/{ref}", (*Heat).redirect},
	{"PUT", stacks + "/{ref}", (*Heat).update},
	{"PATCH", stacks + "/{ref}", (*Heat).patch},
	{"DELETE", stacks + "/{ref}", (*Heat).remove},
	{"GET", stack, (*Heat).showOrRedirect},
	{"POST", stack, (*Heat).actByRef}, // with "actions" in the place of the id
	{"PUT", stack, (*Heat).update},
	{"PATCH", stack, (*Heat).patch},
	{"DELETE", stack, (*Heat).remove},
	{"PUT", stack + "/preview", (*Heat).previewUpdate},
	{"PATCH", stack + "/preview", (*Heat).previewPatch},
	{"GET", stack + "/template", (*Heat).template},
	{"GET", stack + "/environment", (*Heat).environment},
	{"GET", stack + "/files", (*Heat).files},
	{"POST", stack + "/actions", (*Heat).act},

	{"GET", stack + "/outputs", (*Heat).listOutputs},
	{"GET", stack + "/outputs/{output}", (*Heat).showOutput},
	{"GET", stack + "/events", (*Heat).events},
	{"GET", stack + "/resources", (*Heat).listResources},
	{"GET", member, (*Heat).showResource},
	{"PATCH", member, (*Heat).markResource},
	{"GET", member + "/metadata", (*Heat).metadata},
	{"POST", member + "/signal", (*Heat).signal},
	{"GET", member + "/events", (*Heat).events},
	{"GET", member + "/events/{event}", (*Heat).showEvent},
}
