package alarm

// timers is a heap with one entry for each alarm that waits for a time. An entry may ring early: an alarm
// whose time has moved on is set again when its old one comes, so that a sample costs no heap operation.
type timers []timer

type timer struct {
	at    int64
	alarm *alarm
}

// set gives the alarm's entry a new time; never removes it.
func (h *timers) set(a *alarm, at int64) {
	i := int(a.slot) - 1
	switch {
	case i < 0 && at == never:
		return
	case i < 0:
		*h = append(*h, timer{at, a})
		i = len(*h) - 1
	case at == never:
		tail := (*h)[len(*h)-1]
		*h = (*h)[:len(*h)-1]
		a.slot = 0
		if tail.alarm == a {
			return
		}
		(*h)[i] = tail
	default:
		(*h)[i].at = at
	}
	h.down(h.up(i))
}

func (h timers) up(i int) int {
	t := h[i]
	for i > 0 {
		parent := (i - 1) / 4
		if h[parent].at <= t.at {
			break
		}
		h.put(i, h[parent])
		i = parent
	}
	h.put(i, t)
	return i
}

func (h timers) down(i int) {
	t := h[i]
	for {
		least := i
		at := t.at
		for child := 4*i + 1; child <= 4*i+4 && child < len(h); child++ {
			if h[child].at < at {
				least, at = child, h[child].at
			}
		}
		if least == i {
			break
		}
		h.put(i, h[least])
		i = least
	}
	h.put(i, t)
}

func (h timers) put(i int, t timer) {
	h[i] = t
	t.alarm.slot = int32(i + 1)
}
