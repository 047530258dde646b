package alarm

import (
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
)

// Maintenance is a time in which states are kept and shown, but actions are held back. They run at its end
// for alarms whose state is then not the one last acted upon.
type Maintenance struct {
	Reason string    `json:"reason,omitempty"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"` // exclusive
	// Every repeats the window, for instance each 24h or 168h; it does not follow daylight saving.
	Every time.Duration `json:"every,omitempty"`
	// Until ends the repetition; zero: never.
	Until time.Time `json:"until,omitzero"`
	// Match limits the window to alarms with a series that has all these dimensions.
	Match map[string]string `json:"match,omitempty"`
}

func (m *Maintenance) check(p *problems, place string) {
	length := m.To.Sub(m.From)
	switch {
	case m.From.IsZero() || m.To.IsZero():
		p.add(place, "from and to must both be given")
	case length <= 0 || length > maxDuration:
		p.add(place+".to", "is not within a year after from")
	case m.Every != 0 && (m.Every < length || m.Every > maxDuration):
		p.add(place+".every", "%v is not from the window's own length to a year", m.Every)
	}
	for name, value := range m.Match {
		if err := metric.CheckDimension(name, value); err != nil {
			p.add(place+".match", "%v", err)
		}
	}
}

// end returns when the window that holds now ends, if one does.
func (m *Maintenance) end(now int64) (int64, bool) {
	from, to := m.From.UnixMilli(), m.To.UnixMilli()
	if now < from || (!m.Until.IsZero() && now >= m.Until.UnixMilli()) {
		return 0, false
	}
	if every := m.Every.Milliseconds(); every > 0 {
		to += (now - from) / every * every
	}
	if !m.Until.IsZero() {
		to = min(to, m.Until.UnixMilli())
	}
	return to, now < to
}

// maintenance returns until when an alarm is under maintenance, of its definition or of the project.
func (m *Monitor) maintenance(a *alarm, now int64) (until int64, reason string, held bool) {
	until, reason, held = m.silenced(a, now)
	for i := range m.def.Maintenance {
		w := &m.def.Maintenance[i]
		end, inside := w.end(now)
		if inside && end > until && m.matches(a, m.maintained[i]) {
			until, reason, held = end, w.Reason, true
		}
	}
	return until, reason, held
}

func (m *Monitor) matches(a *alarm, wanted metric.Dimensions) bool {
	if len(wanted) == 0 {
		return true
	}
	for _, f := range a.members {
		if f.series.Dimensions.Covers(wanted) {
			return true
		}
	}
	return false
}
