package telemetry

import (
	"math"
	"strconv"

	"github.com/troupe-dev/troupe/internal/metric"
)

// The dimensions that say whom a series is about.
const (
	dimService  = "service"
	dimRole     = "role"
	dimInstance = "instance"
)

// A Binding says for whom a request speaks, as its credentials prove.
//
// The dimensions service, role and instance are never a lie. For an instance they are set to its own. A user may set them
// when the service is a number and MayClaim agrees; a service that is no number (Monasca's agent has such) claims nothing
// and stays. A value that must not stay is moved to exported_service, exported_role or exported_instance, as Prometheus does with
// labels that clash.
type Binding struct {
	Tenant int
	// Origin is the instance, or service, whose token the request bears; zero for a user.
	Origin metric.Origin
	// MayClaim reports whether the user's samples may be about this origin. Nil refuses all. It is asked once for every run
	// of series with the same claim, so it must be quick.
	MayClaim func(metric.Origin) bool
}

// OriginOf returns what dimensions claim: service is a number, instance too or absent.
func OriginOf(dimensions []metric.Dimension) (metric.Origin, bool) {
	var o metric.Origin
	for _, d := range dimensions {
		switch d.Name {
		case dimService:
			v, ok := digits(d.Value, 64)
			if !ok || v == 0 {
				return metric.Origin{}, false
			}
			o.Service = v
		case dimRole:
			o.Role = d.Value
		case dimInstance:
			v, ok := digits(d.Value, 32)
			if !ok {
				v = math.MaxUint32 // no instance has it: the claim is refused
			}
			o.Serial = uint32(v)
		}
	}
	return o, o.Service != 0
}

// digits is strconv.ParseUint without an error to allocate: most values are no numbers.
func digits(text string, bits int) (uint64, bool) {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	v, err := strconv.ParseUint(text, 10, bits)
	return v, err == nil
}

// A binder applies a Binding to the series of one batch.
type binder struct {
	*Binding
	set     []metric.Dimension // an instance's own
	last    metric.Origin      // the last claim, and what was said of it
	allowed bool
	asked   bool
}

func newBinder(b *Binding) binder {
	out := binder{Binding: b}
	if o := b.Origin; o.Service != 0 {
		out.set = append(out.set, metric.Dimension{Name: dimService, Value: strconv.FormatUint(o.Service, 10)})
		if o.Role != "" {
			out.set = append(out.set, metric.Dimension{Name: dimRole, Value: o.Role})
		}
		if o.Serial != 0 {
			out.set = append(out.set, metric.Dimension{Name: dimInstance, Value: strconv.FormatUint(uint64(o.Serial), 10)})
		}
	}
	return out
}

// bind makes a series' dimensions true. It appends them to the batch's labels if they have to change.
func (x *binder) bind(b *Batch, s *rawSeries) (origin metric.Origin, moved bool) {
	labels := b.labels[s.from:s.to]
	if x.Origin.Service == 0 {
		claim, ok := OriginOf(labels)
		switch {
		case !ok:
			return metric.Origin{}, false
		case x.may(claim):
			return claim, false
		}
		for i := range labels {
			if reserved(labels[i].Name) {
				labels[i].Name, moved = aside(labels, labels[i].Name), true
			}
		}
		return metric.Origin{}, moved
	}
	from := len(b.labels)
	b.labels = append(b.labels, labels...)
	all := b.labels[from:]
	for i := range all {
		if !reserved(all[i].Name) {
			continue
		}
		if !x.own(all[i]) {
			all[i].Name, moved = aside(all, all[i].Name), true
			continue
		}
		all[i].Value = "" // it comes again with the others
	}
	kept := all[:0]
	for _, d := range all {
		if d.Value != "" {
			kept = append(kept, d)
		}
	}
	b.labels = append(b.labels[:from+len(kept)], x.set...)
	s.from, s.to = from, len(b.labels)
	return x.Origin, moved
}

func (x *binder) own(d metric.Dimension) bool {
	for _, s := range x.set {
		if s == d {
			return true
		}
	}
	return false
}

// may asks MayClaim, once for each run of equal claims.
func (x *binder) may(claim metric.Origin) bool {
	if !x.asked || claim != x.last {
		x.asked, x.last = true, claim
		x.last.Role = string([]byte(claim.Role)) // the batch's text does not last
		x.allowed = x.MayClaim != nil && claim.Serial != math.MaxUint32 && x.MayClaim(x.last)
	}
	return x.allowed
}

func reserved(name string) bool { return name == dimService || name == dimRole || name == dimInstance }

// aside returns a name that is free for a dimension that has to make room.
func aside(labels []metric.Dimension, name string) string {
	for {
		switch name { // the usual ones without making a text
		case dimService:
			name = "exported_service"
		case dimRole:
			name = "exported_role"
		case dimInstance:
			name = "exported_instance"
		default:
			name = "exported_" + name
		}
		free := true
		for _, d := range labels {
			free = free && d.Name != name
		}
		if free {
			return name
		}
	}
}
