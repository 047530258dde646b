package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
)

// A colour is an escape sequence of terminals.
type colour string

const (
	red    colour = "\x1b[31m"
	green  colour = "\x1b[32m"
	yellow colour = "\x1b[33m"
	dim    colour = "\x1b[2m"
)

// paint colours a text where that is wanted.
func (t *terminal) paint(c colour, text string) string {
	if !t.colour || text == "" {
		return text
	}
	return string(c) + text + "\x1b[0m"
}

// paintState colours a state by what it means.
func (t *terminal) paintState(state string) string {
	switch {
	case state == "RUNNING" || state == "up":
		return t.paint(green, state)
	case strings.HasPrefix(state, "FAILED") || state == "resting" || state == "down":
		return t.paint(red, state)
	case state == "DONE":
		return t.paint(dim, state)
	}
	return t.paint(yellow, state)
}

// A table shows rows of text; wide columns appear with -o wide only. The first column is what -o name prints.
type table struct {
	head []string
	wide int // columns from here on are wide ones; 0: none
	rows [][]string
}

func (b *table) add(cells ...string) { b.rows = append(b.rows, cells) }

// show prints a value the way -o asks for: the table, or the value itself as JSON or YAML.
func (t *terminal) show(value any, b *table) error {
	switch t.output {
	case "json":
		text, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			return fmt.Errorf("print as JSON: %w", err)
		}
		fmt.Fprintln(t.out, string(text))
		return nil
	case "yaml":
		return t.showYAML(value)
	case "name":
		for _, r := range b.rows {
			fmt.Fprintln(t.out, r[0])
		}
		return nil
	}
	columns := len(b.head)
	if b.wide > 0 && t.output != "wide" {
		columns = b.wide
	}
	w := tabwriter.NewWriter(t.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(b.head[:columns], "\t"))
	for _, r := range b.rows {
		fmt.Fprintln(w, strings.Join(r[:columns], "\t"))
	}
	return w.Flush()
}

// showYAML prints a value with the names and in the form that its JSON has.
func (t *terminal) showYAML(value any) error {
	text, err := json.Marshal(value)
	if err == nil {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return fmt.Errorf("print as YAML: %w", err)
	}
	_, err = t.out.Write(text)
	return err
}

// since tells how long ago a time was, roughly: "5s", "3m", "2h", "4d".
func since(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return span(time.Since(at))
}

func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// bytes shows a number of bytes.
func bytes(n int64) string {
	value, unit := float64(n), "B"
	for _, u := range [...]string{"K", "M", "G", "T"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, u
	}
	if unit == "B" {
		return fmt.Sprintf("%d", n)
	}
	return fmt.Sprintf("%.1f%s", value, unit)
}

// orDash stands in for what is empty.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// oneLine keeps what others wrote from moving the cursor or breaking a table.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}
