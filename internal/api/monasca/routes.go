package monasca

import "github.com/troupe-dev/troupe/internal/identity"

// A role is what a route asks of a token (specification, section 1.2), by Troupe's scopes.
type role uint8

const (
	anybody role = iota // with a token
	agent               // monasca-agent: send metrics
	reader              // monasca-read-only-user
	user                // monasca-user
)

// held reports whether the caller has the role.
func (x role) held(who *identity.Caller) bool {
	switch x {
	case agent:
		return who.Can(identity.ScopePush) || who.Can(identity.ScopeOperate)
	case reader:
		return who.Can(identity.ScopeRead)
	case user:
		return who.Can(identity.ScopeOperate)
	}
	return true
}

// A route is one method on one path.
type route struct {
	method, path string
	role         role
	do           func(*Monasca, *request) (answer, error)
}

// routes are those of the specification's section 2.
var routes = []route{
	{"GET", "/{$}", anybody, (*Monasca).listVersions},
	{"GET", "/{version}", anybody, (*Monasca).showVersion},
	{"GET", "/healthcheck", anybody, (*Monasca).health}, // HEAD, too

	{"POST", "/v2.0/metrics", agent, (*Monasca).createMetrics},
	{"GET", "/v2.0/metrics", reader, (*Monasca).listMetrics},
	{"GET", "/v2.0/metrics/names", reader, (*Monasca).listNames},
	{"GET", "/v2.0/metrics/dimensions/names", reader, (*Monasca).listDimensionNames},
	{"GET", "/v2.0/metrics/dimensions/names/values", reader, (*Monasca).listDimensionValues},
	{"GET", "/v2.0/metrics/measurements", reader, (*Monasca).listMeasurements},
	{"GET", "/v2.0/metrics/statistics", reader, (*Monasca).listStatistics},

	{"POST", "/v2.0/alarm-definitions", user, (*Monasca).createDefinition},
	{"GET", "/v2.0/alarm-definitions", reader, (*Monasca).listDefinitions},
	{"GET", "/v2.0/alarm-definitions/{id}", reader, (*Monasca).showDefinition},
	{"PUT", "/v2.0/alarm-definitions/{id}", user, (*Monasca).putDefinition},
	{"PATCH", "/v2.0/alarm-definitions/{id}", user, (*Monasca).patchDefinition},
	{"DELETE", "/v2.0/alarm-definitions/{id}", user, (*Monasca).deleteDefinition},

	{"GET", "/v2.0/alarms", reader, (*Monasca).listAlarms},
	{"GET", "/v2.0/alarms/count", reader, (*Monasca).countAlarms},
	{"GET", "/v2.0/alarms/state-history", reader, (*Monasca).listHistory},
	{"GET", "/v2.0/alarms/{id}", reader, (*Monasca).showAlarm},
	{"PUT", "/v2.0/alarms/{id}", user, (*Monasca).putAlarm},
	{"PATCH", "/v2.0/alarms/{id}", user, (*Monasca).patchAlarm},
	{"DELETE", "/v2.0/alarms/{id}", user, (*Monasca).deleteAlarm},
	{"GET", "/v2.0/alarms/{id}/state-history", reader, (*Monasca).showHistory},

	{"POST", "/v2.0/notification-methods", user, (*Monasca).createMethod},
	{"GET", "/v2.0/notification-methods", reader, (*Monasca).listMethods},
	{"GET", "/v2.0/notification-methods/types", reader, (*Monasca).listMethodTypes},
	{"GET", "/v2.0/notification-methods/{id}", reader, (*Monasca).showMethod},
	{"PUT", "/v2.0/notification-methods/{id}", user, (*Monasca).putMethod},
	{"PATCH", "/v2.0/notification-methods/{id}", user, (*Monasca).patchMethod},
	{"DELETE", "/v2.0/notification-methods/{id}", user, (*Monasca).deleteMethod},
}
