// Package openstack runs machines as servers of Nova, with their ports and floating addresses in Neutron and their
// volumes in Cinder.
//
// A machine is one server. Nova knows neither tokens of requests nor names that are there once only, so the machine's
// first port stands in for both: it is made first, bears the machine's id and belongs to one server alone. A creation
// that was not answered is not repeated with it: the port is replaced, after which that creation can have no success
// any more. Tags and metadata say whose a server is, descriptions and tags whose the things of Neutron are.
package openstack

import (
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// Kind describes the driver.
func Kind() *driver.Kind {
	return &driver.Kind{
		Name:         "openstack",
		Help:         "Servers of an OpenStack cloud: Nova, Neutron, Glance and, for volumes, Cinder.",
		Account:      accountOptions,
		Options:      machineOptions,
		Guarantee:    driver.UniqueName,
		VisibleAfter: 0, // a server is in Nova's list from the answer to its creation on
		Limits:       driver.Limits{Concurrency: 16, Deadline: 5 * time.Minute},
		Actions: []driver.Action{
			driver.Stop, driver.Suspend, driver.Resume, driver.Reboot, driver.RebootHard, driver.Poweroff, driver.PoweroffHard,
			driver.Undeploy, driver.UndeployHard,
		},
		Resources: resourceKinds,
		Endpoint:  endpointOf,
		Reaches:   reaches,
		Verify:    verify,
		New:       open,
	}
}
