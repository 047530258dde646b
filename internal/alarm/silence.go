package alarm

import (
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A Silence is a time in which the actions of several alarms of a project wait, as in a Maintenance of their own. All
// that is set must hold for an alarm to be chosen; for Service, Role and Match, it is enough that they hold for one of its series.
type Silence struct {
	ID      string            `json:"id"`
	Tenant  int               `json:"tenant"`
	Name    string            `json:"name,omitempty"` // of the definition
	Service uint64            `json:"service,omitempty"`
	Role    string            `json:"role,omitempty"`
	Match   map[string]string `json:"match,omitempty"` // dimensions
	From    time.Time         `json:"from"`
	To      time.Time         `json:"to"` // exclusive
	By      int               `json:"uid"`
	Reason  string            `json:"reason"`
}

// Validate returns all mistakes joined, each a *Problem.
func (s *Silence) Validate() error {
	var p problems
	m := Maintenance{From: s.From, To: s.To, Match: s.Match}
	m.check(&p, "silence")
	if n := utf8.RuneCountInString(s.Reason); n == 0 || n > maxText {
		p.add("silence.reason", "has %d characters; 1 to %d are allowed", n, maxText)
	}
	if s.Role != "" && s.Service == 0 {
		p.add("silence.role", "needs the service that it is of")
	}
	return p.join()
}

// silence is one made ready.
type silence struct {
	Silence
	match metric.Dimensions
}

// Silence sets the silences of the project, in place of those before. What they held back and no longer do is made up for.
func (m *Monitor) Silence(list []Silence, now int64) {
	if len(list)+len(m.silences) == 0 {
		return
	}
	now = m.at(now)
	m.silences = nil
	for _, s := range list {
		if s.Tenant == m.def.Tenant && (s.Name == "" || s.Name == m.def.Name) {
			m.silences = append(m.silences, silence{s, metric.NewDimensions(s.Match)})
		}
	}
	for _, a := range m.order {
		if !a.gone && a.extra != nil && a.extra.owed {
			a.extra.retry = now // whether it is still held back shows then
			m.schedule(a)
		}
	}
}

// silenced returns until when the silences of the project hold an alarm's actions back.
func (m *Monitor) silenced(a *alarm, now int64) (until int64, reason string, held bool) {
	for i := range m.silences {
		s := &m.silences[i]
		if end := s.To.UnixMilli(); now >= s.From.UnixMilli() && now < end && end > until && s.chooses(a) {
			until, reason, held = end, s.Reason, true
		}
	}
	return until, reason, held
}

func (s *silence) chooses(a *alarm) bool {
	if s.Service == 0 && len(s.match) == 0 {
		return true
	}
	for _, f := range a.members {
		o := f.series.Origin
		if (s.Service == 0 || o.Service == s.Service) && (s.Role == "" || o.Role == s.Role) && f.series.Dimensions.Covers(s.match) {
			return true
		}
	}
	return false
}
