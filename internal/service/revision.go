package service

import "fmt"

// RevisionsKept is how many revisions of a service's spec are kept, the present one included.
const RevisionsKept = 20

// A PastRevision is what became of a revision that another one followed.
type PastRevision struct {
	Revision uint32 `json:"revision"`
	// Of is the earlier revision whose spec it repeated, as a rollback does; 0 for none.
	Of uint32 `json:"of,omitempty"`
	// Good: its deployment or its rolling update came to its end.
	Good bool `json:"good,omitempty"`
}

// past returns what became of an earlier revision; nil when that is not known.
func (s *Service) past(revision uint32) *PastRevision {
	for n := range s.Past {
		if s.Past[n].Revision == revision {
			return &s.Past[n]
		}
	}
	return nil
}

// originOf is the revision whose spec a revision repeats, or itself.
func (s *Service) originOf(revision uint32) uint32 {
	of := uint32(0)
	if revision == s.Revision {
		of = s.Of
	} else if p := s.past(revision); p != nil {
		of = p.Of
	}
	if of == 0 {
		return revision
	}
	return of
}

// inPlace reports whether the present revision has come to its end: deployed, or rolled out.
func (s *Service) inPlace() bool { return s.Rollout == nil && (s.Deployed || s.State == Hold) }

// good reports whether an earlier revision was in place. Of services from before that was noted down it is
// taken for granted.
func (s *Service) good(revision uint32) bool {
	p := s.past(revision)
	return p == nil || p.Good
}

// leaveRevision notes what became of the present revision, and begins the next one, which repeats the spec of
// an earlier one when of says so.
func (s *Service) leaveRevision(of uint32) {
	if of != 0 {
		of = s.originOf(of)
	}
	if len(s.Past) >= RevisionsKept {
		s.Past = append(s.Past[:0], s.Past[len(s.Past)-RevisionsKept+1:]...)
	}
	s.Past = append(s.Past, PastRevision{Revision: s.Revision, Of: s.Of, Good: s.inPlace()})
	s.Revision++
	s.Of = of
}

// RollbackTarget returns the revision that a rollback without a number goes to: the last one before the
// present that was in place. Revisions that failed, and those that only repeat the present one, are passed
// over. The error is a *Refusal when there is none.
func (s *Service) RollbackTarget() (uint32, error) {
	present := s.originOf(s.Revision)
	for r := present - 1; r > 0 && r+RevisionsKept > s.Revision; r-- {
		if s.good(r) {
			return r, nil
		}
	}
	text := fmt.Sprintf("revision %d is the first", s.Revision)
	switch {
	case present != s.Revision:
		text = fmt.Sprintf("revision %d is revision %d again", s.Revision, present)
	case present > 1:
		text = fmt.Sprintf("the service is at revision %d", s.Revision)
	}
	return 0, refuse(WrongState, "%s, and no revision before it that is kept was ever in place; name the revision to go to", text)
}
