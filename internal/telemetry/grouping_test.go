package telemetry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestRows(t *testing.T) {
	h := openTest(t, t.TempDir())
	in := NewIntake(Options{History: h, Log: quiet})
	for i := range 4 {
		at := noon.Add(time.Duration(i) * 30 * time.Second)
		for _, host := range []string{"a", "b"} {
			for _, disk := range []string{"x", "y"} {
				sendMonasca(t, in, 1, at, "used", fmt.Sprintf(`{"host":%q,"disk":%q,"zone":"z"}`, host, disk), float64(10*i)+float64(host[0]-'a'), `{"n":"`+disk+`"}`)
			}
		}
		sendMonasca(t, in, 1, at, "alone", `{}`, float64(i), "null")
	}
	ctx := context.Background()
	print := func(r Row) string {
		return fmt.Sprintf("%d%s @%s %g %s", r.Number, r.Dimensions, time.UnixMilli(r.Time).UTC().Format("15:04:05"), r.Value, r.Meta["n"])
	}
	ask := func(change func(*Query)) string {
		q := Query{Tenant: 1, Filter: Filter{Name: "used"}, From: noon, To: noon.Add(31 * time.Second)}
		change(&q)
		return lines(t, h.Rows(ctx, q), print)
	}
	for what, tt := range map[string]struct {
		change func(*Query)
		want   string
	}{
		"one": {func(q *Query) { q.Filter.Name = "alone" }, "0 @12:00:00 0 \n0 @12:00:30 1 \n"},
		"chosen": {func(q *Query) {
			q.Filter.Dimensions = []DimensionFilter{{Name: "host", Values: []string{"a"}}, {Name: "disk", Values: []string{"y"}}}
		}, "0{disk=y, host=a, zone=z} @12:00:00 0 y\n0{disk=y, host=a, zone=z} @12:00:30 10 y\n"},
		"each, behind a row": {func(q *Query) { q.Each, q.After = true, Place{2, noon.UnixMilli(), true} },
			"2{disk=y, host=a, zone=z} @12:00:30 10 y\n3{disk=y, host=b, zone=z} @12:00:00 1 y\n3{disk=y, host=b, zone=z} @12:00:30 11 y\n"},
		"by host, behind a row": {func(q *Query) { q.GroupBy, q.After = []string{"host"}, Place{0, noon.UnixMilli(), true} },
			"0{host=a} @12:00:30 10 x\n0{host=a} @12:00:30 10 y\n1{host=b} @12:00:00 1 x\n1{host=b} @12:00:00 1 y\n1{host=b} @12:00:30 11 x\n1{host=b} @12:00:30 11 y\n"},
		"merged": {func(q *Query) { q.Merge, q.To = true, noon.Add(time.Second) },
			"0{zone=z} @12:00:00 0 x\n0{zone=z} @12:00:00 1 x\n0{zone=z} @12:00:00 0 y\n0{zone=z} @12:00:00 1 y\n"},
		"by what none has": {func(q *Query) { q.GroupBy, q.To = []string{"rack"}, noon.Add(time.Second) },
			"0 @12:00:00 0 x\n0 @12:00:00 1 x\n0 @12:00:00 0 y\n0 @12:00:00 1 y\n"},
		"none": {func(q *Query) { q.Filter.Name = "absent" }, ""},
	} {
		if got := ask(tt.change); got != tt.want {
			t.Errorf("%s: got\n%swant\n%s", what, got, tt.want)
		}
	}
	for _, err := range h.Rows(ctx, Query{Tenant: 1, Filter: Filter{Name: "used"}, From: noon, To: End}) {
		if !errors.Is(err, ErrManySeries) {
			t.Errorf("four series at once: %v", err)
		}
	}
	summaries := func(after Place) string {
		return lines(t, h.Summaries(ctx, Query{Tenant: 1, Filter: Filter{Name: "used"}, From: noon, To: End, GroupBy: []string{"host"}, After: after}, time.Minute), func(s Summary) string {
			return fmt.Sprintf("%d%s @%s %d %g %g %g", s.Number, s.Dimensions, time.UnixMilli(s.Start).UTC().Format("15:04:05"), s.Count, s.Min, s.Avg(), s.Max)
		})
	}
	if got, want := summaries(Place{}), "0{host=a} @12:00:00 4 0 5 10\n0{host=a} @12:01:00 4 20 25 30\n1{host=b} @12:00:00 4 1 6 11\n1{host=b} @12:01:00 4 21 26 31\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got, want := summaries(Place{0, noon.Add(time.Minute).UnixMilli(), true}), "1{host=b} @12:00:00 4 1 6 11\n1{host=b} @12:01:00 4 21 26 31\n"; got != want {
		t.Errorf("behind a period: got\n%swant\n%s", got, want)
	}
}
