package native_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/service"
)

func TestInstancesArePaged(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.up(s.Client, "name: many\nroles: {a: {count: 23, machine: {driver: sim}}, b: {machine: {driver: sim}}}")
	for _, limit := range []int{1, 7, 23, 100} {
		last, n := uint32(0), 0
		for i, err := range s.Services().Instances(ctx, "many", client.InstanceFilter{Role: "a", Phase: "up", Limit: limit}) {
			if err != nil {
				t.Fatal(err)
			}
			if i.Serial <= last || i.Role != "a" || i.State != "running" || i.Driver != "sim" {
				t.Fatalf("instance %+v after %d", i, last)
			}
			last = i.Serial
			n++
		}
		if n != 23 {
			t.Errorf("limit %d: %d instances, want 23", limit, n)
		}
	}
	for path, status := range map[string]int{
		"?role=c": 404, "?phase=upp": 400, "?limit=0": 422, "?limit=1001": 422, "?limit=x": 422, "?cursor=%21": 400, "?cursor=YWJj": 400, "?rol=a": 422,
		"/1": 200, "/99": 404, "/0": 404, "/x": 422, "/-1": 422, "/99999999999": 422,
	} {
		if r := s.send("GET", "/v1/services/many/instances"+path, nil); r.status != status {
			t.Errorf("%s: %d, want %d: %s", path, r.status, status, r.body)
		}
	}
	i, err := s.Services().Instance(ctx, "many", 3)
	if err != nil || i.Name == "" || i.Machine != fmt.Sprintf("1-%d-1", 3) || i.Health != "unchecked" {
		t.Errorf("%+v, %v", i, err)
	}
}

func TestReport(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	made, err := s.Services().Create(ctx, client.CreateService{Document: source("name: gated\nroles: {a: {ready_gate: true, machine: {driver: sim}}}")})
	if err != nil {
		t.Skip(err) // the key of the gate is the format's business
	}
	s.Until(made.ID, "waiting for READY", func(svc *service.Service) bool { return svc.Role("a").Count(service.Starting) == 1 })
	if err := s.Services().Report(ctx, "gated", 1, map[string]string{"READY": "YES", "ROLE": "first"}); err != nil {
		t.Fatal(err)
	}
	s.settled("gated")
	i, err := s.Services().Instance(ctx, "gated", 1)
	if err != nil || !i.Ready || i.Attributes["ROLE"] != "first" {
		t.Errorf("%+v, %v", i, err)
	}
	if err := s.Services().Report(ctx, "gated", 9, map[string]string{"READY": "YES"}); !client.IsNotFound(err) {
		t.Errorf("of no instance: %v", err)
	}
	for body, status := range map[string]int{`{"": "x"}`: 400, `{"READY": 1}`: 422, `[]`: 422, `{`: 400, ``: 400} {
		if r := s.send("PUT", "/v1/services/gated/instances/1/attributes", body); r.status != status {
			t.Errorf("%s: %d, want %d", body, r.status, status)
		}
	}
}

func TestLogsAndExec(t *testing.T) {
	s := newStageOn(t, sim.Options{})
	ctx := t.Context()
	s.up(s.Client, web)
	out, err := s.Services().Logs(ctx, "web", 1, client.LogOptions{Tail: 10})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(out)
	out.Close()
	if err != nil || len(text) == 0 {
		t.Errorf("log %q, %v", text, err)
	}
	// A log that is followed ends when its reader has enough.
	out, err = s.Services().Logs(ctx, "web", 1, client.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	out.Close()
	if _, err := s.Services().Logs(ctx, "web", 99, client.LogOptions{}); !client.IsNotFound(err) {
		t.Errorf("of no instance: %v", err)
	}

	var stdout, stderr bytes.Buffer
	exit, err := s.Services().Exec(ctx, "web", 1, client.Exec{Command: []string{"true"}, Stdout: &stdout, Stderr: &stderr})
	if err != nil || exit != 0 {
		t.Errorf("exit %d, %v", exit, err)
	}
	s.Cloud.SetHealth(service.MachineID(1, 1, 1), false)
	if exit, err = s.Services().Exec(ctx, "web", 1, client.Exec{Command: []string{"false"}}); err != nil || exit != 1 {
		t.Errorf("exit %d, %v", exit, err)
	}
	if _, err := s.Services().Exec(ctx, "web", 99, client.Exec{Command: []string{"true"}}); !client.IsNotFound(err) {
		t.Errorf("of no instance: %v", err)
	}
	for body, status := range map[string]int{`{}`: 422, `{"command":[]}`: 422, `{"command":"ls"}`: 422, `{"command":["ls"],"tty":true}`: 422, `{"command":["ls"],"stdin":"%"}`: 422} {
		if r := s.send("POST", "/v1/services/web/instances/1/exec", body); r.status != status {
			t.Errorf("%s: %d, want %d: %s", body, r.status, status, r.body)
		}
	}
}
