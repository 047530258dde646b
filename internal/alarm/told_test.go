package alarm

import (
	"strings"
	"testing"
	"time"
)

// Repetitions are counted, across a restart too, and begin anew with the state.
func TestRepetitionsAreCounted(t *testing.T) {
	def := definition("last(m) > 5")
	def.Actions.Alarm = []Action{{Notify: "people", Every: 10 * time.Second}}
	b := newBench(t, def)
	s := host("m", "a")
	b.add(s, start, 9, start)
	b.run(start + 20_000)
	records, _ := b.m.Changes()
	m, err := Load(def, records, start+21_000)
	if err != nil {
		t.Fatal(err)
	}
	m.Ready(start+21_000, start+21_000)
	b.m, b.feeds = m, map[string]*Feed{}
	b.run(start + 30_000)
	b.add(s, start+31_000, 1, start+31_000)
	b.add(s, start+32_000, 9, start+32_000)
	b.run(start + 42_000)
	var got []int
	for _, x := range b.told {
		if x.To == StateAlarm {
			got = append(got, x.Repeat)
		}
	}
	if len(got) != 6 || got[0] != 0 || got[1] != 1 || got[2] != 2 || got[3] != 3 || got[4] != 0 || got[5] != 1 {
		t.Errorf("repetitions %v", got)
	}
}

// A test without an alarm looks like a change of an alarm to receivers: it has an id, and another state before.
func TestTestLooksLikeAChange(t *testing.T) {
	m, err := New(definition("last(m) > 5"))
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []State{StateOK, StateAlarm, StateUndetermined} {
		x, err := m.Test("", to, start)
		if err != nil || len(x.Alarm) != 36 || !strings.HasPrefix(x.Alarm, m.IDPrefix()) || x.From == to || x.To != to {
			t.Errorf("%v: %+v, %v", to, x, err)
		}
		if _, known := m.Alarm(x.Alarm); known {
			t.Error("there is such an alarm")
		}
	}
}

func TestPeriodOfZero(t *testing.T) {
	_, err := Parse("max(m, 0) > 5", Troupe)
	if err == nil || !strings.Contains(err.Error(), "the period is 0; write at least 1s, or leave it out for 60 seconds") {
		t.Error(err)
	}
}
