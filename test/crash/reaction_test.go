//go:build linux

package crash

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/client"
)

const (
	floodHosts = 24
	floodCalls = 4 // at the same time
	limit      = 80
)

// A flow is a series that is sent, and what the server has answered to.
type flow struct {
	name, host string
	last       float64 // that was answered
	unsure     bool    // the next one was not
	next       float64
	times      []int64 // of all that were answered, in ms
}

// A reactive is a scene with samples, alarms, webhooks and policies.
type reactive struct {
	*scene
	receiver *receiver
	loads    []*flow
	pressure *flow // whose alarm orders one more instance each time
	jobs     *flow // which a policy follows
	beat     *flow // which must not be found silent
}

func newReactive(t *testing.T) *reactive {
	r := &reactive{scene: newScene(t), receiver: newReceiver(t)}
	r.args = []string{"--notify-allow", "127.0.0.0/8", "--measure-every", "0s"}
	for n := range floodHosts {
		r.loads = append(r.loads, &flow{name: "load", host: strconv.Itoa(n)})
	}
	r.pressure, r.jobs, r.beat = &flow{name: "pressure", host: "a"}, &flow{name: "jobs", host: "a"}, &flow{name: "beat", host: "a"}
	return r
}

// send pushes a value. It reports whether it was answered; what was not may have come all the same.
func (r *reactive) send(f *flow, value float64) bool {
	now := time.Now()
	if n := len(f.times); n > 0 && now.UnixMilli() <= f.times[n-1] {
		now = time.UnixMilli(f.times[n-1] + 1)
	}
	f.next, f.unsure = value, true
	err := r.client.Metrics().Push(r.ctx, client.MetricSample{Name: f.name, Dimensions: map[string]string{"host": f.host}, Time: now, Value: value})
	var problem *client.Problem
	if errors.As(err, &problem) && problem.Status < 500 {
		r.t.Errorf("a sample of %s was refused: %v", f.name, err)
	}
	if err != nil {
		return false
	}
	f.last, f.unsure, f.times = value, false, append(f.times, now.UnixMilli())
	return true
}

func (r *reactive) prepare() {
	t, ctx := r.t, r.ctx
	t.Helper()
	name, kind, address, extra := "sink", "WEBHOOK", r.receiver.url, true
	if _, err := r.client.Notifications().Add(ctx, client.PutNotificationMethod{Name: &name, Type: &kind, Address: &address, Extra: &extra}); err != nil {
		t.Fatal(err)
	}
	var pool client.Service
	for name, policies := range map[string]string{"pool": "", "workers": ", policies: {queue: {queue: last(jobs), per_instance: 10, down: {stabilise: 1ms}}}"} {
		made, err := r.client.Services().Create(ctx, client.CreateService{Document: client.Document{Source: fmt.Sprintf(
			"name: %s\nroles:\n  app: {run: exec sleep 100000, count: {min: 1, max: 200}, stable_after: 1ms%s}\n", name, policies)}})
		if err != nil {
			t.Fatal(err)
		}
		if name == "pool" {
			pool = made
		}
	}
	tell := []client.AlarmAction{{Notify: "sink"}}
	order := client.AlarmAction{Scale: &client.AlarmScale{Service: pool.ID, Role: "app", By: "+1"}}
	for _, rule := range []client.AlarmRule{
		{Name: "load", Expression: fmt.Sprint("last(load) > ", limit), Actions: client.AlarmActions{Alarm: tell, OK: tell, Undetermined: tell}},
		{Name: "pressure", Expression: fmt.Sprint("last(pressure) > ", limit), Actions: client.AlarmActions{Alarm: append(slices.Clone(tell), order), OK: tell, Undetermined: tell}},
		{Name: "beat", Expression: "absent(beat, 60s)", Actions: client.AlarmActions{Alarm: tell}},
	} {
		rule.MatchBy, rule.Silence = []string{"host"}, client.Duration(time.Hour)
		if rule.Name == "beat" {
			rule.Silence = 0
		}
		if _, err := r.client.Alarms().Define(ctx, rule); err != nil {
			t.Fatal(err)
		}
	}
}

// flood sends values that cross the thresholds until the server dies. After a while it kills it.
func (r *reactive) flood(length time.Duration) {
	var wait sync.WaitGroup
	for n := range floodCalls {
		seed := r.rng.Uint64()
		wait.Go(func() {
			for i := n; ; i += floodCalls {
				seed = seed*6364136223846793005 + 1442695040888963407
				if !r.send(r.loads[i%floodHosts], []float64{20, 95}[seed>>63]) {
					return
				}
			}
		})
	}
	wait.Go(func() {
		for r.send(r.beat, 1) {
		}
	})
	jobs := float64(1 + r.rng.IntN(40))
	wait.Go(func() {
		for n := 0; n < 4 && r.send(r.pressure, []float64{95, 20}[n%2]) && r.send(r.jobs, jobs); n++ {
		}
	})
	<-time.After(length)
	r.kill()
	wait.Wait()
}

// settle waits until all is as it was answered, after a restart and before anything new is sent.
func (r *reactive) settle() (alarms map[string]client.Alarm) {
	r.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		var wrong string
		if alarms, wrong = r.look(); wrong == "" {
			return alarms
		}
		if time.Since(began) > 40*time.Second { // so that the beat has not fallen silent
			r.t.Fatalf("not settled after %s: %s\n%s", time.Since(began), wrong, r.log())
		}
	}
}

// look compares alarms, events, deliveries and roles with what was answered.
func (r *reactive) look() (alarms map[string]client.Alarm, wrong string) {
	alarms = make(map[string]client.Alarm)
	for a, err := range r.client.Alarms().List(r.ctx, client.AlarmFilter{}) {
		if err != nil {
			return nil, err.Error()
		}
		alarms[a.Name+" "+a.Match["host"]] = a
	}
	events, _ := r.receiver.events()
	for _, f := range append(slices.Clone(r.loads), r.pressure) {
		a, known := alarms[f.name+" "+f.host]
		if !known && (len(f.times) == 0 || f.unsure) {
			continue
		}
		state := func(v float64) string { return map[bool]string{true: "ALARM", false: "OK"}[v > limit] }
		if a.State != state(f.last) && (!f.unsure || a.State != state(f.next)) {
			return nil, fmt.Sprintf("%s of %s is %q, the last value was %v", f.name, f.host, a.State, f.last)
		}
		if wrong := gap(events[a.ID], a.Sequence); wrong != "" {
			return nil, fmt.Sprintf("%s of %s: %s", f.name, f.host, wrong)
		}
	}
	if a := alarms["beat "+r.beat.host]; a.State == "ALARM" || len(events[a.ID]) > 0 {
		r.t.Fatalf("a series fell silent while no server ran: %+v", a)
	}
	for d, err := range r.client.Notifications().Deliveries(r.ctx, "") {
		return nil, fmt.Sprintf("a delivery waits: %+v %v", d, err)
	}
	ordered := 1
	for _, e := range events[alarms["pressure "+r.pressure.host].ID] {
		if e.State == "ALARM" {
			ordered++
		}
	}
	want := map[string][]int{"pool": {ordered}, "workers": {int(r.jobs.last+9) / 10}}
	if r.jobs.unsure {
		want["workers"] = append(want["workers"], int(r.jobs.next+9)/10)
	}
	for name, counts := range want {
		one, err := r.client.Services().Get(r.ctx, name)
		if err != nil {
			return nil, err.Error()
		}
		if n := one.Roles[0].Cardinality; !slices.Contains(counts, n) && len(r.jobs.times) > 0 {
			return nil, fmt.Sprintf("%s wishes %d, want one of %v", name, n, counts)
		}
	}
	return alarms, ""
}

// remembered checks that history has all samples that were answered.
func (r *reactive) remembered() (n int) {
	r.t.Helper()
	for _, f := range append(slices.Clone(r.loads), r.pressure, r.jobs, r.beat) {
		result, err := r.client.Metrics().Query(r.ctx, fmt.Sprintf("%s{host=%q}[1h]", f.name, f.host), time.Now().Add(time.Minute))
		if err != nil {
			r.t.Fatal(err)
		}
		have := make(map[int64]bool)
		for _, s := range result.Series {
			for _, p := range s.Points {
				have[p.Time.UnixMilli()] = true
			}
		}
		for _, at := range f.times {
			if n++; !have[at] {
				r.t.Errorf("history has lost the sample of %s of %s at %d", f.name, f.host, at)
			}
		}
	}
	return n
}

// again kills and starts a server that has nothing to do: nothing may change, and nobody may be told anything.
func (r *reactive) again(before map[string]client.Alarm) {
	r.t.Helper()
	told := changes(r.receiver.events())
	r.kill()
	r.start("")
	for _, f := range append(slices.Clone(r.loads), r.pressure, r.jobs, r.beat) {
		if !r.send(f, f.last) {
			r.t.Fatal("a server that runs does not answer")
		}
	}
	// What a restart would set off is under way before this one.
	probe := r.loads[0]
	r.send(probe, map[bool]float64{true: 20, false: 95}[probe.last > limit])
	after := r.settle()
	// One that had just arrived may be told again, as the same event: the receiver sees to that.
	if now := changes(r.receiver.events()); now != told+1 {
		r.t.Errorf("a restart told of %d changes", now-told-1)
	}
	for name, a := range before {
		want := a.Sequence
		if name == probe.name+" "+probe.host {
			want++
		}
		if b := after[name]; b.ID != a.ID || b.Sequence != want {
			r.t.Errorf("a restart changed the alarm %s from %s, change %d, to %s, change %d", name, a.State, a.Sequence, b.State, b.Sequence)
		}
	}
}

// TestCrashOfReactions kills servers in floods of samples that set off alarms, webhooks, orders and policies, a few rounds, or as many as
// TROUPE_CRASH_ROUNDS says.
func TestCrashOfReactions(t *testing.T) {
	rounds, _ := long(2)
	r := newReactive(t)
	r.start("")
	r.prepare()
	for round := range rounds {
		r.receiver.setDown(round%2 == 1) // what happens meanwhile must wait through the crash
		r.flood(time.Duration(100+r.rng.IntN(1400)) * time.Millisecond)
		r.start("")
		r.receiver.setDown(false)
		alarms := r.settle()
		r.again(alarms)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	samples := r.remembered()
	_, taken := r.receiver.events()
	t.Logf("%d rounds: %d samples answered, %d changes of alarms told, in %d webhooks", rounds, samples, changes(r.receiver.events()), taken)
}
