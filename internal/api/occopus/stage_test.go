package occopus_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/occopus"
	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/occopus"
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
'node_def:vault': [{resource: {type: azure_vm, endpoint: x, resource_group: x, location: x, vm_size: x, publisher: x, offer: x, sku: x, version: x, username: x, password: hush}}]
`

func newStage(t testing.TB, settings occopus.Settings) *stage {
	return newStageOn(t, sim.Options{}, settings)
}

// newStageOn has a back end that behaves as cloud says.
func newStageOn(t testing.TB, cloud sim.Options, settings occopus.Settings) *stage {
	t.Helper()
	s := &stage{Stage: apitest.NewOn(t, cloud), t: t, user: "ann"}
	s.User("ann", "research")
	all, _, err := format.ParseDefinitions("definitions", []byte(definitions), format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range all {
		document, err := format.EncodeDefinition(&all[n])
		if err != nil {
			t.Fatal(err)
		}
		d := control.Definition{Name: all[n].Name, Permissions: 0o644, Machine: all[n].Machine(), Format: format.Format, Document: document}
		if _, err := s.Control.ReplaceMachine(t.Context(), s.Root(), d); err != nil {
			t.Fatal(err)
		}
	}
	settings.Simulate = true
	face := occopus.New(occopus.Options{Control: s.Control, Settings: settings})
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
