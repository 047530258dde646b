package alerting

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/journal"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

func someAlarms() []Alarm {
	series := func(name string, d ...string) *metric.Series {
		s := &metric.Series{Name: name}
		for i := 0; i < len(d); i += 2 {
			s.Dimensions = append(s.Dimensions, metric.Dimension{Name: d[i], Value: d[i+1]})
		}
		return s
	}
	return []Alarm{
		{Alarm: alarm.Alarm{ID: "1", State: alarm.StateOK, StateUpdated: 1000}, Definition: "d", Name: "cpu", Severity: "LOW", Metrics: []*metric.Series{series("cpu", "host", "a"), series("cpu", "host", "b")}},
		{Alarm: alarm.Alarm{ID: "2", State: alarm.StateAlarm, StateUpdated: 2000, Link: "l", LifecycleState: "OPEN"}, Definition: "d", Name: "cpu", Severity: "LOW", Metrics: []*metric.Series{series("cpu", "host", "b", "zone", "z")}},
		{Alarm: alarm.Alarm{ID: "3", State: alarm.StateUndetermined, StateUpdated: 3000}, Definition: "e", Name: "up", Severity: "HIGH", Metrics: []*metric.Series{series("up")}},
	}
}

func TestAlarmFilter(t *testing.T) {
	for _, tt := range []struct {
		filter AlarmFilter
		want   string
	}{
		{AlarmFilter{}, "123"},
		{AlarmFilter{MetricName: "cpu"}, "12"},
		{AlarmFilter{Dimensions: []telemetry.DimensionFilter{{Name: "host", Values: []string{"b", "c"}}}}, "12"},
		{AlarmFilter{Dimensions: []telemetry.DimensionFilter{{Name: "host", Values: []string{"a"}}, {Name: "zone"}}}, ""},
		{AlarmFilter{Dimensions: []telemetry.DimensionFilter{{Name: "zone"}}}, "2"},
		{AlarmFilter{States: []alarm.State{alarm.StateOK, alarm.StateAlarm}}, "12"},
		{AlarmFilter{Severities: []string{"HIGH"}}, "3"},
		{AlarmFilter{Link: "l"}, "2"},
		{AlarmFilter{LifecycleState: "OPEN"}, "2"},
		{AlarmFilter{LifecycleState: "SHUT"}, ""},
		{AlarmFilter{Since: time.UnixMilli(2000)}, "23"},
	} {
		got := ""
		for _, a := range someAlarms() {
			if tt.filter.Match(&a) {
				got += a.ID
			}
		}
		if got != tt.want {
			t.Errorf("%+v chooses %q, want %q", tt.filter, got, tt.want)
		}
	}
}

func TestCountAlarms(t *testing.T) {
	for by, want := range map[string]string{
		"":                              "3 ",
		"state":                         "1 ALARM;1 OK;1 UNDETERMINED",
		"alarm_definition_id,name":      "2 d/cpu;1 e/up",
		"severity,link,lifecycle_state": "1 HIGH//;1 LOW//;1 LOW/l/OPEN",
		"metric_name":                   "2 cpu;1 up",
		"dimension_name":                "2 host;1 zone",
		"dimension_value,metric_name":   "1 a/cpu;2 b/cpu;1 z/cpu",
	} {
		var fields, got []string
		if by != "" {
			fields = strings.Split(by, ",")
		}
		for _, x := range CountAlarms(someAlarms(), fields) {
			got = append(got, fmt.Sprint(x.Count, " ", strings.Join(x.Values, "/")))
		}
		if strings.Join(got, ";") != want {
			t.Errorf("by %s: %s, want %s", by, strings.Join(got, ";"), want)
		}
	}
}

// Pages one behind the other hold every change once and in order, whatever the limit and however many share a time.
func TestChronicle(t *testing.T) {
	trail, err := journal.Open(journal.Options[Entry]{Name: "alarms", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer trail.Close()
	ctx := context.Background()
	begin := time.UnixMilli(1_000_000).UTC()
	for i := range 600 {
		e := Entry{Time: begin.Add(time.Duration(i/3) * time.Millisecond), Tenant: 1 + i%2, Alarm: fmt.Sprint("a", i%5), Sequence: uint32(i)}
		if err := trail.Append(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	a := &Alerting{opts: Options{Journal: trail}}
	for _, limit := range []int{1, 2, 7, 100, 299, 300, 10000} {
		from, pages := begin, 0
		var all []uint32
		for {
			page, more, err := a.Chronicle(ctx, 1, HistoryQuery{From: from, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > limit+2 {
				t.Fatalf("a page of %d has %d", limit, len(page))
			}
			for _, e := range page {
				all = append(all, e.Sequence)
			}
			pages++
			if !more {
				break
			}
			from = page[len(page)-1].Time.Add(time.Millisecond)
		}
		if len(all) != 300 || !slices.IsSorted(all) {
			t.Errorf("limit %d: %d changes on %d pages", limit, len(all), pages)
		}
	}
	page, more, err := a.Chronicle(ctx, 2, HistoryQuery{Alarm: "a1", From: begin.Add(100 * time.Millisecond), To: begin.Add(200 * time.Millisecond), Limit: 100})
	if err != nil || more || len(page) != 30 || page[0].Alarm != "a1" || page[0].Tenant != 2 || page[0].Time.Before(begin.Add(100*time.Millisecond)) {
		t.Errorf("%d changes, more %v, %v", len(page), more, err)
	}
}
