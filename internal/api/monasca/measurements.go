package monasca

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/telemetry"
)

// query reads what measurements and statistics have in common.
func (m *Monasca) query(r *request) (q telemetry.Query, err error) {
	if q.Filter, err = r.filter("name"); err != nil {
		return q, err
	}
	switch {
	case q.Filter.Name == "":
		return q, invalid("Name is required")
	case r.FormValue("start_time") == "":
		return q, invalid("start_time is required")
	}
	if q.From, q.To, err = r.span(); err != nil {
		return q, err
	}
	q.Merge = strings.EqualFold(r.FormValue("merge_metrics"), "true")
	for name := range strings.SplitSeq(r.FormValue("group_by"), ",") {
		switch name = strings.TrimSpace(name); name {
		case "":
		case "*":
			q.Each = true
		default:
			q.GroupBy = append(q.GroupBy, name)
		}
	}
	if q.Merge && (q.Each || len(q.GroupBy) > 0) { // merging is the coarser of the two: groups win
		q.Merge = false
	}
	q.After, err = r.place()
	return q, err
}

// A table collects rows into elements, one for each group, as many as fit on a page.
type table struct {
	key      string // of an element's rows
	columns  []string
	limit    int
	rows     int
	elements []object
	group    *telemetry.Group
	time     int64
	next     bool // there are more
}

// add takes one row; false when the page is full. Rows that share the last one's group and time come along: the next page begins behind them.
func (t *table) add(g *telemetry.Group, at int64, row []any) bool {
	tie := t.group == g && t.time == at
	if t.rows >= t.limit && !tie {
		t.next = t.limit > 0
		return false
	}
	if t.group != g {
		t.elements = append(t.elements, object{"id": strconv.Itoa(g.Number), "name": g.Name, "dimensions": g.Dimensions.Map(), "columns": t.columns, t.key: []any{}})
	}
	t.group, t.time = g, at
	t.rows++
	e := t.elements[len(t.elements)-1]
	e[t.key] = append(e[t.key].([]any), row)
	return true
}

// answer links to the next page by the form that a row's offset has there.
func (t *table) answer(r *request, offset func(g *telemetry.Group, at int64) string) (answer, error) {
	next := ""
	if t.next {
		next = offset(t.group, t.time)
	}
	return listed(r, t.elements, next)
}

func (m *Monasca) listMeasurements(r *request) (answer, error) {
	q, err := m.query(r)
	if err != nil {
		return answer{}, err
	}
	t := table{key: "measurements", columns: []string{"timestamp", "value", "value_meta"}}
	if t.limit, err = r.limit(); err != nil {
		return answer{}, err
	}
	history, tenant, err := m.past(r)
	if err != nil {
		return answer{}, err
	}
	q.Tenant = tenant
	for row, err := range history.Rows(r.Context(), q) {
		if err != nil {
			return answer{}, err
		}
		meta := row.Meta
		if meta == nil {
			meta = map[string]string{}
		}
		if !t.add(row.Group, row.Time, []any{millis(row.Time), decimal(row.Value), meta}) {
			break
		}
	}
	return t.answer(r, func(g *telemetry.Group, at int64) string { return fmt.Sprintf("%d_%s", g.Number, millis(at)) })
}

// statistic computes each of the functions.
var statistic = map[string]func(*telemetry.Summary) float64{
	"avg":   func(s *telemetry.Summary) float64 { return s.Avg() },
	"min":   func(s *telemetry.Summary) float64 { return s.Min },
	"max":   func(s *telemetry.Summary) float64 { return s.Max },
	"sum":   func(s *telemetry.Summary) float64 { return s.Sum },
	"count": func(s *telemetry.Summary) float64 { return float64(s.Count) },
}

// statistics reads "AVG,max".
func (r *request) statistics() ([]string, error) {
	given := strings.Split(strings.ToLower(r.FormValue("statistics")), ",")
	for i := range given {
		given[i] = strings.TrimSpace(given[i])
		if statistic[given[i]] == nil {
			return nil, invalid("Statistics %.60q must be one or more of avg, min, max, sum, count, separated by commas", r.FormValue("statistics"))
		}
	}
	return given, nil
}

// maxPeriod keeps a period in milliseconds within what a duration holds.
const maxPeriod = 10 * 366 * 24 * 3600

// period reads how long one statistic is.
func (r *request) period() (time.Duration, error) {
	text := r.FormValue("period")
	if text == "" {
		return 300 * time.Second, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxPeriod {
		return 0, invalid("Period %.40q must be a positive integer, of seconds", text)
	}
	return time.Duration(n) * time.Second, nil
}

func (m *Monasca) listStatistics(r *request) (answer, error) {
	q, err := m.query(r)
	if err != nil {
		return answer{}, err
	}
	functions, err := r.statistics()
	if err != nil {
		return answer{}, err
	}
	period, err := r.period()
	if err != nil {
		return answer{}, err
	}
	t := table{key: "statistics", columns: slices.Insert(slices.Clone(functions), 0, "timestamp")}
	if t.limit, err = r.limit(); err != nil {
		return answer{}, err
	}
	history, tenant, err := m.past(r)
	if err != nil {
		return answer{}, err
	}
	q.Tenant = tenant
	for s, err := range history.Summaries(r.Context(), q, period) {
		if err != nil {
			return answer{}, err
		}
		row := []any{alarmTime(s.Start)}
		for _, f := range functions {
			row = append(row, decimal(statistic[f](&s)))
		}
		if !t.add(s.Group, s.Start, row) {
			break
		}
	}
	grouped := q.Each || len(q.GroupBy) > 0
	return t.answer(r, func(g *telemetry.Group, at int64) string {
		if grouped {
			return fmt.Sprintf("%d_%s", g.Number, alarmTime(at))
		}
		return alarmTime(at)
	})
}
