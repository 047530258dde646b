package orchestrators

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/orchestrator"
	"github.com/troupe-dev/troupe/orchestrator/declared"
)

// period is that of the alarm, in seconds. It is undetermined once two periods are over without a sample.
const period = 1

// silence is the longest time from the last sample until the alarm is undetermined: the rest of the sample's period, and two more.
const silence = 3 * period * time.Second

// TestReactive plays the whole loop with real parts, once with the program and once with the declaration: a machine whose
// agent is killed goes silent, its alarm calls the orchestrator, and this has another machine made on the same port.
func TestReactive(t *testing.T) {
	s := newStage(t)
	agent := build(t, "../../cmd/troupe-agent")
	t.Run("program", func(t *testing.T) {
		s := s.of(t)
		s.start(build(t, "./runtime"))
		s.reacts(agent)
	})
	t.Run("declared", func(t *testing.T) {
		s := s.of(t)
		d, err := declared.OpenFile("declared/orchestrator.yaml")
		if err != nil {
			t.Fatal(err)
		}
		h, err := orchestrator.NewHandler(t.Context(), d.New, orchestrator.Options{State: filepath.Join(t.TempDir(), "state.json")})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(h)
		t.Cleanup(h.Close)
		t.Cleanup(server.Close)
		s.url = server.URL
		s.reacts(agent)
	})
}

// of is the stage for a subtest.
func (s *stage) of(t *testing.T) *stage {
	next := *s
	next.T = t
	return &next
}

// reacts goes through the list of reactive services.
func (s *stage) reacts(agent string) {
	s.want(201, "PUT", "orchestrator", `occi.mcn.app.url="`+s.url+path+`"`, fmt.Sprintf("runtime.period=%d, runtime.interval=1", period), "runtime.agent="+agent)
	s.want(200, "POST", "deploy")
	s.complete(orchestrator.CreateComplete)
	alarms := s.monasca("alarm-definitions")
	if len(alarms) != 1 {
		s.Fatal("alarms: ", alarms)
	}
	name := orchestrator.AttrAlarm + "=" + alarms[0]["name"].(string)
	step := func(id string, f func(s *stage)) {
		s.T.Run(id, func(t *testing.T) { f(s.of(t)) })
	}
	step("R3", func(s *stage) { s.want(400, "POST", "notify", name) })
	s.want(200, "POST", "provision")
	s.complete(orchestrator.UpdateComplete)
	before := s.resources()
	step("R4", func(s *stage) {
		s.want(200, "POST", "notify", orchestrator.AttrAlarm+"=nobody")
		if now := s.resources(); strings.Join(now, " ") != strings.Join(before, " ") {
			s.Errorf("resources %v became %v", before, now)
		}
	})
	step("R5", func(s *stage) { s.want(400, "POST", "notify") })
	step("R1", func(s *stage) {
		s.want(200, "POST", "notify", name)
		s.want(200, "POST", "notify", name) // it is told twice
		if got, want := strings.Join(s.resources(), " "), strings.Replace(strings.Join(before, " "), "rcb_si", "rcb_si_1", 1); got != want {
			s.Errorf("resources %s, not %s", got, want)
		}
		s.complete(orchestrator.UpdateComplete)
	})
	step("R6", func(s *stage) { s.killed("rcb_si_1", "rcb_si") })
	step("R2", func(s *stage) {
		if now := s.resources(); strings.Join(now, " ") != strings.Join(before, " ") {
			s.Errorf("resources %v, not %v", now, before)
		}
		s.killed("rcb_si", "rcb_si_1")
	})
	step("R7", func(s *stage) {
		s.want(200, "DELETE", "")
		s.want(404, "GET", "")
		for _, collection := range []string{"alarm-definitions", "notification-methods", "alarms"} {
			if left := s.monasca(collection); len(left) > 0 {
				s.Errorf("left of %s: %v", collection, left)
			}
		}
		s.until("no machine is left", func() bool { _, machines := s.machines(); return len(machines) == 0 })
		if left := s.credentials(); left > 0 {
			s.Errorf("%d users of agents are left", left)
		}
	})
}

// killed kills the agent of the machine, and wants another one on the same port in time.
func (s *stage) killed(role, next string) {
	s.Helper()
	var service string
	var victim client.Instance
	s.until("the machine is "+role, func() bool {
		at, machines := s.machines()
		if len(machines) != 1 || machines[0].Role != role {
			return false
		}
		service, victim = at, machines[0]
		return true
	})
	s.until("its agent reports", func() bool {
		alarms := s.monasca("alarms")
		return len(alarms) == 1 && alarms[0]["state"] == "OK"
	})
	address := s.attribute("rcb.address")
	if exit, err := s.client.Services().Exec(s.Context(), service, victim.Serial, client.Exec{Command: []string{"sh", "-c", "kill -9 $(cat agent.pid)"}}); err != nil || exit != 0 {
		s.Fatal(exit, err)
	}
	killed := time.Now()
	var now client.Instance
	s.until("another machine is up", func() bool {
		_, machines := s.machines()
		for _, m := range machines {
			if m.Role == next {
				now = m
			}
		}
		return now.Role != ""
	})
	up := time.Now()
	last, turned := s.lastSample(killed), s.turned()
	took := now.Since.Sub(last)
	s.Logf("last sample %v before the kill; alarm %v after the sample; replacement running %v after the alarm, %v after the sample (seen %v after the kill)",
		killed.Sub(last), turned.Sub(last), now.Since.Sub(turned), took, up.Sub(killed))
	if took > silence+5*time.Second {
		s.Errorf("the replacement runs %v after the last sample", took)
	}
	if seen := s.complete(orchestrator.UpdateComplete); len(seen) > 2 {
		s.Errorf("states %v", seen)
	}
	if len(now.Addresses) == 0 || now.Addresses[0] != address || s.attribute("rcb.address") != address {
		s.Errorf("the address was %s, the new machine has %v, the service shows %s", address, now.Addresses, s.attribute("rcb.address"))
	}
}
