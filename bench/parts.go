package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
)

// parts measures the evaluator with a million parts live: what it keeps, and what it needs meanwhile.
func parts() error {
	const count = 1_000_000
	all := make([]*metric.Series, count)
	for i := range all {
		all[i] = &metric.Series{ID: uint32(i), Tenant: 1, Name: "cpu.user_perc", Dimensions: metric.Dimensions{{Name: "hostname", Value: fmt.Sprintf("host-%07d", i)}}}
	}
	before := heap()
	m, err := alarm.New(alarm.Definition{ID: "d1", Tenant: 1, Name: "busy", Expression: "avg(cpu.user_perc, 20) > 80", MatchBy: []string{"hostname"}, Severity: "LOW", ActionsEnabled: true})
	if err != nil {
		return err
	}
	feeds := make([]*alarm.Feed, count)
	for i, s := range all {
		feeds[i] = m.Join(s)
	}
	const slices, rounds = 20, 6 // of a window of 20 s, so that each sample is in a window of its own and all are decided
	at := time.Now()
	became := make(map[string]int) // alarms, by the state they have entered
	began := time.Now()
	for second := range rounds * slices {
		now, value := at.Add(time.Duration(second)*time.Second).UnixMilli(), 20.0
		if second >= rounds/2*slices {
			value = 95
		}
		for i := second % slices; i < count; i += slices {
			feeds[i].Add(now, value, now)
		}
		for wake, some := m.Wake(); some && wake <= now; wake, some = m.Wake() {
			for _, t := range m.Decide(now) {
				became[t.To.String()]++
			}
			for more := true; more; {
				_, more = m.Changes()
			}
		}
	}
	took := time.Since(began)
	most := status("VmHWM")
	kept := heap() - before
	debug.FreeOSMemory()
	if m.Len() != count || became["OK"] != count || became["ALARM"] != count {
		return fmt.Errorf("%d alarms, of which %v entered a state; all must have been OK, and then ALARM", m.Len(), became)
	}
	figure("kept for a series and part", float64(kept)/count, 1024, "bytes", false)
	figure("kept for 1,000,000 parts", float64(kept)/1e9, 1.2, "GB", false)
	note("resident afterwards, the series included", fmt.Sprintf("%.3g", status("VmRSS")/1e9), "GB")
	note("resident at most, while all changed twice within 20 s", fmt.Sprintf("%.3g", most/1e9), "GB")
	note("samples, two in six of which change a state", fmt.Sprintf("%.3g", rounds*count/took.Seconds()), "samples/s")
	runtime.KeepAlive(feeds)
	runtime.KeepAlive(all)
	return nil
}
