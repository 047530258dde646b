package oneflow_test

import (
	"io"
	"net/http"
	"strings"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/api/oneflow"
	"github.com/troupe-dev/troupe/internal/api/onegate"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
)

// openGate serves OneGate beside OneFlow, at a URL of its own.
func (s *stage) openGate() (url string) {
	flow := oneflow.New(oneflow.Options{Control: s.Control, Settings: format.DefaultSettings()})
	s.t.Cleanup(flow.Stop)
	return s.serve(onegate.New(onegate.Options{Control: s.Control, OneFlow: flow}).Face(""))
}

// ask sends a request of a machine, "" for nobody, to OneGate.
func (s *stage) ask(gate string, id driver.MachineID, method, path, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, gate+path, strings.NewReader(body))
	check(s.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		req.Header.Set("X-ONEGATE-TOKEN", s.Control.InstanceToken(id))
		req.Header.Set("X-ONEGATE-VMID", s.Control.InstanceVM(id))
	}
	resp, err := http.DefaultClient.Do(req)
	check(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(s.t, err)
	return resp.StatusCode, string(text)
}
