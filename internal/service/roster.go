package service

// A roster finds instances by serial. Few are kept in a slice, which most services never outgrow:
// a map costs more memory than it saves time there.
type roster struct {
	few  []*Instance
	many map[uint32]*Instance // nil while few holds all
}

const fewInstances = 16

// find returns the instance with that serial, or nil.
func (r *roster) find(serial uint32) *Instance {
	if r.many != nil {
		return r.many[serial]
	}
	for _, i := range r.few {
		if i.Serial == serial {
			return i
		}
	}
	return nil
}

func (r *roster) size() int { return len(r.few) + len(r.many) }

func (r *roster) put(i *Instance) {
	switch {
	case r.many != nil:
		r.many[i.Serial] = i
	case len(r.few) < fewInstances:
		r.few = append(r.few, i)
	default:
		r.many = make(map[uint32]*Instance, 2*fewInstances)
		for _, x := range r.few {
			r.many[x.Serial] = x
		}
		r.many[i.Serial], r.few = i, nil
	}
}

func (r *roster) remove(i *Instance) {
	if r.many != nil {
		if delete(r.many, i.Serial); len(r.many) == 0 {
			r.many = nil
		}
		return
	}
	for n, x := range r.few {
		if x == i {
			last := len(r.few) - 1
			r.few[n], r.few[last] = r.few[last], nil
			r.few = r.few[:last]
			return
		}
	}
}

// all yields every instance, in no order.
func (r *roster) all(yield func(*Instance) bool) {
	for _, i := range r.few {
		if !yield(i) {
			return
		}
	}
	for _, i := range r.many {
		if !yield(i) {
			return
		}
	}
}
