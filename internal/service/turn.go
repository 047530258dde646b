package service

import (
	"cmp"
	"math"
)

// atATime is how many instances may be under way at a time; 0 for no bound.
func (s *Service) atATime() int { return cmp.Or(s.AtATime, s.Spec.AtATime) }

// turns is how many more instances may be made or removed now.
func (s *Service) turns() int {
	most := s.atATime()
	if most == 0 {
		return math.MaxInt
	}
	for _, r := range s.Roles {
		most -= r.lists[Creating].n + r.lists[Starting].n
		for _, p := range [...]Phase{Stopping, Replacing} {
			for i := r.lists[p].head; i != nil; i = i.next {
				if i.issued {
					most--
				}
			}
		}
	}
	return most
}

// passTurn gives the turn on when an instance is no longer under way: to those that are to be removed, then to those that
// are to be made.
func (s *Service) passTurn(now Time) {
	most := s.atATime()
	if most == 0 {
		return
	}
	for _, r := range s.Roles {
		r.progress = now // to have waited for others is no failure
		for _, p := range [...]Phase{Stopping, Replacing} {
			for i := r.lists[p].head; i != nil && most > 0; i = i.next {
				if !i.issued {
					s.enqueue(i)
					most--
				}
			}
		}
	}
	s.touchAll()
}
