package occopus

import (
	"github.com/troupe-dev/troupe/driver"
	format "github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/service"
)

// A nodeReport is what is told of a node that has instances.
type nodeReport struct {
	Instances map[string]instanceReport `json:"instances"` // by the id of the node, which is the instance's UUID
	Scaling   scaling                   `json:"scaling"`
}

type instanceReport struct {
	Address any    `json:"resource_address"` // text, null, or a list of texts, as the type of resource has it
	State   string `json:"state"`
}

type scaling struct {
	Actual int `json:"actual"`
	Target int `json:"target"`
	Min    int `json:"min"`
	Max    int `json:"max"`
}

// report tells which instances there are, and how many are wished.
func (f *Occopus) report(r *request) (any, error) {
	var out map[string]nodeReport
	err := f.view(r.who, r.PathValue("infra"), func(s *service.Service) { out = f.reportOf(s) })
	return out, err
}

func (f *Occopus) reportOf(s *service.Service) map[string]nodeReport {
	out := make(map[string]nodeReport, len(s.Roles))
	for _, r := range s.Roles {
		instances := make(map[string]instanceReport)
		for i := range r.Instances {
			if exists(i) {
				instances[f.Control.UUID(s.ID, i.Serial)] = instanceReport{addressOf(i), stateOf(i)}
			}
		}
		if len(instances) > 0 {
			out[r.Name] = nodeReport{instances, scaling{Actual: len(instances), Target: r.Cardinality, Min: r.Spec.MinOf(), Max: r.Spec.MaxOf()}}
		}
	}
	return out
}

// exists reports whether an instance is one to Occopus: from when its machine was made until it is given up.
func exists(i *service.Instance) bool {
	switch i.Phase {
	case service.Queued, service.Backoff, service.Replacing, service.Stopping:
		return false
	case service.Creating:
		return i.Native != ""
	}
	return true
}

// States of instances.
const (
	ready      = "ready"
	pending    = "pending"
	failedNow  = "failed"
	tempFailed = "temp_failed"
	shutdown   = "shutdown"
)

// stateOf is the state of an instance in Occopus' words.
func stateOf(i *service.Instance) string {
	switch i.Machine {
	case driver.Failed, driver.Gone:
		return failedNow
	case driver.Exited, driver.Stopped, driver.Undeployed:
		return shutdown
	case driver.Suspended:
		return tempFailed
	case driver.Running:
	default:
		return pending
	}
	switch {
	case i.Phase == service.Down, i.Phase == service.Resting, i.Healthy == service.Unhealthy:
		return failedNow
	case i.Phase == service.Up && i.Healthy != service.Ailing:
		return ready
	}
	return pending
}

// addressOf is what Occopus calls the address of a resource.
func addressOf(i *service.Instance) any {
	switch {
	case format.ListsAddresses(i.Implementation()):
		return append([]string{}, i.Addresses...)
	case len(i.Addresses) > 0:
		return i.Addresses[0]
	}
	return nil
}

// cost tells what the instances cost: what no driver knows counts as nothing.
func (f *Occopus) cost(r *request) (any, error) {
	out := map[string]any{"totalcost": 0}
	err := f.view(r.who, r.PathValue("infra"), func(s *service.Service) {
		for node, x := range f.reportOf(s) {
			costs := make(map[string]int, len(x.Instances))
			for id := range x.Instances {
				costs[id] = 0
			}
			out[node] = costs
		}
	})
	return out, err
}
