package alerting

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// consequencesOf lists what follows from transitions. Tests of the way send their marked notifications and
// change nothing.
func (a *Alerting) consequencesOf(w *watch, transitions []alarm.Transition) *consequences {
	c := &consequences{transitions: transitions}
	for i := range transitions {
		t := &transitions[i]
		var message *notify.Message
		for n := range t.Runs {
			run := &t.Runs[n]
			switch {
			case run.Held != alarm.NotHeld:
			case run.Action.Notify != "":
				id := a.methodID(t.Tenant, run.Action.Notify)
				if message == nil {
					message = a.message(t)
				}
				if c.deliveries == nil {
					c.deliveries = make(map[uint32][]notify.Delivery)
				}
				c.deliveries[t.Serial] = append(c.deliveries[t.Serial], notify.NewDelivery(message, t.Tenant, id, time.Now()))
			case t.Occasion != alarm.Tested:
				if c.errands == nil {
					c.errands = make(map[uint32][]*errand)
				}
				c.errands[t.Serial] = append(c.errands[t.Serial], newErrand(w, t, n))
			}
		}
	}
	return c
}

// message is what receivers are told of a transition.
func (a *Alerting) message(t *alarm.Transition) *notify.Message {
	m := &notify.Message{
		Event: notify.EventID(t.Alarm, uint64(t.Sequence)), Sequence: uint64(t.Sequence), Repeat: t.Repeat, Test: t.Occasion == alarm.Tested,
		Alarm: t.Alarm, Definition: t.Definition, Name: t.Name, Description: t.Description, Time: time.UnixMilli(t.Time).UTC(),
		State: t.To.String(), OldState: t.From.String(), Reason: t.Reason, Severity: t.Severity, Link: t.Link, Lifecycle: t.LifecycleState,
		Project: strconv.Itoa(t.Tenant), ProjectName: a.opts.Project(t.Tenant), Origin: t.Origin,
	}
	if t.Occasion == alarm.Repeated || t.Occasion == alarm.Tested { // not the telling that receivers have seen
		m.Event += "-" + strconv.FormatInt(t.Time, 10)
	}
	for _, s := range t.Metrics {
		m.Metrics = append(m.Metrics, notify.Metric{Name: s.Name, Dimensions: s.Dimensions})
	}
	if t.Origin.Service != 0 && a.engine != nil {
		a.engine.View(t.Origin.Service, func(s *service.Service) { m.ServiceName = s.Meta.Name })
	}
	m.Bound()
	return m
}

// What one transaction holds, beside its guards: an external cluster's defaults with room to spare.
const (
	writesATime = 110
	bytesATime  = 512 << 10
)

// transactions are those of a turn. What concerns one alarm, its record and what its transition causes, is in
// one of them; only the lists of metrics of an alarm of thousands are written before, in their own.
func (a *Alerting) transactions(w *watch, records []alarm.Record, c *consequences) []store.Txn {
	p := packer{fence: a.tenure.Fence(w.shard), order: definitionPrefix + w.id}
	if w.head > 0 { // no state may outlive its definition
		p.head = store.At(definitionPrefix+w.id, w.head)
	}
	done := make(map[uint32]bool)
	for _, kind := range [...]string{"metrics/", "", "alarm/", "draft/"} {
		for _, r := range records {
			if !of(r.Key, kind) {
				continue
			}
			unit := []store.Put{{Key: statePrefix + w.id + "/" + r.Key, Value: r.Value}}
			if serial, ok := alarmOf(r.Key); ok {
				unit = append(unit, c.puts(serial)...)
				done[serial] = true
			}
			p.add(unit)
		}
	}
	for _, t := range c.transitions { // those that changed no record
		if !done[t.Serial] {
			done[t.Serial] = true
			p.add(c.puts(t.Serial))
		}
	}
	return p.finish()
}

// of tells the kinds of record apart: "" is all but those that have a name.
func of(key, kind string) bool {
	if kind == "" {
		return !of(key, "metrics/") && !of(key, "alarm/") && !of(key, "draft/")
	}
	return strings.HasPrefix(key, kind)
}

func alarmOf(key string) (serial uint32, ok bool) {
	rest, ok := strings.CutPrefix(key, "alarm/")
	n, err := strconv.ParseUint(rest, 10, 32)
	return uint32(n), ok && err == nil
}

// puts are the writes of what the transitions of an alarm cause.
func (c *consequences) puts(serial uint32) (out []store.Put) {
	for i := range c.deliveries[serial] {
		out = append(out, notify.Put(&c.deliveries[serial][i]))
	}
	for _, e := range c.errands[serial] {
		out = append(out, e.put())
	}
	return out
}

// A packer puts units of writes that belong together into as few transactions as hold them.
type packer struct {
	fence, head store.Guard
	order       string
	all         []store.Txn
	txn         store.Txn
	bytes       int
}

func (p *packer) add(unit []store.Put) {
	size := 0
	for _, x := range unit {
		size += len(x.Key) + len(x.Value)
	}
	if n := len(p.txn.Puts) + len(p.txn.Deletes); n > 0 && (n+len(unit) > writesATime || p.bytes+size > bytesATime) {
		p.flush()
	}
	p.bytes += size
	for _, x := range unit {
		if x.Value == nil {
			p.txn.Deletes = append(p.txn.Deletes, x.Key)
		} else {
			p.txn.Puts = append(p.txn.Puts, x)
		}
	}
}

func (p *packer) flush() {
	p.txn.Order, p.txn.Guards = p.order, []store.Guard{p.fence}
	if p.head.Key != "" {
		p.txn.Guards = append(p.txn.Guards, p.head)
	}
	p.all = append(p.all, p.txn)
	p.txn, p.bytes = store.Txn{}, 0
}

func (p *packer) finish() []store.Txn {
	if len(p.txn.Puts)+len(p.txn.Deletes) > 0 {
		p.flush()
	}
	return p.all
}

// carryOut does what was committed.
func (a *Alerting) carryOut(w *watch, c *consequences) {
	for _, serial := range sortedKeys(c.deliveries) {
		if s := a.sending(); s != nil { // otherwise they wait in the store
			s.Add(c.deliveries[serial]...)
		}
	}
	for _, serial := range sortedKeys(c.errands) {
		for _, e := range c.errands[serial] {
			a.errands.Push(e)
		}
	}
	for i := range c.transitions {
		t := &c.transitions[i]
		a.hub.publish(Change{Tenant: t.Tenant, Definition: w.id, Alarm: t.Alarm})
		if t.Occasion == alarm.Changed || t.Occasion == alarm.Ended {
			a.note(t)
		}
	}
}

func sortedKeys[V any](m map[uint32]V) []uint32 {
	keys := make([]uint32, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
