package alerting

import (
	"testing"

	"github.com/troupe-dev/troupe/internal/alarm"
)

// What the instances bear is known of an alarm of one average, and of no other.
func TestBorne(t *testing.T) {
	for expression, want := range map[string]string{"avg(cpu{role=app}, 10s) > 80": "cpu{role=app}", "max(cpu) > 80": "", "avg(cpu) > 80 and avg(mem) > 80": ""} {
		e, err := alarm.Parse(expression, alarm.Troupe)
		if err != nil {
			t.Fatal(err)
		}
		x := &alarm.Transition{}
		for _, p := range e.Parts {
			x.SubAlarms = append(x.SubAlarms, alarm.SubAlarm{Part: p, Values: []float64{90, 85}})
		}
		switch b := borne(x); {
		case b == nil && want != "", b != nil && (b.Of != want || b.Value != 85):
			t.Errorf("%s: %+v", expression, b)
		}
	}
}
