package alarm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A sample of a random history of several series.
type sample struct {
	series *metric.Series
	ts, at int64
	value  float64
}

var monascaTexts = []string{"avg(m) > 2", "max(m) > 2 times 2", "count(m) < 2", "last(n) > 2", "min(n, deterministic) > 1", "sum(n, 120) >= 6"}

// lawDefinition draws a definition over the metrics m and n of hosts a and b.
func lawDefinition(t *rapid.T) Definition {
	texts := []string{"avg(m, 2) > 2", "max(m, 3) > 2 times 2", "count(m, 2) < 2", "rate(m, 4) > 1", "p90(m, 5) > 2", "last(n) > 2", "absent(n, 4s)",
		"min(n, deterministic, 2) > 1", "sum(n, 60) >= 6", "avg(m) > 2"}
	profile := rapid.SampledFrom([]Profile{Fast, Fast, Compat}).Draw(t, "profile")
	if profile == Compat {
		texts = monascaTexts
	}
	text := rapid.SampledFrom(texts).Draw(t, "part")
	for range rapid.IntRange(0, 2).Draw(t, "more") {
		text += rapid.SampledFrom([]string{" and ", " or "}).Draw(t, "operator") + rapid.SampledFrom(texts).Draw(t, "part")
	}
	def := definition(text)
	def.MatchBy = rapid.SampledFrom([][]string{nil, {"host"}}).Draw(t, "match_by")
	def.Profile = profile
	def.Silence = rapid.SampledFrom([]time.Duration{0, 0, 2500 * time.Millisecond, 7 * time.Second}).Draw(t, "silence")
	def.OKAfter = rapid.SampledFrom([]time.Duration{0, 0, 1500 * time.Millisecond}).Draw(t, "ok_after")
	def.Missing = rapid.SampledFrom([]Missing{"", MissingKeep, MissingOK, MissingAlarm}).Draw(t, "missing")
	if def.Profile == Fast {
		def.Lateness = rapid.SampledFrom([]time.Duration{0, 0, 700 * time.Millisecond, 3 * time.Second}).Draw(t, "lateness")
	}
	return def
}

// lawHistory draws samples in order of arrival.
func lawHistory(t *rapid.T, offsets ...int64) []sample {
	var all []*metric.Series
	for _, name := range []string{"m", "n"} {
		for _, host := range []string{"a", "b"} {
			all = append(all, &metric.Series{Tenant: 1, Name: name, Dimensions: metric.NewDimensions(map[string]string{"host": host})})
		}
	}
	at := int64(start + 300)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sample {
		at += rapid.SampledFrom([]int64{0, 1, 90, 450, 999, 1000, 1700, 5000, 40_000}).Draw(t, "gap")
		return sample{rapid.SampledFrom(all).Draw(t, "series"), at + rapid.SampledFrom(offsets).Draw(t, "off"), at, float64(rapid.IntRange(0, 5).Draw(t, "value"))}
	}), 1, 60).Draw(t, "history")
}

// sequences writes the changes of each alarm.
func sequences(told []Transition, times bool) map[string][]string {
	slices.SortStableFunc(told, func(a, b Transition) int { return cmp.Compare(a.Time, b.Time) })
	out := map[string][]string{}
	for _, t := range told {
		if t.Occasion != Changed {
			continue
		}
		text := fmt.Sprintf("%s->%s", t.From, t.To)
		if times {
			text = fmt.Sprintf("%d %s %s", t.Time-start, text, t.Reason)
		}
		out[t.Alarm] = append(out[t.Alarm], text)
	}
	return out
}

func equalSequences(a, b map[string][]string) bool {
	return maps.EqualFunc(a, b, slices.Equal[[]string])
}

// TestBatching: when Decide is called changes nothing but when its results are known.
func TestBatching(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		def := lawDefinition(rt)
		points := lawHistory(rt, 0, 0, 0, -400, -3000, 500, 3000, 100_000)
		end := points[len(points)-1].at + 400_000
		prompt := newBench(t, def)
		for _, p := range points {
			prompt.add(p.series, p.ts, p.value, p.at)
		}
		prompt.run(end)

		lazy := newBench(t, def)
		feeds := map[*metric.Series]*Feed{}
		for _, p := range points {
			if feeds[p.series] == nil {
				feeds[p.series] = lazy.m.Join(p.series)
			}
			if f := feeds[p.series]; f != nil {
				f.Add(p.ts, p.value, p.at)
			}
			if rapid.IntRange(0, 5).Draw(rt, "decide") == 0 {
				lazy.decide(p.at)
			}
		}
		lazy.run(end)
		lazy.decide(end)
		if a, b := sequences(prompt.told, true), sequences(lazy.told, true); !equalSequences(a, b) {
			rt.Fatalf("%+v:\n%q\n%q", def, a, b)
		}
	})
}

// TestNoRepetition: two changes of an alarm in a row never enter the same state, and each continues the one before.
func TestNoRepetition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t, lawDefinition(rt))
		state, sequence := map[string]State{}, map[string]uint32{}
		for _, p := range lawHistory(rt, 0, -400, 500) {
			b.add(p.series, p.ts, p.value, p.at)
			if rapid.IntRange(0, 9).Draw(rt, "by hand") == 0 {
				for a := range b.m.Alarms() {
					if err := b.m.SetState(a.ID, rapid.SampledFrom([]State{StateOK, StateAlarm, StateUndetermined}).Draw(rt, "state"), p.at); err != nil {
						rt.Fatal(err)
					}
				}
			}
		}
		b.run(start + 10_000_000)
		for _, x := range b.told {
			if x.Occasion != Changed {
				continue
			}
			if x.From == x.To {
				rt.Fatalf("%+v", x)
			}
			if sequence[x.Alarm] > 0 && (state[x.Alarm] != x.From || sequence[x.Alarm]+1 != x.Sequence) {
				rt.Fatalf("after %v, %d: %+v", state[x.Alarm], sequence[x.Alarm], x)
			}
			state[x.Alarm], sequence[x.Alarm] = x.To, x.Sequence
		}
	})
}

// restart makes a Monitor from the records of another and refills it from history.
func restart(t testing.TB, b *bench, disk map[string]Record, history []sample, now, complete int64) {
	t.Helper()
	var records []Record
	for _, key := range slices.Sorted(maps.Keys(disk)) {
		records = append(records, disk[key])
	}
	m, err := Load(b.m.Definition(), records, now)
	if err != nil {
		t.Fatal(err)
	}
	b.m, b.feeds = m, map[string]*Feed{}
	for _, p := range history {
		f, known := b.feeds[p.series.String()]
		if !known {
			f = m.Join(p.series)
			b.feeds[p.series.String()] = f
		}
		if f != nil && p.ts <= complete {
			f.Add(p.ts, p.value, p.ts)
		}
	}
	m.Ready(now, complete)
}

func save(b *bench, disk map[string]Record) {
	records, _ := b.m.Changes()
	for _, r := range records {
		if r.Value == nil {
			delete(disk, r.Key)
		} else {
			disk[r.Key] = r
		}
	}
}

// TestRestart: restarts between samples change no sequence of states, when no sample is lost. Silence is
// counted anew after a restart, so here it changes nothing.
func TestRestart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		def := lawDefinition(rt)
		def.Silence, def.Missing, def.OKAfter = 0, MissingKeep, 0
		texts := []string{"avg(m, 2) > 2", "max(m, 3) > 2 times 2", "count(m, 2) < 2", "rate(m, 4) > 1", "p90(m, 5) > 2", "last(n) > 2", "min(n, deterministic, 2) > 1"}
		if def.Profile == Compat {
			texts = monascaTexts
		}
		def.Expression = rapid.SampledFrom(texts).Draw(rt, "a")
		if rapid.Bool().Draw(rt, "two") {
			def.Expression += " or " + rapid.SampledFrom(texts).Draw(rt, "b")
		}
		points := lawHistory(rt, 0, 0, -400)
		for i := range points { // history does not tell in which order samples of one millisecond came
			points[i].at += int64(i)
			points[i].ts += int64(i)
		}
		end := points[len(points)-1].at + 400_000
		straight, broken := newBench(t, def), newBench(t, def)
		disk := map[string]Record{}
		seen, born := map[*metric.Series]bool{}, int64(0)
		for i, p := range points {
			// Of samples stamped before their alarm was made, those that came after it count; history cannot tell.
			if len(seen) < 4 {
				born = p.at
			}
			points[i].ts = max(p.ts, born)
			p = points[i]
			seen[p.series] = true
			straight.add(p.series, p.ts, p.value, p.at)
			broken.add(p.series, p.ts, p.value, p.at)
			save(broken, disk)
			if rapid.IntRange(0, 5).Draw(rt, "restart") == 0 {
				restart(t, broken, disk, points[:i+1], p.at, p.at)
				if again, _ := broken.m.Changes(); len(again) > 0 {
					rt.Fatalf("a restart alone changed %q", again)
				}
			}
		}
		straight.run(end)
		broken.run(end)
		if a, b := sequences(straight.told, false), sequences(broken.told, false); !equalSequences(a, b) {
			rt.Fatalf("%s %s:\n%q\n%q", def.Profile, def.Expression, sequences(straight.told, true), sequences(broken.told, true))
		}
	})
}

// TestRestartIsQuiet: whatever the definition, and whatever was lost while nothing ran, a restart alone changes no
// state before its silence or a whole window has passed, and what was saved comes back.
func TestRestartIsQuiet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		def := lawDefinition(rt)
		def.Lateness, def.OKAfter = 0, 0
		if def.Profile == Compat {
			def.Profile = Fast
		}
		b := newBench(t, def)
		disk := map[string]Record{}
		points := lawHistory(rt, 0, -400)
		for _, p := range points {
			b.add(p.series, p.ts, p.value, p.at)
		}
		save(b, disk)
		before := slices.Collect(b.m.Alarms())
		crash := points[len(points)-1].at
		now := crash + rapid.Int64Range(0, 100_000).Draw(rt, "down")
		b.told = nil
		restart(t, b, disk, points, now, crash)
		after := slices.Collect(b.m.Alarms())
		if len(after) != len(before) {
			rt.Fatalf("%d alarms, before %d", len(after), len(before))
		}
		for i := range after {
			a, was := after[i], before[i]
			if a.ID != was.ID || a.State != was.State || a.Sequence != was.Sequence || a.MetricCount != was.MetricCount || a.StateUpdated != was.StateUpdated {
				rt.Fatalf("%+v, before %+v", a, was)
			}
			for j := range a.SubAlarms {
				if a.SubAlarms[j].State != was.SubAlarms[j].State {
					rt.Fatalf("%+v, before %+v", a, was)
				}
			}
		}
		if now > crash {
			b.run(now + 999)
			if len(b.told) > 0 {
				rt.Fatalf("restart at %d: %+v", now-start, b.told)
			}
		}
	})
}

// TestOrderOfStates: fast goes through the states of compat, for functions that are never decided within a window.
func TestOrderOfStates(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		def := definition(fmt.Sprintf("%s(m, %d) > 2 times %d", rapid.SampledFrom([]string{"avg", "sum", "last"}).Draw(rt, "function"),
			rapid.SampledFrom([]int{60, 120}).Draw(rt, "period"), rapid.IntRange(1, 3).Draw(rt, "times")))
		points := history(rt, 3000)
		got := map[Profile][]string{}
		for _, def.Profile = range []Profile{Compat, Fast} {
			b := newBench(t, def)
			for _, p := range points {
				b.add(b.series("m", nil), start+p.at*1000, p.v, start+p.at*1000)
			}
			b.run(start + 9_000_000)
			for _, x := range b.told {
				got[def.Profile] = append(got[def.Profile], fmt.Sprintf("%s->%s", x.From, x.To))
			}
		}
		if !slices.Equal(got[Fast], got[Compat]) {
			rt.Fatalf("%s: %q", def.Expression, got)
		}
	})
}
