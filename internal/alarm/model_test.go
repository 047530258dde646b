package alarm

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A model is one alarm of one part and one series, written as plainly as the rules read: it keeps every
// sample of a window and looks at everything at every tick.
type model struct {
	rule             rule
	period, n, end   int64
	windows          map[int64][]float64 // by end
	part, alarm      State
	reported         bool
	empty            int
	log              []string
	lastTime         int64
	lastValue, lastN float64
}

func newModel(r rule, created int64) *model {
	m := &model{rule: r, period: r.period, n: int64(r.times), windows: map[int64][]float64{}, part: StateUndetermined, alarm: StateUndetermined}
	if r.deterministic {
		m.part, m.alarm = StateOK, StateOK
	}
	m.end = (created + r.period) / r.unit * r.unit
	return m
}

func (m *model) value(end int64) float64 {
	v := m.windows[end]
	if len(v) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	switch m.rule.function {
	case average:
		return sum / float64(len(v))
	case minimum:
		return slices.Min(v)
	case maximum:
		return slices.Max(v)
	case count:
		return float64(len(v))
	}
	return sum
}

func (m *model) set(s State, now int64) {
	if m.part == s && m.reported {
		return
	}
	m.part, m.reported = s, true
	if m.alarm != s {
		m.log = append(m.log, fmt.Sprintf("%d %s->%s", (now-start)/1000, m.alarm, s))
		m.alarm = s
	}
}

func (m *model) immediate(now int64) bool {
	var ends []int64
	for e := m.end - (m.n-1)*m.period; e <= m.end+2*m.period; e += m.period {
		ends = append(ends, e)
	}
	if m.rule.okAtOnce {
		for _, e := range ends {
			if v := m.value(e); !math.IsNaN(v) && !m.rule.exceeds(v) {
				m.set(StateOK, now)
				return true
			}
		}
	}
	if m.rule.alarmAtOnce {
		for i := 0; i+int(m.n) <= len(ends); i++ {
			all := true
			for _, e := range ends[i : i+int(m.n)] {
				v := m.value(e)
				all = all && !math.IsNaN(v) && m.rule.exceeds(v)
			}
			if all {
				m.set(StateAlarm, now)
				return true
			}
		}
	}
	return false
}

func (m *model) due(now int64) bool {
	if m.rule.compat {
		return now > m.end+30_000
	}
	return now >= m.end
}

func (m *model) decide(now int64) {
	if m.immediate(now) {
		m.empty = 0
		return
	}
	any, hole := false, false
	for e := m.end - (m.n-1)*m.period; e <= m.end; e += m.period {
		v := m.value(e)
		if math.IsNaN(v) {
			hole = true
			continue
		}
		m.empty = 0
		if !m.rule.exceeds(v) {
			m.set(StateOK, now)
			return
		}
		any = true
	}
	switch {
	case any && !hole:
		m.set(StateAlarm, now)
	case m.rule.deterministic:
		m.set(StateOK, now)
	default:
		if m.empty++; m.empty >= int(max(1, m.period/60_000)*m.n*2) {
			m.set(StateUndetermined, now)
		}
	}
}

func (m *model) slide(now int64) {
	for m.end < now || (!m.rule.compat && m.end == now) {
		m.end += m.period
	}
}

func (m *model) sample(ts int64, v float64, now int64) {
	if m.rule.function == last {
		ts = min(ts, now+120_000) // stamps further ahead are not believed
		if m.lastN == 0 || ts >= m.lastTime {
			m.lastTime, m.lastValue, m.lastN = ts, v, 1
			if m.rule.exceeds(v) {
				m.set(StateAlarm, now)
			} else {
				m.set(StateOK, now)
			}
		}
		return
	}
	if ts < m.end-m.n*m.period || ts >= m.end+2*m.period {
		return
	}
	// The end of the window that ts falls into, on the grid of m.end.
	e := m.end
	for ts >= e {
		e += m.period
	}
	for ts < e-m.period {
		e -= m.period
	}
	m.windows[e] = append(m.windows[e], v)
	m.immediate(now)
	if stamp := ts / 1000 * 1000; m.due(stamp) {
		m.decide(now)
		m.slide(stamp)
	}
}

func (m *model) tick(now int64) {
	if m.rule.function != last && m.due(now) {
		m.decide(now)
		m.slide(now)
	}
}

// A point of a random history, in seconds.
type point struct {
	at, ts int64
	v      float64
}

// history draws samples, in order of arrival; stamps are off now and then.
func history(t *rapid.T, seconds int64) []point {
	var out []point
	at := int64(rapid.IntRange(0, 130).Draw(t, "begin"))
	for at < seconds && len(out) < 60 {
		ts := at + rapid.SampledFrom([]int64{0, 0, 0, 0, -1, -7, -25, -45, -70, -200, 3, 31, 65, 140, 1000}).Draw(t, "off")
		out = append(out, point{at, ts, float64(rapid.IntRange(0, 4).Draw(t, "value"))})
		at += rapid.SampledFrom([]int64{0, 1, 5, 10, 10, 29, 30, 31, 60, 61, 150, 400}).Draw(t, "gap")
	}
	return out
}

// windowedText draws an expression of one part.
func windowedText(t *rapid.T, periods ...int) string {
	f := rapid.SampledFrom([]string{"avg", "min", "max", "sum", "count", "last"}).Draw(t, "function")
	keyword := rapid.SampledFrom([]string{"", ", deterministic"}).Draw(t, "keyword")
	return fmt.Sprintf("%s(m%s, %d) %s %d times %d", f, keyword, rapid.SampledFrom(periods).Draw(t, "period"),
		rapid.SampledFrom([]string{"<", "<=", ">", ">="}).Draw(t, "operator"), rapid.IntRange(0, 4).Draw(t, "threshold"), rapid.IntRange(1, 3).Draw(t, "times"))
}

func changedOnly(told []Transition) (out []string) {
	for _, x := range told {
		if x.Occasion == Changed {
			out = append(out, fmt.Sprintf("%d %s->%s", (x.Time-start)/1000, x.From, x.To))
		}
	}
	return out
}

// TestModel: windows and decisions are those of the plain model, in both profiles.
func TestModel(t *testing.T) {
	for _, profile := range []Profile{Compat, Fast} {
		t.Run(string(profile), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				def := definition(windowedText(rt, 60, 120, 180))
				def.Profile = profile
				points := history(rt, 3000)
				if len(points) == 0 {
					return
				}
				b := newBench(t, def)
				s := b.series("m", nil)
				want := newModel(b.m.rules[0], ms(float64(points[0].at)))
				tick := int64(1)
				if profile == Compat {
					tick = 60
				}
				next := 0
				for now := int64(0); now <= 6000; now++ {
					for next < len(points) && points[next].at == now {
						p := points[next]
						want.sample(start+p.ts*1000, p.v, start+now*1000)
						b.add(s, start+p.ts*1000, p.v, start+now*1000)
						next++
					}
					if now%tick == 0 && now >= points[0].at {
						want.tick(start + now*1000)
					}
				}
				b.run(start + 6_000_000)
				if got := changedOnly(b.told); !slices.Equal(got, want.log) {
					rt.Fatalf("%s %s: got %q, want %q", profile, def.Expression, got, want.log)
				}
			})
		})
	}
}
