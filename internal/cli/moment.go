package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// moment is a flag that takes a time: RFC 3339, a local time, or how long ago it was.
type moment struct{ value *time.Time }

// String implements pflag.Value.
func (m moment) String() string {
	if m.value == nil || m.value.IsZero() {
		return ""
	}
	return m.value.Format(time.RFC3339)
}

// Type implements pflag.Value.
func (m moment) Type() string { return "time" }

// Set implements pflag.Value.
func (m moment) Set(text string) error {
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			*m.value = at
			return nil
		}
	}
	var ago time.Duration
	text = strings.TrimSuffix(text, " ago")
	if span, signed := strings.CutPrefix(text, "-"); signed && (spanFlag{&ago}).Set(span) == nil {
		return fmt.Errorf("give how long ago without a sign, such as %s", span)
	}
	if err := (spanFlag{&ago}).Set(text); err != nil {
		return fmt.Errorf("give a time such as 2030-01-05T02:00:00Z, or how long ago it was, such as 90m")
	}
	*m.value = time.Now().Add(-ago)
	return nil
}

// stamp shows a time to people.
func stamp(at time.Time) string { return at.Local().Format("2006-01-02 15:04:05.000") }

// ofProject gives a command the flag that names another project.
func ofProject(cmd *cobra.Command, project *string) *cobra.Command {
	cmd.Flags().StringVar(project, "project", "", "of this `group` instead of one's own")
	return cmd
}
