package monasca

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/metric"
)

const alarmsPath = "/v2.0/alarms"

func (r *request) showAlarm(a *alerting.Alarm) object {
	metrics := make([]object, len(a.Metrics))
	for i, s := range a.Metrics {
		metrics[i] = showSeries(s)
	}
	return object{"id": a.ID, "links": r.link(alarmsPath + "/" + a.ID),
		"alarm_definition": object{"id": a.Definition, "name": a.Name, "severity": a.Severity, "links": r.link(definitionsPath + "/" + a.Definition)},
		"metrics":          metrics, "state": a.State, "lifecycle_state": orNull(a.LifecycleState), "link": orNull(a.Link),
		"state_updated_timestamp": alarmTime(a.StateUpdated), "updated_timestamp": alarmTime(a.Updated), "created_timestamp": alarmTime(a.Created)}
}

func showSeries(s *metric.Series) object {
	return object{"name": s.Name, "dimensions": s.Dimensions.Map()}
}

// alarms returns those that the filters of the query choose.
func (m *Monasca) alarms(r *request) ([]alerting.Alarm, error) {
	f := alerting.AlarmFilter{MetricName: r.FormValue("metric_name"), LifecycleState: r.FormValue("lifecycle_state"), Link: r.FormValue("link")}
	var err error
	if f.Dimensions, err = r.dimensions("metric_dimensions"); err != nil {
		return nil, err
	}
	if f.States, err = r.state(); err != nil {
		return nil, err
	}
	if f.Severities, err = r.severities(); err != nil {
		return nil, err
	}
	if f.Since, err = r.time("state_updated_start_time", time.Time{}); err != nil {
		return nil, err
	}
	return m.Control.Alarms(r.who, "", r.FormValue("alarm_definition_id"), f.Match)
}

var alarmOrder = order[alerting.Alarm]{
	"alarm_id":                func(a, b *alerting.Alarm) int { return cmp.Compare(a.ID, b.ID) },
	"alarm_definition_id":     func(a, b *alerting.Alarm) int { return cmp.Compare(a.Definition, b.Definition) },
	"alarm_definition_name":   func(a, b *alerting.Alarm) int { return cmp.Compare(a.Name, b.Name) },
	"state":                   func(a, b *alerting.Alarm) int { return cmp.Compare(a.State, b.State) },
	"severity":                func(a, b *alerting.Alarm) int { return alerting.CompareSeverity(a.Severity, b.Severity) },
	"lifecycle_state":         func(a, b *alerting.Alarm) int { return cmp.Compare(a.LifecycleState, b.LifecycleState) },
	"link":                    func(a, b *alerting.Alarm) int { return cmp.Compare(a.Link, b.Link) },
	"state_updated_timestamp": func(a, b *alerting.Alarm) int { return cmp.Compare(a.StateUpdated, b.StateUpdated) },
	"updated_timestamp":       func(a, b *alerting.Alarm) int { return cmp.Compare(a.Updated, b.Updated) },
	"created_timestamp":       func(a, b *alerting.Alarm) int { return cmp.Compare(a.Created, b.Created) },
}

func (m *Monasca) listAlarms(r *request) (answer, error) {
	all, err := m.alarms(r)
	if err != nil {
		return answer{}, err
	}
	if err := sort(r, all, alarmOrder, "alarm_id"); err != nil {
		return answer{}, err
	}
	return paged(r, all, r.showAlarm)
}

func (m *Monasca) countAlarms(r *request) (answer, error) {
	var by []string
	if text := r.FormValue("group_by"); text != "" {
		for field := range strings.SplitSeq(text, ",") {
			if field = strings.TrimSpace(field); !slices.Contains(alerting.CountFields(), field) {
				return answer{}, invalid("Unprocessable group_by: %.60q must be one or more of %s", field, strings.Join(alerting.CountFields(), ", "))
			}
			by = append(by, field)
		}
	}
	all, err := m.alarms(r)
	if err != nil {
		return answer{}, err
	}
	tallies := alerting.CountAlarms(all, by)
	if len(tallies) == 0 {
		tallies = []alerting.Tally{{Values: make([]string, len(by))}}
	}
	page, next, err := window(r, tallies)
	if err != nil {
		return answer{}, err
	}
	counts := make([][]any, len(page))
	for i, t := range page {
		counts[i] = []any{t.Count}
		for _, v := range t.Values {
			counts[i] = append(counts[i], orNull(v))
		}
	}
	return ok(object{"links": r.links(next), "columns": slices.Insert(by, 0, "count"), "counts": counts})
}

func (m *Monasca) showAlarm(r *request) (answer, error) {
	a, err := m.Control.Alarm(r.who, "", r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	return ok(r.showAlarm(&a))
}

func (m *Monasca) putAlarm(r *request) (answer, error) {
	return m.changeAlarm(r, "state", "lifecycle_state", "link")
}

func (m *Monasca) patchAlarm(r *request) (answer, error) { return m.changeAlarm(r) }

// changeAlarm sets what the body names; what is required must not be empty.
func (m *Monasca) changeAlarm(r *request, required ...string) (answer, error) {
	f, err := r.fields(invalid)
	if err != nil {
		return answer{}, err
	}
	if err := f.require(required...); err != nil {
		return answer{}, err
	}
	var e alerting.Edit
	for key, to := range map[string]**string{"lifecycle_state": &e.LifecycleState, "link": &e.Link} {
		if !f.has(key) {
			continue
		}
		text := ""
		if err := f.text(key, &text); err != nil {
			return answer{}, err
		}
		if text == "" && slices.Contains(required, key) {
			return answer{}, invalid("%s must not be empty", key)
		}
		*to = &text
	}
	if f.has("state") {
		word := ""
		if err := f.text("state", &word); err != nil {
			return answer{}, err
		}
		s, err := alarm.ParseState(word)
		if err != nil {
			return answer{}, &fault{http.StatusUnprocessableEntity, "Invalid State", err.Error()}
		}
		e.State = &s
	}
	a, err := m.Control.EditAlarm(r.Context(), r.who, "", r.PathValue("id"), e)
	if err != nil {
		return answer{}, err
	}
	return ok(r.showAlarm(&a))
}

func (m *Monasca) deleteAlarm(r *request) (answer, error) {
	return answer{status: http.StatusNoContent}, m.Control.ForgetAlarm(r.Context(), r.who, "", r.PathValue("id"))
}
