package occopus_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/api/occopus"
)

// FuzzBody sends any body to the routes that read one. The answer is JSON in one of the two shapes, and no fault of the server's.
func FuzzBody(f *testing.F) {
	for _, body := range []string{
		"", "{}", "infra_name: a\nuser_id: b\nnodes: [{name: a, type: web}]\n", `{"infra_name":"a","nodes":[{"name":"a","type":"web","scaling":{"min":9e99}}]}`,
		"infra_name: &a [*a]", "a: !yaml_import {url: x}", `{"type":"webhook","webhook":{"url":"http://127.0.0.1:1/"}}`, `{"type":"webhook","webhook":[]}`, `{"type":"fcm"}`, "\xff", "\ufeff{}", "\t- a",
		"infra_name: a\nnodes:\n- &A {name: a, type: web}\n- &B {name: b, type: many}\ndependencies: [[*A, *B], [*B, *A]]\n",
	} {
		f.Add(body)
	}
	s := newStage(f, occopus.Settings{})
	id := s.send("POST", "/infrastructures/", "infra_name: a\nuser_id: b\nnodes: [{name: a, type: web}]\n").Str("infraid")
	f.Fuzz(func(t *testing.T, body string) {
		s := &stage{Stage: s.Stage, t: t, user: s.user, url: s.url}
		for _, path := range []string{"/infrastructures/", "/infrastructures/" + id + "/notify"} {
			r := s.send("POST", path, body)
			if r.Status != 200 || !json.Valid([]byte(r.Text)) || strings.HasPrefix(r.Text, `{"infraid"`) == strings.HasPrefix(r.Text, `{"status_code"`) {
				t.Errorf("%s: %d %s", path, r.Status, r.Text)
			}
			if made := r.Str("infraid"); path == "/infrastructures/" && r.At("infraid") != nil {
				s.send("DELETE", path+made, "")
			}
		}
	})
}
