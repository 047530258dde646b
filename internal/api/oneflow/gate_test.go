package oneflow_test

import (
	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/oneflow"
	"github.com/troupe-dev/troupe/internal/api/onegate"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
)

// openGate serves OneGate beside OneFlow, at a URL of its own.
func (s *stage) openGate() (url string) {
	flow := oneflow.New(oneflow.Options{Control: s.Control, Settings: format.DefaultSettings()})
	s.t.Cleanup(flow.Stop)
	return s.MountAlone(onegate.New(onegate.Options{Control: s.Control, OneFlow: flow}).Face(""))
}

// ask sends a request of a machine, "" for nobody, to OneGate.
func (s *stage) ask(gate string, id driver.MachineID, method, path, body string) (int, string) {
	s.t.Helper()
	req := apitest.Request(s.t, method, gate+path, body, "Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		req.Header.Set("X-ONEGATE-TOKEN", s.Control.InstanceToken(id))
		req.Header.Set("X-ONEGATE-VMID", s.Control.InstanceVM(id))
	}
	r := apitest.Do(s.t, nil, req)
	return r.Status, r.Text
}
