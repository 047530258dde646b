package alerting

import (
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/service"
)

// leavingText is the reason of the last entry in the history of the alarms of a service that is being removed.
const leavingText = "The service is being removed"

// A standing is how an instance stands now.
type standing struct {
	origin      metric.Origin
	incarnation uint32
	presence    alarm.Presence
}

// standingOf returns how an instance stands: one that the service does not have has left.
func standingOf(s *service.Service, serial uint32) standing {
	i := s.Instance(serial)
	if i == nil {
		return standing{metric.Origin{Service: s.ID, Serial: serial}, 0, alarm.Left}
	}
	x := standing{metric.Origin{Service: s.ID, Role: i.Role().Name, Serial: serial}, i.Incarnation, alarm.Here}
	switch i.Phase {
	case service.Queued, service.Backoff, service.Finished:
		x.presence = alarm.Left
	case service.Creating, service.Starting, service.Held:
		x.presence = alarm.Coming
	case service.Parked, service.Replacing, service.Stopping:
		x.presence = alarm.Away
	}
	return x
}

// about notes that a watch wants to know how instances of a service stand.
func (a *Alerting) about(w *watch, service uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.attentive[service] == nil {
		a.attentive[service] = make(map[*watch]struct{})
	}
	a.attentive[service][w] = struct{}{}
}

// attentiveTo returns the watches that want to know of a service's instances.
func (a *Alerting) attentiveTo(service uint64) (out []*watch) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for w := range a.attentive[service] {
		out = append(out, w)
	}
	return out
}

// inattentive forgets a watch that is dismissed. a.mu is held.
func (a *Alerting) inattentive(w *watch) {
	for service, all := range a.attentive {
		if delete(all, w); len(all) == 0 {
			delete(a.attentive, service)
		}
	}
}

// attend tells watches how some instances of a service stand. What is told last is what is so: whoever looks
// tells before another may look.
func (a *Alerting) attend(id uint64, serials []uint32, watches ...*watch) {
	if len(serials) == 0 || len(watches) == 0 || a.engine == nil {
		return
	}
	lock := &a.attending[id%uint64(len(a.attending))]
	lock.Lock()
	defer lock.Unlock()
	all := make([]standing, 0, len(serials))
	if !a.engine.View(id, func(s *service.Service) {
		for _, serial := range serials {
			all = append(all, standingOf(s, serial))
		}
	}) {
		for _, serial := range serials { // the service is no more, or there never was one
			all = append(all, standing{metric.Origin{Service: id, Serial: serial}, 0, alarm.Left})
		}
	}
	now := time.Now().UnixMilli()
	for _, w := range watches {
		w.mu.Lock()
		if !w.gone {
			for _, x := range all {
				if x.presence == alarm.Here && w.service == id { // a service's own alarms wait for no sample
					w.monitor.Expect(x.origin, now)
				}
				w.monitor.Attend(x.origin, x.incarnation, x.presence, now)
			}
			a.arm(w)
		}
		w.mu.Unlock()
	}
}

// attendAll tells a watch of all instances that it watches: it was loaded, or there is something new to it.
func (a *Alerting) attendAll(w *watch) {
	w.mu.Lock()
	serials := make(map[uint64][]uint32)
	for _, id := range w.monitor.Services() {
		serials[id] = w.monitor.Instances(id)
	}
	w.mu.Unlock()
	if w.service != 0 && w.monitor.PerInstance() {
		serials[w.service] = append(serials[w.service], a.instancesOf(w.service)...)
	}
	for id, some := range serials {
		a.about(w, id)
		a.attend(id, some, w)
	}
}

func (a *Alerting) instancesOf(id uint64) (serials []uint32) {
	a.engine.View(id, func(s *service.Service) {
		for _, r := range s.Roles {
			for i := range r.Instances {
				serials = append(serials, i.Serial)
			}
		}
	})
	return serials
}

// depart tells watches that a service is no more.
func (a *Alerting) depart(id uint64) {
	for _, w := range a.attentiveTo(id) {
		w.mu.Lock()
		serials := w.monitor.Instances(id)
		w.mu.Unlock()
		a.attend(id, serials, w)
	}
	a.mu.Lock()
	delete(a.attentive, id)
	a.mu.Unlock()
}

// followRemoval ends the alarms that a service's description holds when the service is being removed. g is locked.
func (a *Alerting) followRemoval(g *governed, l *look) {
	if g.leaving == l.leaving {
		return
	}
	g.leaving = l.leaving
	a.due.Push(func() {
		a.defining.Lock()
		defer a.defining.Unlock()
		for _, w := range g.watches {
			a.endOrBegin(g, w)
		}
	})
}

// endOrBegin closes a watch of a service that is being removed, or opens it again. Alerting.defining is held.
func (a *Alerting) endOrBegin(g *governed, w *watch) {
	g.mu.Lock()
	leaving := g.leaving
	g.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return
	}
	if leaving {
		w.monitor.Close(leavingText, time.Now().UnixMilli())
	} else {
		w.monitor.Open()
	}
	a.arm(w)
}

// attended reports whether a watch wants to know of a service's instances.
func (a *Alerting) attended(id uint64) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.attentive[id]) > 0
}
