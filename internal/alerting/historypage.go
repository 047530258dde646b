package alerting

import (
	"context"
	"slices"
	"time"
)

// A HistoryQuery asks for changes of alarms in the order in which they happened.
type HistoryQuery struct {
	Alarm    string    // "" for all of the project
	From, To time.Time // [From, To); a zero To has no end
	Limit    int
	Match    func(*Entry) bool // nil for all
}

// Chronicle returns the first changes of a project's alarms that a query asks for, oldest first, and whether there are more. Changes at the
// time of the last one come along beyond the limit, so that the next query may begin behind that time.
func (a *Alerting) Chronicle(ctx context.Context, tenant int, q HistoryQuery) (page []Entry, more bool, err error) {
	if a.opts.Journal == nil {
		return nil, false, ErrNoHistory
	}
	// The journal is read backwards: what was read first is dropped first.
	err = a.opts.Journal.Backwards(ctx, func(e *Entry) bool {
		if e.Time.Before(q.From) {
			return false
		}
		if e.Tenant != tenant || q.Alarm != "" && e.Alarm != q.Alarm || !q.To.IsZero() && !e.Time.Before(q.To) || q.Match != nil && !q.Match(e) {
			return true
		}
		page = append(page, *e)
		if len(page) >= 2*q.Limit+100 {
			page, more = cut(page, q.Limit, more)
		}
		return true
	})
	if err != nil {
		return nil, false, err
	}
	page, more = cut(page, q.Limit, more)
	slices.Reverse(page)
	return page, more, nil
}

// cut keeps the oldest changes, which are last, and those at the same time as the newest of them.
func cut(page []Entry, limit int, more bool) ([]Entry, bool) {
	if len(page) <= limit {
		return page, more
	}
	from := len(page) - limit
	for from > 0 && limit > 0 && page[from-1].Time.Equal(page[from].Time) {
		from--
	}
	return slices.Clone(page[from:]), more || from > 0
}
