package alerting

import (
	"context"
	"fmt"
	"iter"
	"math"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/policy"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// points are a Past of their own.
type points []metric.Point

func (all points) Replay(_ context.Context, _ int, _ telemetry.Filter, from, to time.Time) iter.Seq2[metric.Point, error] {
	return func(yield func(metric.Point, error) bool) {
		for _, p := range all {
			if t := time.UnixMilli(p.Time); !t.Before(from) && t.Before(to) && !yield(p, nil) {
				return
			}
		}
	}
}

// What past days needed is the reading times the instances that bore it, whatever its function.
func TestLoadAt(t *testing.T) {
	at := time.Date(2030, 1, 5, 9, 0, 0, 0, time.UTC)
	var all points
	series := map[string]*metric.Series{}
	for minute := -20; minute < 20; minute++ {
		for serial := 1; serial <= 3; serial++ {
			if serial == 3 && minute >= 0 { // it went: half of the ten minutes
				continue
			}
			key := fmt.Sprint(serial)
			if series[key] == nil {
				series[key] = &metric.Series{Name: "m", Dimensions: metric.NewDimensions(map[string]string{"service": "7", "role": "app", "instance": key})}
			}
			value := float64(10*serial + 60*(minute+20)*serial) // a counter, too: serial a second
			if minute < -5 || minute >= 5 {
				value = 1e9 // another hour
			}
			all = append(all, metric.Point{Series: series[key], Time: at.Add(time.Duration(minute) * time.Minute).UnixMilli(), Value: value})
		}
	}
	mean := func(serial, first, last float64) float64 { return 10*serial + 60*serial*(first+last)/2 }
	first, second, third := mean(1, 15, 24), mean(2, 15, 24), mean(3, 15, 19)
	for text, want := range map[string]float64{
		"avg(m)":     first + second + third/2,
		"rate(m)":    1 + 2 + 3.0/2,
		"max(m)":     max(first, second, third) * 2.5,
		"min(m)":     first * 2.5,
		"sum(m)":     (first + second + third) * 2.5,
		"p50(m)":     second * 2.5,
		"count(m)":   3 * 2.5,
		"avg(other)": 0,
	} {
		part, err := alarm.ParseReading(text)
		if err != nil {
			t.Fatal(err)
		}
		a := &Alerting{opts: Options{Past: all}}
		if want == 0 {
			a.opts.Past = points(nil)
		}
		load, ok, err := a.loadAt(t.Context(), &reader{service: 7, role: "app"}, &reading{text: text, part: part}, at)
		if err != nil || ok != (want != 0) || math.Abs(load-want) > 1e-9*want {
			t.Errorf("%s: %g, %v, %v; want %g", text, load, ok, err, want)
		}
	}
}

// A role is ready for what the same time of past days needed, even from none.
func TestPolicyPredicts(t *testing.T) {
	s := newStage(t)
	who := &telemetry.Binding{Tenant: tenant, MayClaim: func(metric.Origin) bool { return true }}
	for day := 1; day <= 3; day++ { // 60, 120 and 180 with the load of two instances; nothing on the fourth day
		for serial := 1; serial <= 2; serial++ {
			at := time.Now().Add(time.Hour).AddDate(0, 0, -day)
			b := telemetry.NewBatch()
			text := fmt.Sprintf(`cpu{service="7",role="app",instance="%d"} %d %d`, serial, 30*day, at.UnixMilli())
			if err := telemetry.DecodeText(b, []byte(text), at); err != nil {
				t.Fatal(err)
			}
			if r, err := s.intake.Write(who, b, time.Now()); err != nil || r.Taken != 1 {
				t.Fatal(r, err)
			}
			b.Free()
		}
	}
	ten := 10
	target := policy.Target{Value: "avg(cpu)", Keep: 40, Predict: &policy.Predict{Days: 4, Lead: time.Hour}}
	s.service(7, &service.Spec{Name: "web", Roles: []service.RoleSpec{{Name: "app", Cardinality: 0, Max: &ten, Policies: []policy.Policy{{Name: "load", Target: &target}}}}})
	s.eventually("three bear 120 at 40 each", func() (ok bool) {
		s.engine.View(7, func(svc *service.Service) { ok = svc.Role("app").Cardinality == 3 })
		return ok
	})
}
