package alarm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A scenario is a definition, timed samples and the states that must follow. Times are seconds.
type scenario struct {
	ID, Expression string
	MatchBy        []string `json:"match_by"`
	Samples        []struct {
		At, TS     float64
		Metric     string
		Dimensions map[string]string
		Value      float64
	}
	End      float64
	Expected map[string][]step
}

type step struct {
	T     float64
	Alarm map[string]string
	From  *string
	To    *string
	By    string
}

// start is a full minute far from 1970.
const start = 1_800_000_000_000

func ms(seconds float64) int64 { return start + int64(seconds*1000) }

// definition returns a valid definition of an expression.
func definition(expression string, matchBy ...string) Definition {
	return Definition{ID: "d1", Tenant: 1, Name: "test", Expression: expression, MatchBy: matchBy, Severity: "LOW", ActionsEnabled: true}
}

// A bench drives a Monitor as a shell does.
type bench struct {
	t       testing.TB
	m       *Monitor
	feeds   map[string]*Feed
	seen    map[string]State // alarms
	told    []Transition
	created []created
}

type created struct {
	at    int64
	match map[string]string
	state State
}

func newBench(t testing.TB, def Definition) *bench {
	t.Helper()
	m, err := New(def)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, m: m, feeds: map[string]*Feed{}, seen: map[string]State{}}
}

// run lets time pass up to and including until.
func (b *bench) run(until int64) {
	b.t.Helper()
	for range 1_000_000 {
		at, some := b.m.Wake()
		if !some || at > until {
			return
		}
		b.decide(max(at, b.m.clock))
	}
	b.t.Fatal("Wake does not advance")
}

func (b *bench) decide(now int64) {
	b.told = append(b.told, b.m.Decide(now)...)
}

func (b *bench) series(name string, dimensions map[string]string) *metric.Series {
	return &metric.Series{Tenant: 1, Name: name, Dimensions: metric.NewDimensions(dimensions)}
}

// add gives the Monitor a sample.
func (b *bench) add(s *metric.Series, ts int64, value float64, at int64) {
	b.t.Helper()
	b.run(at - 1)
	key := s.String()
	f, known := b.feeds[key]
	if !known {
		f = b.m.Join(s)
		b.feeds[key] = f
	}
	if f == nil {
		return
	}
	before := b.m.Len()
	f.Add(ts, value, at)
	if b.m.Len() > before {
		for a := range b.m.Alarms() {
			if _, known := b.seen[a.ID]; !known {
				b.seen[a.ID] = a.State
				initial := StateUndetermined
				if b.m.Expression().Deterministic() {
					initial = StateOK
				}
				b.created = append(b.created, created{at, a.Match, initial})
			}
		}
	}
	if len(b.m.pending) > 0 {
		b.decide(at)
	}
}

func matchText(match map[string]string) string {
	var out []string
	for k, v := range match {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// lines writes what happened as the scenarios do: creations, then changes of state at the same time.
func (b *bench) lines() (lines []string, times []int64) {
	match := map[string]string{}
	for a := range b.m.Alarms() {
		match[a.ID] = matchText(a.Match)
	}
	type event struct {
		at    int64
		order int
		text  string
	}
	var events []event
	for _, c := range b.created {
		events = append(events, event{c.at, 0, fmt.Sprintf("%s: -> %s", matchText(c.match), c.state)})
	}
	for _, t := range b.told {
		if t.Occasion == Changed {
			events = append(events, event{t.Time, 1, fmt.Sprintf("%s: %s -> %s", match[t.Alarm], t.From, t.To)})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at-b.at)*2 + a.order - b.order })
	for _, e := range events {
		lines, times = append(lines, e.text), append(times, e.at)
	}
	return lines, times
}

func TestScenarios(t *testing.T) {
	var file struct{ Scenarios []scenario }
	readJSON(t, "scenarios.json", &file)
	if len(file.Scenarios) < 6 {
		t.Fatalf("only %d scenarios", len(file.Scenarios))
	}
	for _, s := range file.Scenarios {
		for _, profile := range []Profile{Compat, Fast} {
			t.Run(s.ID+"/"+string(profile), func(t *testing.T) {
				def := definition(s.Expression, s.MatchBy...)
				def.Profile = profile
				b := newBench(t, def)
				for _, x := range s.Samples {
					b.add(b.series(x.Metric, x.Dimensions), ms(x.TS), x.Value, ms(x.At))
				}
				end := ms(s.End)
				if profile == Fast { // a decision at the very end is told a second later in the data
					end--
				}
				b.run(end)
				lines, times := b.lines()
				want := s.Expected[string(profile)]
				if len(lines) != len(want) {
					t.Fatalf("got %q %d, want %d", lines, times, len(want))
				}
				for i, w := range want {
					text := fmt.Sprintf("%s: %s -> %s", matchText(w.Alarm), deref(w.From), deref(w.To))
					if text = strings.Replace(text, ":  ->", ": ->", 1); lines[i] != text {
						t.Errorf("step %d: %q, want %q", i, lines[i], text)
					}
					early := ms(w.T) - times[i]
					if early != 0 && !(profile == Fast && early > 0 && early <= 1000) {
						t.Errorf("%q at %d, want %v", lines[i], times[i]-start, w.T)
					}
				}
			})
		}
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
