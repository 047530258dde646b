package alerting

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// An AlarmFilter chooses alarms. All that is set must hold.
type AlarmFilter struct {
	// MetricName and Dimensions must hold for one and the same of the alarm's metrics.
	MetricName     string
	Dimensions     []telemetry.DimensionFilter
	States         []alarm.State // one of them; none for any
	Severities     []string      // one of them; none for any
	LifecycleState string
	Link           string
	Since          time.Time // of the last change of state
}

// Match reports whether the filter chooses the alarm.
func (f *AlarmFilter) Match(a *Alarm) bool {
	switch {
	case len(f.States) > 0 && !slices.Contains(f.States, a.State),
		len(f.Severities) > 0 && !slices.Contains(f.Severities, a.Severity),
		f.LifecycleState != "" && f.LifecycleState != a.LifecycleState,
		f.Link != "" && f.Link != a.Link,
		!f.Since.IsZero() && a.StateUpdated < f.Since.UnixMilli():
		return false
	case f.MetricName == "" && len(f.Dimensions) == 0:
		return true
	}
	return slices.ContainsFunc(a.Metrics, func(s *metric.Series) bool {
		return (f.MetricName == "" || f.MetricName == s.Name) && MatchDimensions(f.Dimensions, s.Dimensions)
	})
}

// MatchDimensions reports whether every filter finds one of its dimensions.
func MatchDimensions(filters []telemetry.DimensionFilter, d metric.Dimensions) bool {
	for _, f := range filters {
		value, ok := d.Get(f.Name)
		if !ok || len(f.Values) > 0 && !slices.Contains(f.Values, value) {
			return false
		}
	}
	return true
}

// countFields are what alarms can be counted by, in Monasca's words; name is that of the definition.
var countFields = []string{"alarm_definition_id", "name", "state", "severity", "link", "lifecycle_state", "metric_name", "dimension_name", "dimension_value"}

// CountFields returns what CountAlarms takes.
func CountFields() []string { return slices.Clone(countFields) }

// A Tally is how many alarms agree in some fields.
type Tally struct {
	Count  int
	Values []string // in the order of the fields; "" for what is not set
}

// CountAlarms counts alarms by fields. Counted by metrics or dimensions, an alarm counts once for each of them that it has.
func CountAlarms(alarms []Alarm, fields []string) []Tally {
	counts := make(map[string]*Tally)
	for i := range alarms {
		seen := make(map[string]bool)
		for _, values := range facets(&alarms[i], fields) {
			key := strings.Join(values, "\x00")
			if seen[key] {
				continue
			}
			seen[key] = true
			if counts[key] == nil {
				counts[key] = &Tally{Values: values}
			}
			counts[key].Count++
		}
	}
	out := make([]Tally, 0, len(counts))
	for _, t := range counts {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Tally) int { return slices.Compare(a.Values, b.Values) })
	return out
}

// facets are the values of the fields, once for each of the alarm's metrics and dimensions that they ask for.
func facets(a *Alarm, fields []string) [][]string {
	byMetric := slices.Contains(fields, "metric_name")
	byDimension := slices.Contains(fields, "dimension_name") || slices.Contains(fields, "dimension_value")
	if !byMetric && !byDimension {
		return [][]string{facet(a, fields, "", metric.Dimension{})}
	}
	var out [][]string
	for _, s := range a.Metrics {
		if !byDimension {
			out = append(out, facet(a, fields, s.Name, metric.Dimension{}))
			continue
		}
		for _, d := range s.Dimensions {
			out = append(out, facet(a, fields, s.Name, d))
		}
	}
	return out
}

func facet(a *Alarm, fields []string, name string, d metric.Dimension) []string {
	values := make([]string, len(fields))
	for i, f := range fields {
		switch f {
		case "alarm_definition_id":
			values[i] = a.Definition
		case "name":
			values[i] = a.Name
		case "state":
			values[i] = a.State.String()
		case "severity":
			values[i] = a.Severity
		case "link":
			values[i] = a.Link
		case "lifecycle_state":
			values[i] = a.LifecycleState
		case "metric_name":
			values[i] = name
		case "dimension_name":
			values[i] = d.Name
		case "dimension_value":
			values[i] = d.Value
		}
	}
	return values
}

// CompareSeverity orders LOW, MEDIUM, HIGH, CRITICAL.
func CompareSeverity(a, b string) int {
	return cmp.Compare(slices.Index(severities, a), slices.Index(severities, b))
}

// severities from the least on.
var severities = []string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}

// Severities returns them from the least on.
func Severities() []string { return slices.Clone(severities) }
