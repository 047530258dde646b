package alarm

import "math"

// A sketch estimates one percentile of a window in bounded memory. It keeps runs of neighbouring values as
// their mean and count, short ones near the percentile that is asked for and long ones far from it. Up to
// sketchSize distinct values it is exact.
type sketch struct {
	mean   [sketchSize]float64
	weight [sketchSize]uint32
	used   int32
	total  uint32
}

const (
	sketchSize = 24
	sketchKeep = 16 // runs that compression leaves, at most
)

func (s *sketch) add(v, quantile float64) {
	if s.total == math.MaxUint32 {
		return
	}
	s.total++
	at := s.after(v)
	if at > 0 && s.mean[at-1] == v {
		s.weight[at-1]++
		return
	}
	if s.used == sketchSize {
		for width := 0.5; s.used > sketchKeep; width *= 1.5 {
			s.compress(quantile, width)
		}
		at = s.after(v)
	}
	copy(s.mean[at+1:], s.mean[at:s.used])
	copy(s.weight[at+1:], s.weight[at:s.used])
	s.mean[at], s.weight[at] = v, 1
	s.used++
}

// after returns the index behind the last run that is not greater.
func (s *sketch) after(v float64) int {
	at := int(s.used)
	for at > 0 && s.mean[at-1] > v {
		at--
	}
	return at
}

// compress joins neighbours as long as the run stays short for its distance from the percentile.
func (s *sketch) compress(quantile, width float64) {
	total := float64(s.total)
	grain := min(0.02, quantile/5, (1-quantile)/5)
	last, before := int32(0), 0.0 // before: the share of what lies left of run last
	for i := int32(1); i < s.used; i++ {
		share := float64(s.weight[last]+s.weight[i]) / total
		distance := math.Abs(before + share/2 - quantile)
		if share <= width*(grain+distance) {
			w := float64(s.weight[i]) / float64(s.weight[last]+s.weight[i])
			s.mean[last] = s.mean[last]*(1-w) + s.mean[i]*w
			s.weight[last] += s.weight[i]
			continue
		}
		before += float64(s.weight[last]) / total
		last++
		s.mean[last], s.weight[last] = s.mean[i], s.weight[i]
	}
	s.used = last + 1
}

// value returns the mean of the run that holds the percentile (nearest rank).
func (s *sketch) value(quantile float64) float64 {
	rank, sum := math.Ceil(quantile*float64(s.total)), 0.0
	for i := range s.used {
		if sum += float64(s.weight[i]); sum >= rank {
			return s.mean[i]
		}
	}
	return s.mean[max(s.used, 1)-1]
}
