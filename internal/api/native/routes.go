package native

import (
	"net/http"
	"strings"

	"github.com/troupe-dev/troupe/client"
)

const (
	get   = http.MethodGet
	post  = http.MethodPost
	put   = http.MethodPut
	patch = http.MethodPatch
	del   = http.MethodDelete
)

// table puts every route on the mux: the map of the face. Paths stand below the prefix.
func (f *face) table() {
	f.begin()
	f.mux.HandleFunc("/", f.unmatched)
	taken := status(http.StatusAccepted)
	made := status(http.StatusCreated)
	gone := status(http.StatusNoContent)

	add(f, get, "/services", "List services", f.listServices)
	add(f, post, "/services", "Make a service, or plan one", f.createService, made,
		shape[client.Service](f, "201", "The service."), shape[client.Plan](f, "200", "With plan: what would happen."))
	add(f, get, "/services/{service}", "Show a service", f.getService)
	add(f, patch, "/services/{service}", "Rename a service, give it away, set its permissions", f.changeService, taken)
	add(f, del, "/services/{service}", "Remove a service", simply(f, func(in *removeService) *Commanded { return &in.Commanded }, (*removeService).command), taken)
	add(f, post, "/services/{service}/scale", "Scale a role", command(f, f.scale), taken)
	add(f, post, "/services/{service}/update", "Update to another description", f.updateService, taken)
	add(f, post, "/services/{service}/update/pause", "Pause the update", simply(f, itself, pauseUpdate), taken)
	add(f, post, "/services/{service}/update/continue", "Go on with the update", simply(f, itself, continueUpdate), taken)
	add(f, post, "/services/{service}/rollback", "Return to an earlier revision", f.rollback, taken)
	add(f, post, "/services/{service}/recover", "Set everything that gave up going again", command(f, f.recover), taken)
	add(f, post, "/services/{service}/undeploy", "Remove the machines", command(f, f.undeploy), taken)
	add(f, post, "/services/{service}/release", "Start what is held", command(f, f.release), taken)
	add(f, post, "/services/{service}/attach", "Have an unmanaged service managed, for good or for one pass", command(f, f.attach), taken)
	add(f, post, "/services/{service}/detach", "Leave a service alone: only removal is carried out", simply(f, itself, detach), taken)
	add(f, post, "/services/{service}/actions", "Act on machines", command(f, f.act), taken)
	add(f, del, "/services/{service}/actions", "Drop actions that wait", simply(f, func(in *cancelActions) *Commanded { return &in.Commanded }, (*cancelActions).command), taken)
	add(f, post, "/services/{service}/roles", "Add a role", command(f, f.addRole), taken)
	add(f, del, "/services/{service}/roles/{role}", "Remove a role", simply(f, func(in *removeRole) *Commanded { return &in.Commanded }, (*removeRole).command), taken)
	add(f, post, "/services/{service}/plan", "Tell what a command would do", f.planCommand)
	add(f, get, "/services/{service}/explain", "Tell why a service is in its state", f.explain)
	add(f, get, "/services/{service}/revisions", "List the revisions that can be returned to", f.revisions)
	add(f, get, "/services/{service}/spec", "Show the description", f.showSpec)
	add(f, get, "/services/{service}/events", "Show the last events of a service", f.serviceEvents)
	add(f, get, "/services/{service}/instances", "List instances", f.listInstances)
	add(f, get, "/services/{service}/instances/{serial}", "Show an instance", f.getInstance)
	add(f, post, "/services/{service}/instances/{serial}/replace", "Replace an instance",
		simply(f, func(in *replaceInstance) *Commanded { return &in.Commanded }, (*replaceInstance).command), taken)
	add(f, put, "/services/{service}/instances/{serial}/attributes", "Report attributes, such as READY=YES", f.report)
	add(f, get, "/services/{service}/instances/{serial}/logs", "Read what an instance printed", f.logs, streaming("text/plain", "The output, as it comes."))
	add(f, post, "/services/{service}/instances/{serial}/exec", "Run a command inside an instance", f.exec,
		streaming("application/x-ndjson", "Frames, one JSON value a line: stdout and stderr in Base64, then exit, or error."))

	add(f, get, "/data", "List the data that removed services have left", f.listData)
	add(f, del, "/data/{service}", "Remove the data that a service has left", f.removeData, gone)

	add(f, get, "/watch", "Watch changes of services", f.watch, streaming("text/event-stream", "Events open, change and reset, each with a Change."))
	add(f, get, "/events", "Show the last events of all services", f.allEvents)

	add(f, get, "/templates", "List templates", f.listTemplates)
	add(f, post, "/templates", "Store a template", f.addTemplate, made)
	add(f, get, "/templates/{template}", "Show a template", f.getTemplate)
	add(f, patch, "/templates/{template}", "Change a template", f.changeTemplate)
	add(f, del, "/templates/{template}", "Remove a template", f.removeTemplate, gone)

	add(f, get, "/machines", "List machine definitions", f.listMachines)
	add(f, put, "/machines", "Add a machine definition, or change the one of its name", f.putMachine)
	add(f, get, "/machines/{machine}", "Show a machine definition", f.getMachine)
	add(f, del, "/machines/{machine}", "Remove a machine definition", f.removeMachine, gone)

	add(f, get, "/managers", "List service managers", f.listManagers)
	add(f, put, "/managers", "Add a service manager, or change the one of its term", f.putManager)
	add(f, get, "/managers/{manager}", "Show a service manager", f.getManager)
	add(f, del, "/managers/{manager}", "Remove a service manager that has no instances", f.removeManager, gone)
	add(f, get, "/managers/{manager}/instances", "List the instances of a service manager", f.listManagerInstances)

	add(f, get, "/alarm-definitions", "List alarm definitions", f.listDefinitions)
	add(f, post, "/alarm-definitions", "Add an alarm definition", f.addDefinition, made)
	add(f, post, "/alarm-definitions/replay", "Tell what a definition would have done over history", f.replay)
	add(f, get, "/alarm-definitions/{definition}", "Show an alarm definition", f.getDefinition)
	add(f, patch, "/alarm-definitions/{definition}", "Change an alarm definition", f.changeDefinition)
	add(f, del, "/alarm-definitions/{definition}", "Remove an alarm definition with its alarms", f.removeDefinition, gone)
	add(f, post, "/alarm-definitions/{definition}/test", "Send the notifications of a state, marked as a test", f.testDefinition)
	add(f, get, "/alarm-silences", "List silences that are not over", f.listSilences)
	add(f, post, "/alarm-silences", "Let the actions of alarms wait for a while", f.addSilence, made)
	add(f, del, "/alarm-silences/{silence}", "End a silence", f.endSilence, gone)
	add(f, get, "/alarms", "List alarms", f.listAlarms)
	add(f, get, "/alarms/history", "Show the last changes of alarms", f.alarmHistory)
	add(f, get, "/alarms/watch", "Watch changes of alarms", f.watchAlarms, streaming("text/event-stream", "Events open, change and reset, each with an AlarmChange."))
	add(f, get, "/alarms/{alarm}", "Show an alarm", f.getAlarm)
	add(f, patch, "/alarms/{alarm}", "Change an alarm by hand", f.changeAlarm)
	add(f, del, "/alarms/{alarm}", "Remove an alarm until its next sample", f.removeAlarm, gone)
	add(f, get, "/notifications", "List notification methods", f.listMethods)
	add(f, post, "/notifications", "Add a notification method", f.addMethod, made)
	add(f, get, "/notifications/{method}", "Show a notification method", f.getMethod)
	add(f, patch, "/notifications/{method}", "Change a notification method", f.changeMethod)
	add(f, del, "/notifications/{method}", "Remove a notification method", f.removeMethod, gone)
	add(f, get, "/deliveries", "List notifications that wait, repeat or were given up", f.listDeliveries)
	add(f, post, "/deliveries/{delivery}/resend", "Send a notification again that was given up", f.resend, gone)
	add(f, del, "/deliveries/{delivery}", "Drop a notification", f.discard, gone)

	f.intakeTable()
	f.queryTable()

	add(f, get, "/me", "Show who the server takes the caller for", f.whoami)
	add(f, get, "/users", "List users", f.listUsers)
	add(f, post, "/users", "Add a user", f.addUser, made)
	add(f, get, "/users/{user}", "Show a user", f.getUser)
	add(f, patch, "/users/{user}", "Change a user", f.changeUser)
	add(f, del, "/users/{user}", "Remove a user", f.removeUser, gone)
	add(f, put, "/users/{user}/password", "Set a password", f.setPassword, gone)
	add(f, get, "/groups", "List groups", f.listGroups)
	add(f, post, "/groups", "Add a group", f.addGroup, made)
	add(f, get, "/groups/{group}", "Show a group", f.getGroup)
	add(f, patch, "/groups/{group}", "Change a group", f.changeGroup)
	add(f, del, "/groups/{group}", "Remove a group", f.removeGroup, gone)
	add(f, get, "/tokens", "List tokens", f.listTokens)
	add(f, post, "/tokens", "Make a token", f.addToken, made)
	add(f, del, "/tokens/{token}", "End a token", f.removeToken, gone)

	add(f, get, "/drivers", "List drivers", f.listDrivers)
	add(f, get, "/drivers/{driver}", "Show a driver with its options", f.getDriver)
	add(f, post, "/backends/{backend}/accept-loss", "Say that vanished machines are gone", f.acceptLoss, gone)
	add(f, get, "/status", "Show how the server is", f.status)
	add(f, post, "/resume", "Set the server going after a restore", f.resume, gone)
	add(f, get, "/backup", "Download a copy of the whole state", f.backup, streaming("application/octet-stream", "The copy."))
	add(f, get, "/audit", "Read the audit trail", f.audit)
	add(f, get, "/schema/{kind}", "Show the JSON Schema of a document", f.schema, streaming("application/schema+json", "The schema."))
}

// operationID makes an id such as "post-services-scale" of a route.
func operationID(method, path string) string {
	words := []string{strings.ToLower(method)}
	one := false
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if one = strings.HasPrefix(part, "{"); !one {
			words = append(words, part)
		}
	}
	if one {
		words = append(words, "one")
	}
	return strings.Join(words, "-")
}

// tag is the resource of a route.
func tag(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}
