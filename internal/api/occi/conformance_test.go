package occi_test

import (
	"testing"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/occi/occitest"
)

func TestConformance(t *testing.T) {
	for _, prefix := range []string{"", "/occi"} {
		t.Run("at "+prefix+"/", func(t *testing.T) {
			s := newStage(t, prefix, sim.Options{})
			occitest.Run(t, occitest.Harness{URL: s.url, Authorize: as("ann"), Stranger: as("ben"), Settle: s.settle})
		})
	}
}
