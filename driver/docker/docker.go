// Package docker runs machines as containers of Docker, or of Podman by its compatible socket.
//
// A machine is one container. Its name derives from the installation and the machine's id, and the daemon refuses a
// second one of that name, so that a creation which was not answered is found again. Labels say whose it is. What
// cannot be written on a container any more once it is made (a newer generation, that somebody stopped it) is noted as
// the name of an empty volume beside it. The daemon starts nothing again by itself: healing is Troupe's.
package docker

import (
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// Kind describes the driver.
func Kind() *driver.Kind {
	return &driver.Kind{
		Name:      "docker",
		Help:      "Containers of Docker, or of Podman by its compatible socket.",
		Account:   accountOptions,
		Options:   machineOptions,
		Guarantee: driver.UniqueName,
		Limits:    driver.Limits{Concurrency: 16, Deadline: 2 * time.Minute},
		Actions: []driver.Action{
			driver.Release, driver.Stop, driver.Suspend, driver.Resume, driver.Reboot, driver.RebootHard,
			driver.Poweroff, driver.PoweroffHard,
		},
		Resources: resourceKinds,
		Endpoint:  endpointOf,
		Verify:    verify,
		New:       open,
	}
}
