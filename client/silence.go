package client

import (
	"context"
	"time"
)

// A NewSilence lets the actions of several alarms wait for a while. All that is set must hold for an alarm to be chosen; for Service,
// Role and Match, it is enough that they hold for one of its series.
type NewSilence struct {
	Name    string            `json:"name,omitempty" doc:"Only alarms of definitions of this name."`
	Service uint64            `json:"service,omitempty" doc:"Only alarms about this service."`
	Role    string            `json:"role,omitempty" doc:"Only alarms about this role of the service."`
	Match   map[string]string `json:"match,omitempty" doc:"Only alarms with a series of these dimensions, such as instance: \"7\"."`
	From    time.Time         `json:"from,omitzero" doc:"Now when left out."`
	To      time.Time         `json:"to"`
	Reason  string            `json:"reason" minLength:"1" maxLength:"255"`
}

// A Silence is one with what is known of it.
type Silence struct {
	ID string `json:"id"`
	NewSilence
	By Party `json:"by"`
}

// Silence begins a silence.
func (a *Alarms) Silence(ctx context.Context, w NewSilence) (Silence, error) {
	return ask[Silence](ctx, a.c, post(w, "alarm-silences").with(a.query(nil)))
}

// Silences returns those that are not over, by when they begin.
func (a *Alarms) Silences(ctx context.Context) ([]Silence, error) {
	return all(pages(func(cursor string) (Page[Silence], error) {
		q := a.query(nil)
		setPage(q, 0, cursor)
		return ask[Page[Silence]](ctx, a.c, get("alarm-silences").with(q))
	}))
}

// EndSilence ends a silence; what it held back is made up for.
func (a *Alarms) EndSilence(ctx context.Context, id string) error {
	return a.c.do(ctx, remove("alarm-silences", id).with(a.query(nil)), nil)
}
