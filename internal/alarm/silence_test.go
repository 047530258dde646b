package alarm

import (
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
)

// While a silence lasts, states change and actions wait; they are made up for at its end, or when it is ended early.
func TestSilenceHoldsBack(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(start + ms) }
	def := definition("last(m) > 5", "instance")
	def.Actions.Alarm = []Action{{Notify: "people"}}
	for what, s := range map[string]Silence{
		"all":       {},
		"service":   {Service: 7},
		"role":      {Service: 7, Role: "app"},
		"dimension": {Match: map[string]string{"instance": "1"}},
		"name":      {Name: "test", Match: map[string]string{"role": "app", "instance": "1"}},
	} {
		s.ID, s.Tenant, s.From, s.To, s.Reason = "s", 1, at(1000), at(60_000), "new disks"
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		b := newBench(t, def)
		b.m.Silence([]Silence{s}, start)
		b.add(ofInstance("m", 1), start+2000, 9, start+2000)
		first := b.told[0]
		if first.To != StateAlarm || first.Hold != Maintained || len(first.Runs) != 0 || !strings.Contains(first.Detail, "new disks") || b.only().Hold != Maintained {
			t.Errorf("%s: %+v", what, first)
		}
		b.told = nil
		if b.run(start + 59_999); len(b.told) != 0 {
			t.Errorf("%s: told %+v", what, b.told)
		}
		if b.run(start + 60_000); len(b.told) != 1 || b.told[0].Occasion != Released || len(b.told[0].Runs) != 1 {
			t.Errorf("%s: at the end %+v", what, b.told)
		}
	}
	early := newBench(t, def)
	early.m.Silence([]Silence{{Tenant: 1, From: at(0), To: at(60_000)}}, start)
	early.add(ofInstance("m", 1), start+2000, 9, start+2000)
	early.m.Silence(nil, start+3000)
	if early.run(start + 3000); len(early.told) != 2 || early.told[1].Occasion != Released {
		t.Errorf("ended early: %+v", early.told)
	}
}

func TestSilenceChooses(t *testing.T) {
	def := definition("last(m) > 5", "instance")
	def.Actions.Alarm = []Action{{Notify: "people"}}
	for what, s := range map[string]Silence{
		"tenant": {Tenant: 2}, "name": {Tenant: 1, Name: "other"}, "service": {Tenant: 1, Service: 8}, "role": {Tenant: 1, Service: 7, Role: "db"},
		"dimension": {Tenant: 1, Match: map[string]string{"instance": "2"}}, "over": {Tenant: 1, To: time.UnixMilli(start + 1)},
	} {
		s.From = time.UnixMilli(start)
		if s.To.IsZero() {
			s.To = time.UnixMilli(start + 60_000)
		}
		b := newBench(t, def)
		b.m.Silence([]Silence{s}, start)
		if b.add(ofInstance("m", 1), start+2000, 9, start+2000); len(b.told) != 1 || b.told[0].Hold != NotHeld {
			t.Errorf("%s: %+v", what, b.told)
		}
	}
	for what, s := range map[string]Silence{
		"no reason": {From: time.UnixMilli(1), To: time.UnixMilli(2)}, "no end": {From: time.UnixMilli(1), Reason: "x"}, "role alone": {From: time.UnixMilli(1), To: time.UnixMilli(2), Role: "app", Reason: "x"},
		"dimension": {From: time.UnixMilli(1), To: time.UnixMilli(2), Reason: "x", Match: metric.Dimensions{{Name: "", Value: "x"}}.Map()},
	} {
		if s.Validate() == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
