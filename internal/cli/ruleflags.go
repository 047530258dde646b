package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/client"
)

// dampingFlag takes how many changes of an alarm are too many in which time: 5/10m; none lifts that.
type dampingFlag struct{ value *client.Damping }

// String implements pflag.Value.
func (f dampingFlag) String() string {
	if f.value == nil || f.value.Transitions == 0 {
		return ""
	}
	return strconv.Itoa(f.value.Transitions) + "/" + time.Duration(f.value.Within).String()
}

// Type implements pflag.Value.
func (f dampingFlag) Type() string { return "damping" }

// Set implements pflag.Value.
func (f dampingFlag) Set(text string) error {
	if text == "none" {
		*f.value = client.Damping{}
		return nil
	}
	number, within, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(number)
	var span time.Duration
	if err != nil || (spanFlag{&span}).Set(within) != nil || n < 1 || span <= 0 {
		return fmt.Errorf("write how many changes in which time, such as 5/10m, or none")
	}
	*f.value = client.Damping{Transitions: n, Within: client.Duration(span)}
	return nil
}

// maintenanceFlag takes windows of maintenance: when each begins and ends, and how often it is repeated.
type maintenanceFlag struct{ value *[]client.Maintenance }

// String implements pflag.Value.
func (f maintenanceFlag) String() string {
	if f.value == nil {
		return ""
	}
	var all []string
	for _, m := range *f.value {
		text := m.From.Format(time.RFC3339) + " " + m.To.Format(time.RFC3339)
		if m.Every > 0 {
			text += " " + time.Duration(m.Every).String()
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// Type implements pflag.Value.
func (f maintenanceFlag) Type() string { return "window" }

// Set implements pflag.Value.
func (f maintenanceFlag) Set(text string) error {
	bad := fmt.Errorf("write when it begins and ends, and how often it is repeated, such as '2030-01-05T02:00:00Z 2030-01-05T03:00:00Z 24h'")
	fields := strings.Fields(text)
	if len(fields) < 2 || len(fields) > 3 {
		return bad
	}
	var m client.Maintenance
	var err error
	if m.From, err = time.Parse(time.RFC3339, fields[0]); err != nil {
		return bad
	}
	if m.To, err = time.Parse(time.RFC3339, fields[1]); err != nil {
		return bad
	}
	if len(fields) == 3 {
		var every time.Duration
		if (spanFlag{&every}).Set(fields[2]) != nil {
			return bad
		}
		m.Every = client.Duration(every)
	}
	*f.value = append(*f.value, m)
	return nil
}
