package control_test

import (
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/service"
)

// blames waits until explain says of the back end what it should.
func blames(t *testing.T, s *apitest.Stage, id uint64, words string) service.BackendExplanation {
	t.Helper()
	var found service.BackendExplanation
	var e service.Explanation
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-tick.C {
		var err error
		if e, err = s.Control.Explain(s.Root(), id); err != nil {
			t.Fatal(err)
		}
		for _, b := range e.Backends {
			if strings.Contains(b.Why, words) {
				found = b
			}
		}
		if found.Why != "" {
			break
		}
	}
	waits := strings.Join(e.Waits, "\n")
	if found.Name != "sim" || found.Since.IsZero() || found.Advice == "" || !strings.Contains(waits, "back end sim: ") || !strings.Contains(waits, ", since 20") {
		t.Fatalf("explain: %+v", e)
	}
	return found
}

// A back end that does not answer is named, and so is one where healing is halted.
func TestExplainNamesBackends(t *testing.T) {
	s := apitest.New(t)
	id, err := s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: simple("web", 20)})
	if err != nil {
		t.Fatal(err)
	}
	s.UntilRunning(id)
	if e, err := s.Control.Explain(s.Root(), id); err != nil || len(e.Backends) != 0 {
		t.Fatalf("of a well one: %+v, %v", e.Backends, err)
	}
	for _, m := range s.Cloud.Machines()[:15] {
		s.Cloud.Remove(m.ID)
	}
	if b := blames(t, s, id, "vanished at once"); !strings.Contains(b.Advice, "troupe driver accept sim") {
		t.Errorf("advice: %s", b.Advice)
	}
	s.Cloud.Outage(true)
	if _, err := s.Control.Order(t.Context(), s.Root(), id, service.Command{Scale: &service.Scale{Role: "a", Cardinality: 60}}); err != nil {
		t.Fatal(err)
	}
	blames(t, s, id, "it does not answer: ")
}
