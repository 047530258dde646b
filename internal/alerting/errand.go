package alerting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/policy"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// An errand is an order to a service that an alarm gives. Its record is written with the transition, and goes
// when the service has answered: an order that is repeated counts once.
type errand struct {
	Version    int          `json:"v"`
	ID         string       `json:"id"` // also the command's
	Definition string       `json:"definition"`
	Alarm      string       `json:"alarm"`
	Sequence   uint32       `json:"sequence"`
	Name       string       `json:"name"` // of the definition
	Tenant     int          `json:"tenant"`
	Owner      int          `json:"uid"`
	Of         uint64       `json:"of,omitempty"` // the service whose description the alarm comes from
	Because    string       `json:"because"`
	Action     alarm.Action `json:"action"`
	Service    uint64       `json:"service"`
	Role       string       `json:"role,omitempty"`
	Serial     uint32       `json:"serial,omitempty"`
	Made       time.Time    `json:"made"`
	// Bears is what the instances of the role bore on average, where the alarm looks at just that.
	Bears *service.Bears `json:"bears,omitempty"`

	tries int
}

const (
	errandPrefix  = "errand/"
	errandsAtOnce = 16
	// errandTime is how long an order is tried that the service refuses in its present state.
	errandTime = 10 * time.Minute
)

func newErrand(w *watch, t *alarm.Transition, n int) *errand {
	e := &errand{
		Version: 1, ID: fmt.Sprintf("%s-%d-%d-%d", t.Alarm, t.Sequence, n, t.Time), Definition: w.id, Alarm: t.Alarm, Sequence: t.Sequence,
		Name: t.Name, Tenant: t.Tenant, Owner: w.owner, Of: w.service, Because: t.Reason, Action: t.Runs[n].Action,
		Service: t.Origin.Service, Role: t.Origin.Role, Serial: t.Origin.Serial, Made: time.UnixMilli(t.Time).UTC(),
	}
	if len(e.Because) > 1000 {
		e.Because = e.Because[:1000] + "…"
	}
	at := func(service uint64, role string) {
		if service != 0 {
			e.Service = service
		} else if e.Service == 0 {
			e.Service = w.service
		}
		if role != "" {
			e.Role = role
		}
	}
	switch {
	case e.Action.Scale != nil:
		at(e.Action.Scale.Service, e.Action.Scale.Role)
		e.Bears = borne(t)
	case e.Action.Act != nil:
		at(e.Action.Act.Service, e.Action.Act.Role)
	}
	return e
}

// borne is the average that an alarm was decided from; nil for one that looks at something else, or at several things. That the instances share what
// it measures is known only of an average.
func borne(t *alarm.Transition) *service.Bears {
	if len(t.SubAlarms) != 1 {
		return nil
	}
	x := &t.SubAlarms[0]
	if x.Part.Function != alarm.Avg || len(x.Values) == 0 {
		return nil
	}
	return &service.Bears{Of: x.Part.Metric + x.Part.Dimensions.String(), Value: x.Values[len(x.Values)-1]}
}

func (e *errand) put() store.Put {
	value, err := json.Marshal(e)
	if err != nil {
		panic("alerting: an errand cannot be encoded: " + err.Error()) // plain data
	}
	return store.Put{Key: errandPrefix + e.ID, Value: value}
}

// runErrand gives the order, and again later where that may help.
func (a *Alerting) runErrand(ctx context.Context, e *errand) {
	again, outcome := a.order(ctx, e)
	if ctx.Err() != nil {
		return // it is stored
	}
	if again > 0 {
		e.tries++
		a.calls.Add(1)
		time.AfterFunc(again, func() { defer a.calls.Done(); a.errands.Push(e) })
		return
	}
	a.figures.errand(outcome)
	if outcome != "" {
		a.log.Warn("a service did not follow an alarm", "definition", e.Definition, "alarm", e.Alarm, "service", e.Service, "role", e.Role, "reason", outcome)
	}
	if _, err := a.store.Commit(ctx, store.Txn{Guards: []store.Guard{a.tenure.Fence(store.Shard(e.Definition))}, Deletes: []string{errandPrefix + e.ID}}); err != nil && ctx.Err() == nil {
		a.log.Warn("an order that was answered is still stored; it is repeated after a restart and then counts once", "errand", e.ID, "error", err)
	}
}

// order asks the service. It returns when to ask again, or why it was not followed; "" when it was.
func (a *Alerting) order(ctx context.Context, e *errand) (again time.Duration, outcome string) {
	if a.leftAlone(e) {
		if a.still(e) {
			return min(time.Second<<min(e.tries, 4), 10*time.Second), ""
		}
		return 0, "nobody manages the service, and the alarm has changed"
	}
	command, why := a.command(e)
	if command == nil {
		return 0, why
	}
	_, err := a.engine.Order(ctx, e.Service, command)
	var refusal *service.Refusal
	switch {
	case err == nil:
		return 0, ""
	case errors.As(err, &refusal):
		if refusal.Kind == service.WrongState && time.Since(e.Made) < errandTime && a.still(e) {
			return min(time.Second<<min(e.tries, 4), 10*time.Second), ""
		}
		return 0, refusal.Message
	case errors.Is(err, engine.ErrNoService):
		return 0, err.Error()
	}
	return min(100*time.Millisecond<<min(e.tries, 7), 10*time.Second), ""
}

// leftAlone reports whether the service is unmanaged: what alarms order waits until it is attached, if they still stand then.
func (a *Alerting) leftAlone(e *errand) (alone bool) {
	a.engine.View(e.Service, func(s *service.Service) { alone = s.Mode == service.Unmanaged })
	return alone
}

// still reports whether the alarm is in the state that gave the order.
func (a *Alerting) still(e *errand) bool { return a.sequence(e.Alarm) == uint64(e.Sequence) }

// command words an errand for the service, as it is now; nil and why when it cannot.
func (a *Alerting) command(e *errand) (c *service.Command, why string) {
	found := a.engine.View(e.Service, func(s *service.Service) {
		switch {
		case s.Meta.Group != e.Tenant:
			why = "the service belongs to another project than the alarm"
			return
		case e.Of != 0 && e.Of != e.Service:
			why = "an alarm of a service's description acts on that service alone"
			return
		case e.Of == 0 && a.opts.May != nil && !a.opts.May(e.Owner, &s.Meta):
			why = "the alarm's owner may not manage the service"
			return
		}
		c = &service.Command{ID: "alarm-" + e.ID, Insists: true, By: "alarm " + e.Name, Because: e.Because}
		switch x := &e.Action; {
		case x.Scale != nil:
			r := s.Role(e.Role)
			if r == nil {
				c, why = nil, fmt.Sprintf("the service has no role %q", e.Role)
				return
			}
			c.Scale = &service.Scale{Role: e.Role, Cardinality: wished(x.Scale.By, r), Bears: e.Bears}
		case x.Replace:
			c.ReplaceOne = &service.ReplaceOne{Serial: e.Serial, Failed: true}
		case x.Restart:
			c.Act = &service.Act{Role: e.Role, Serial: e.Serial, Action: "reboot-hard"}
		case x.Act != nil:
			c.Act = &service.Act{Role: e.Role, Action: x.Act.Action}
		}
	})
	if !found {
		return nil, "service " + strconv.FormatUint(e.Service, 10) + " is no more"
	}
	return c, why
}

// wished is the cardinality that a change asks for, within the role's bounds.
func wished(by string, r *service.Role) int {
	change, err := alarm.ParseChange(by)
	if err != nil {
		return r.Cardinality // a definition's changes were checked
	}
	upper := r.Spec.Max
	if upper == nil {
		most := service.MaxCardinality
		upper = &most
	}
	adjust := policy.Adjustment{Kind: policy.Change, Adjust: change.Amount}
	switch {
	case change.Set:
		adjust.Kind = policy.Cardinality
	case change.Percent:
		adjust.Kind = policy.PercentageChange
	}
	return adjust.Apply(r.Cardinality, r.Spec.Min, upper)
}
