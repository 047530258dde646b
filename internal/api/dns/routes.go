package dns

import (
	"context"

	"github.com/troupe-dev/troupe/internal/identity"
)

// A route is one method on one path.
type route struct {
	method, path string
	do           func(*DNS, context.Context, *identity.Caller, *request) (any, error)
}

// routes are those of the specification's section 10.5.
var routes = []route{
	{"GET", "/{$}", (*DNS).available},

	{"POST", "/domains", (*DNS).createDomain},
	{"GET", "/domains", (*DNS).getDomain},
	{"PUT", "/domains", (*DNS).updateDomain},
	{"DELETE", "/domains", (*DNS).deleteDomain},

	{"POST", "/records", (*DNS).createRecord},
	{"GET", "/records", (*DNS).getRecord},
	{"PUT", "/records", (*DNS).updateRecord},
	{"DELETE", "/records", (*DNS).deleteRecord},

	{"POST", "/geodns", (*DNS).createMap},
	{"GET", "/geodns", (*DNS).getMap},
	{"PUT", "/geodns", (*DNS).appendMap},
	{"DELETE", "/geodns", (*DNS).deleteMap},
}
