package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// mailSubject is `STATE SEVERITY "name" for Host: h`, with the target where the metrics have one.
func mailSubject(m *Message) string {
	var b strings.Builder
	if m.Test {
		b.WriteString("TEST: ")
	}
	fmt.Fprintf(&b, "%s %s %q", m.State, m.Severity, m.Name)
	if hosts := m.values("hostname"); len(hosts) > 0 {
		b.WriteString(" for Host: " + strings.Join(hosts, ", "))
	}
	if targets := m.values("target_host"); len(targets) > 0 {
		b.WriteString(" Target: " + strings.Join(targets, ", "))
	}
	return oneLine(b.String(), 500)
}

// values returns the distinct values of a dimension over all metrics, sorted.
func (m *Message) values(dimension string) []string {
	var out []string
	for _, x := range m.Metrics {
		if v, ok := x.Dimensions.Get(dimension); ok && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// oneLine makes a header's text: no control characters, at most so many characters.
func oneLine(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// mailText is the body: message, time, ids, and all dimensions.
func mailText(m *Message) string {
	var b strings.Builder
	if hosts := m.values("hostname"); len(hosts) > 0 {
		fmt.Fprintf(&b, "On %s: ", strings.Join(hosts, ", "))
	}
	fmt.Fprintf(&b, "%s\n\n", m.text())
	fmt.Fprintf(&b, "Alarm %q went from %s to %s at %s.\n", m.Name, m.OldState, m.State, m.Time.UTC().Format(time.RFC3339))
	for _, line := range [][2]string{
		{"Description", m.Description}, {"Severity", m.Severity}, {"Service", m.ServiceName}, {"Role", m.Origin.Role},
		{"Alarm id", m.Alarm}, {"Lifecycle state", m.Lifecycle}, {"Link", m.Link},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%s: %s\n", line[0], line[1])
		}
	}
	if len(m.Metrics) > 0 {
		b.WriteString("\nMetrics:\n")
	}
	for _, x := range m.Metrics {
		fmt.Fprintf(&b, "  %s\n", x.Name)
		for _, d := range x.Dimensions {
			fmt.Fprintf(&b, "    %s: %s\n", d.Name, d.Value)
		}
	}
	return b.String()
}
