package monasca

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

func showEntry(e *alerting.Entry) object {
	metrics := make([]object, len(e.Metrics))
	for i, x := range e.Metrics {
		metrics[i] = object{"id": nil, "name": x.Name, "dimensions": x.Dimensions.Map()}
	}
	parts := make([]object, len(e.Parts))
	for i, x := range e.Parts {
		p := &x.Part
		values := make([]decimal, len(x.Values))
		for j, v := range x.Values {
			values[j] = decimal(v)
		}
		parts[i] = object{"sub_alarm_state": x.State, "current_values": values,
			"sub_alarm_expression": object{"function": p.Function, "metric_name": p.Metric, "dimensions": p.Dimensions.Map(), "operator": p.Operator,
				"threshold": decimal(p.Threshold), "period": p.Period.Seconds(), "periods": p.Times, "deterministic": p.Deterministic}}
	}
	ms := e.Time.UnixMilli()
	return object{"id": strconv.FormatInt(ms, 10), "timestamp": millis(ms), "alarm_id": e.Alarm, "metrics": metrics, "old_state": e.From, "new_state": e.To,
		"reason": e.Reason, "reason_data": "{}", "sub_alarms": parts}
}

// chronicle answers the changes that a query asks for.
func (m *Monasca) chronicle(r *request, q alerting.HistoryQuery) (answer, error) {
	var err error
	if q.From, q.To, err = r.span(); err != nil {
		return answer{}, err
	}
	if q.Limit, err = r.limit(); err != nil {
		return answer{}, err
	}
	if text := r.FormValue("offset"); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		t, isTime := parseTime(text)
		switch {
		case err == nil && ms >= 0:
			t = time.UnixMilli(ms)
		case !isTime:
			return answer{}, invalid("Offset value %.40q must be a time, or the id of a change", text)
		}
		if t = t.Add(time.Millisecond); t.After(q.From) { // behind it
			q.From = t
		}
	}
	page, more, err := m.Control.AlarmChronicle(r.Context(), r.who, "", q)
	if err != nil {
		return answer{}, err
	}
	next := ""
	if more && len(page) > 0 {
		next = strconv.FormatInt(page[len(page)-1].Time.UnixMilli(), 10)
	}
	elements := make([]object, len(page))
	for i := range page {
		elements[i] = showEntry(&page[i])
	}
	return listed(r, elements, next)
}

// listHistory tells of the alarms that there still are.
func (m *Monasca) listHistory(r *request) (answer, error) {
	dimensions, err := r.dimensions("dimensions")
	if err != nil {
		return answer{}, err
	}
	alarms, err := m.Control.Alarms(r.who, "", "", nil)
	if err != nil {
		return answer{}, err
	}
	there := make(map[string]bool, len(alarms))
	for i := range alarms {
		there[alarms[i].ID] = true
	}
	return m.chronicle(r, alerting.HistoryQuery{Match: func(e *alerting.Entry) bool { return there[e.Alarm] && concerns(e, dimensions) }})
}

// concerns reports whether one of the metrics of a change has all the dimensions.
func concerns(e *alerting.Entry, dimensions []telemetry.DimensionFilter) bool {
	return len(dimensions) == 0 || slices.ContainsFunc(e.Metrics, func(x alerting.EntryMetric) bool { return alerting.MatchDimensions(dimensions, x.Dimensions) })
}

// showHistory tells of one alarm, also of one that is gone, as long as something is known.
func (m *Monasca) showHistory(r *request) (answer, error) {
	id := r.PathValue("id")
	_, err := m.Control.Alarm(r.who, "", id)
	if errors.Is(err, alarm.ErrNoAlarm) {
		known, _, e := m.Control.AlarmChronicle(r.Context(), r.who, "", alerting.HistoryQuery{Alarm: id, Limit: 1})
		if e != nil || len(known) > 0 {
			err = e
		}
	}
	if err != nil {
		return answer{}, err
	}
	return m.chronicle(r, alerting.HistoryQuery{Alarm: id})
}
