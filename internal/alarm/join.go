package alarm

import (
	"maps"
	"math/bits"
	"slices"
)

// maxJoined is how many alarms a definition may have when one is made that joins series: a thousand hosts and a thousand
// queues would make a million.
const maxJoined = 10_000

// A joiner finds the values of alarms that no series has alone: match_by [host, device] with the CPU of a host and a
// device that is of no host. There is one alarm for each way to choose a series for every part so that none
// contradicts another. It holds, for each part, the keys of series that lack some of match_by, by what they have.
type joiner []map[uint64]*joinShape

// A joinShape holds the keys that have the same dimensions.
type joinShape struct {
	keys    map[string]int // how many series have it
	byValue map[keyValue]map[string]struct{}
}

func maskOf(values []keyValue) (mask uint64) {
	for _, v := range values {
		mask |= 1 << v.dimension
	}
	return mask
}

func (j joiner) add(part int, key string) {
	values, _ := valuesOf(key)
	mask := maskOf(values)
	if j[part] == nil {
		j[part] = map[uint64]*joinShape{}
	}
	s := j[part][mask]
	if s == nil {
		s = &joinShape{map[string]int{}, map[keyValue]map[string]struct{}{}}
		j[part][mask] = s
	}
	if s.keys[key]++; s.keys[key] > 1 {
		return
	}
	for _, v := range values {
		if s.byValue[v] == nil {
			s.byValue[v] = map[string]struct{}{}
		}
		s.byValue[v][key] = struct{}{}
	}
}

func (j joiner) remove(part int, key string) {
	values, _ := valuesOf(key)
	mask := maskOf(values)
	s := j[part][mask]
	if s.keys[key]--; s.keys[key] > 0 {
		return
	}
	delete(s.keys, key)
	for _, v := range values {
		if delete(s.byValue[v], key); len(s.byValue[v]) == 0 {
			delete(s.byValue, v)
		}
	}
	if len(s.keys) == 0 {
		delete(j[part], mask)
	}
}

// reorder returns the joiner for parts in another order; origin says which each was.
func (j joiner) reorder(origin []int) joiner {
	next := make(joiner, len(j))
	for i, old := range origin {
		next[i] = j[old]
	}
	return next
}

// joins returns the keys that a series of some parts makes with those of the others, at most limit, sorted; nothing
// if there are more.
func (j joiner) joins(parts []int, key string, limit int) []string {
	all := map[string]struct{}{}
	for _, own := range parts {
		found := map[string]struct{}{key: {}}
		for part := range j {
			if part == own {
				continue
			}
			next := map[string]struct{}{}
			for have := range found {
				if j.extend(part, have, next, limit); len(next) > limit {
					return nil
				}
			}
			found = next
		}
		maps.Copy(all, found)
	}
	if len(all) > limit {
		return nil
	}
	return slices.Sorted(maps.Keys(all))
}

// extend adds to next what key becomes with each key of a part that does not contradict it.
func (j joiner) extend(part int, key string, next map[string]struct{}, limit int) {
	values, _ := valuesOf(key)
	mine := splitKey(key)
	mask := maskOf(values)
	for shape, s := range j[part] {
		if shared := shape & mask; shared != 0 {
			d := bits.TrailingZeros64(shared)
			for other := range s.byValue[keyValue{d, *mine[d]}] {
				if union, ok := unite(mine, other); ok {
					next[union] = struct{}{}
				}
			}
			continue
		}
		for other := range s.keys {
			if len(next) > limit {
				return
			}
			union, _ := unite(mine, other)
			next[union] = struct{}{}
		}
	}
}

// unite returns the values of both keys, unless they contradict each other.
func unite(mine []*string, other string) (string, bool) {
	out := slices.Clone(mine)
	for i, v := range splitKey(other) {
		switch {
		case v == nil:
		case out[i] == nil:
			out[i] = v
		case *out[i] != *v:
			return "", false
		}
	}
	return joinKey(out), true
}

// join makes the alarms that a series completes together with others.
func (m *Monitor) join(f *Feed, key string, now int64) {
	room := maxJoined - m.Len()
	if _, partial := valuesOf(key); !partial || room <= 0 {
		return
	}
	for _, union := range m.partial.joiner.joins(m.partsOf(f.series), key, maxJoined) {
		if m.groups[union] != nil || room <= 0 {
			continue
		}
		room--
		m.group(union, now)
	}
}
