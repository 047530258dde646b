// Package all lists the drivers that Troupe is built with.
package all

import (
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/docker"
	"github.com/troupe-dev/troupe/driver/openstack"
	"github.com/troupe-dev/troupe/driver/process"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// Drivers is a list of kinds of driver.
type Drivers []*driver.Kind

// Kinds returns every driver, each anew. The simulated back ends of one result are not those of another,
// so a program calls it once.
func Kinds() Drivers { return Drivers{process.Kind(), docker.Kind(), openstack.Kind(), sim.Kind()} }

// Find returns the driver of that name. The error, of class driver.ErrInvalid, says which was meant.
func (d Drivers) Find(name string) (*driver.Kind, error) {
	names := make([]string, len(d))
	for i, k := range d {
		if k.Name == name {
			return k, nil
		}
		names[i] = k.Name
	}
	hint := nearest.Hint(name, names)
	if hint == "" {
		hint = "; there are " + strings.Join(names, ", ")
	}
	return nil, fmt.Errorf("%w: no driver %q%s", driver.ErrInvalid, name, hint)
}
