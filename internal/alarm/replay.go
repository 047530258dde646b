package alarm

import (
	"iter"

	"github.com/troupe-dev/troupe/internal/metric"
)

// Replay returns what the definition would have done over history: the transitions at from or later, up to and
// including to. Points come in order of time and count as having arrived at their own time; those before from warm
// the windows up.
func Replay(def Definition, points iter.Seq[metric.Point], from, to int64) ([]Transition, error) {
	m, err := New(def)
	if err != nil {
		return nil, err
	}
	var out []Transition
	decide := func(until int64) {
		for {
			at, some := m.Wake()
			if !some || at > until {
				return
			}
			for _, t := range m.Decide(max(at, m.clock)) {
				if t.Time >= from && t.Time <= to {
					out = append(out, t)
				}
			}
		}
	}
	feeds := map[*metric.Series]*Feed{}
	for p := range points {
		if p.Time > to {
			break
		}
		f, known := feeds[p.Series]
		if !known {
			f = m.Join(p.Series)
			feeds[p.Series] = f
		}
		if f == nil {
			continue
		}
		decide(p.Time - 1)
		f.Add(p.Time, p.Value, max(p.Time, m.clock))
	}
	decide(to)
	return out, nil
}
