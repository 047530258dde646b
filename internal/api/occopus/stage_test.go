package occopus_test

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/occopus"
	format "github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a control plane with the face at the root of a listener, as on Occopus' own port.
type stage struct {
	*apitest.Stage
	t    testing.TB
	user string // who sends requests
	url  string
}

// definitions are those that every stage knows.
const definitions = `
'node_def:web': [{resource: {type: sim}, health_check: {ping: false}}]
'node_def:slow': [{resource: {type: sim, boot_time: 1h}}]
'node_def:many': [{resource: {type: ec2, endpoint: x, regionname: x, image_id: x, instance_type: x}, health_check: {ping: false}}]
`

func newStage(t testing.TB, settings occopus.Settings) *stage {
	t.Helper()
	s := &stage{Stage: apitest.NewOn(t, sim.Options{}), t: t, user: "ann"}
	s.User("ann", "research")
	all, _, err := format.ParseDefinitions("definitions", []byte(definitions), format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	face := occopus.New(occopus.Options{Control: s.Control, Settings: settings, Surroundings: func(*identity.Caller) format.CompileOptions {
		return format.CompileOptions{Simulate: true, Definition: func(name string) (*format.Definition, error) {
			for n := range all {
				if all[n].Name == name {
					return &all[n], nil
				}
			}
			return nil, fmt.Errorf("no node definition %q", name)
		}}
	}})
	s.url = s.MountAlone(face.Face(""))
	return s
}

// send sends a request as the stage's user.
func (s *stage) send(method, path, body string) apitest.Reply {
	s.t.Helper()
	req := apitest.Request(s.t, method, s.url+path, body, "Content-Type", "application/x-www-form-urlencoded")
	if s.user != "" {
		req.SetBasicAuth(s.user, s.user+"-password")
	}
	return apitest.Do(s.t, nil, req)
}
