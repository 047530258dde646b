package alarm

import "slices"

// A partialIndex finds series that have only some of the dimensions of match_by, and the alarms that they
// feed: those whose values include theirs. It is needed only with several parts and several dimensions.
type partialIndex struct {
	feeds  map[keyValue][]*Feed  // by their first value
	groups map[keyValue][]*alarm // by each of their values
	joiner joiner
}

type keyValue struct {
	dimension int
	value     string
}

func newPartialIndex(parts int) *partialIndex {
	return &partialIndex{map[keyValue][]*Feed{}, map[keyValue][]*alarm{}, make(joiner, parts)}
}

// valuesOf returns the values that a key has, in order.
func valuesOf(key string) (have []keyValue, partial bool) {
	for i, v := range splitKey(key) {
		if v == nil {
			partial = true
		} else {
			have = append(have, keyValue{i, *v})
		}
	}
	return have, partial
}

// within reports whether all of some values are among others.
func within(some, others []keyValue) bool {
	return !slices.ContainsFunc(some, func(v keyValue) bool { return !slices.Contains(others, v) })
}

func (x *partialIndex) addGroup(a *alarm) {
	values, _ := valuesOf(a.key)
	for _, v := range values {
		x.groups[v] = append(x.groups[v], a)
	}
}

func (x *partialIndex) dropGroup(a *alarm) {
	values, _ := valuesOf(a.key)
	for _, v := range values {
		x.groups[v] = slices.DeleteFunc(x.groups[v], func(other *alarm) bool { return other == a })
		if len(x.groups[v]) == 0 {
			delete(x.groups, v)
		}
	}
}

// feedsFor returns the series whose values are some of the key's.
func (x *partialIndex) feedsFor(key string) []*Feed {
	values, _ := valuesOf(key)
	var out []*Feed
	for _, v := range values {
		for _, f := range x.feeds[v] {
			if own, _ := f.monitor.keyOf(f.series); own != key {
				if have, _ := valuesOf(own); within(have, values) {
					out = append(out, f)
				}
			}
		}
	}
	return out
}

// addFeed notes a series, and returns the alarms whose values include its own and more.
func (x *partialIndex) addFeed(f *Feed, key string) []*alarm {
	have, partial := valuesOf(key)
	if !partial {
		return nil
	}
	if !slices.Contains(x.feeds[have[0]], f) {
		x.feeds[have[0]] = append(x.feeds[have[0]], f)
		for _, part := range f.monitor.partsOf(f.series) {
			x.joiner.add(part, key)
		}
	}
	var out []*alarm
	for _, a := range x.groups[have[0]] {
		if values, _ := valuesOf(a.key); a.key != key && within(have, values) {
			out = append(out, a)
		}
	}
	return out
}

func (x *partialIndex) dropFeed(m *Monitor, f *Feed) {
	key, some := m.keyOf(f.series)
	if have, partial := valuesOf(key); some && partial && slices.Contains(x.feeds[have[0]], f) {
		for _, part := range m.partsOf(f.series) {
			x.joiner.remove(part, key)
		}
		x.feeds[have[0]] = slices.DeleteFunc(x.feeds[have[0]], func(other *Feed) bool { return other == f })
		if len(x.feeds[have[0]]) == 0 {
			delete(x.feeds, have[0])
		}
	}
}
