package alarm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Profile says when windows are decided.
type Profile string

// The profiles. Both go through the same states for the same samples. Compat takes Monasca's expressions alone.
const (
	Fast   Profile = "fast"   // at the end of a window; the default
	Compat Profile = "compat" // as Monasca's engine: at full minutes, more than 30 seconds after the end
)

// Missing says what a part becomes that has no data for too long.
type Missing string

// The choices. A part with the keyword deterministic is OK without data, whatever the choice.
const (
	MissingUndetermined Missing = "undetermined" // the default
	MissingKeep         Missing = "keep"
	MissingOK           Missing = "ok"
	MissingAlarm        Missing = "alarm"
)

// Damping holds back the actions of an alarm that changes its state more than Transitions times Within.
type Damping struct {
	Transitions int           `json:"transitions"` // 0: no damping
	Within      time.Duration `json:"within"`
}

// A Definition says what to watch and what to do. Its zero values are the defaults.
type Definition struct {
	ID          string   `json:"id"`
	Tenant      int      `json:"tenant"` // metric.Series.Tenant
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Expression  string   `json:"expression"`
	MatchBy     []string `json:"match_by,omitempty"`
	Severity    string   `json:"severity"` // LOW, MEDIUM, HIGH, CRITICAL

	ActionsEnabled bool    `json:"actions_enabled"`
	Actions        Actions `json:"actions"`

	Profile Profile `json:"profile,omitempty"`
	// Lateness is how long after a window's end its late samples are waited for; Fast only.
	Lateness time.Duration `json:"lateness,omitempty"`
	// Silence is after how long without a sample a part counts as missing. 0: Monasca's rule, twice as
	// many windows without data as the part looks at.
	Silence time.Duration `json:"silence,omitempty"`
	Missing Missing       `json:"missing,omitempty"`
	// OKAfter is how long the parts must say OK without a break before the alarm does.
	OKAfter time.Duration `json:"ok_after,omitempty"`
	Damping Damping       `json:"damping,omitzero"`
	// Lifetime removes an alarm that had no sample for so long. 0: never.
	Lifetime    time.Duration `json:"lifetime,omitempty"`
	Maintenance []Maintenance `json:"maintenance,omitempty"`
}

// Bounds of definitions.
const (
	maxText       = 255 // characters of name and description
	maxActions    = 64  // of one state
	maxDamping    = 100 // transitions
	maxWindows    = 64  // of maintenance
	maxDuration   = 366 * 24 * time.Hour
	maxLateness   = time.Minute
	maxMatchBy    = metric.MaxDimensions
	compatDelay   = 30 * time.Second
	compatTick    = time.Minute
	futureWindows = 2
)

// A Problem is a mistake in a definition, with its place: "actions.alarm[1].scale.by".
type Problem struct{ Place, Message string }

func (p *Problem) Error() string { return p.Place + ": " + p.Message }

// problems collects mistakes.
type problems []error

func (p *problems) add(place, format string, args ...any) {
	*p = append(*p, &Problem{place, fmt.Sprintf(format, args...)})
}

func (p problems) join() error { return errors.Join(p...) }

// Validate returns all mistakes joined, each a *Problem; for the expression, its text is that of the *SyntaxError.
func (d *Definition) Validate() error {
	var p problems
	dialect := Troupe
	if d.Profile == Compat { // which decides at full minutes
		dialect = Monasca
	}
	if _, err := Parse(d.Expression, dialect); err != nil {
		p.add("expression", "%v", err)
	}
	if n := utf8.RuneCountInString(d.Name); n == 0 || n > maxText {
		p.add("name", "has %d characters; 1 to %d are allowed", n, maxText)
	}
	if n := utf8.RuneCountInString(d.Description); n > maxText {
		p.add("description", "has %d characters; up to %d are allowed", n, maxText)
	}
	oneOf(&p, "severity", d.Severity, "LOW", "MEDIUM", "HIGH", "CRITICAL")
	oneOf(&p, "profile", string(d.Profile), "", string(Fast), string(Compat))
	oneOf(&p, "missing", string(d.Missing), "", string(MissingUndetermined), string(MissingKeep), string(MissingOK), string(MissingAlarm))
	d.checkMatchBy(&p)
	d.checkDurations(&p)
	for state, list := range d.Actions.byState() {
		checkActions(&p, "actions."+state, list)
	}
	if len(d.Maintenance) > maxWindows {
		p.add("maintenance", "holds %d windows; up to %d are allowed", len(d.Maintenance), maxWindows)
	}
	for i := range d.Maintenance {
		d.Maintenance[i].check(&p, fmt.Sprintf("maintenance[%d]", i))
	}
	return p.join()
}

func oneOf(p *problems, place, given string, known ...string) {
	if !slices.Contains(known, given) {
		shown := slices.DeleteFunc(slices.Clone(known), func(s string) bool { return s == "" })
		p.add(place, "%.40q is none of %s%s", given, strings.Join(shown, ", "), nearest.Hint(given, shown))
	}
}

func (d *Definition) checkMatchBy(p *problems) {
	if len(d.MatchBy) > maxMatchBy {
		p.add("match_by", "holds %d names; up to %d are allowed", len(d.MatchBy), maxMatchBy)
		return
	}
	for i, name := range d.MatchBy {
		place := fmt.Sprintf("match_by[%d]", i)
		if err := metric.CheckDimension(name, "x"); err != nil {
			p.add(place, "%v", err)
		} else if slices.Contains(d.MatchBy[:i], name) {
			p.add(place, "%q is given twice", name)
		}
	}
}

func (d *Definition) checkDurations(p *problems) {
	check := func(place string, given, least, most time.Duration) {
		if given != 0 && (given < least || given > most || given%time.Millisecond != 0) {
			p.add(place, "%v is not a whole number of milliseconds from %v to %v", given, least, most)
		}
	}
	check("silence", d.Silence, minSilence, maxDuration)
	check("lateness", d.Lateness, time.Millisecond, maxLateness)
	check("ok_after", d.OKAfter, time.Millisecond, maxDuration)
	check("lifetime", d.Lifetime, time.Second, 10*maxDuration)
	check("damping.within", d.Damping.Within, time.Second, maxDuration)
	if d.Lateness != 0 && d.Profile == Compat {
		p.add("lateness", "is for the profile fast; compat always waits %v", compatDelay)
	}
	if n := d.Damping.Transitions; n < 0 || n > maxDamping {
		p.add("damping.transitions", "%d is not from 1 to %d", n, maxDamping)
	} else if n > 0 && d.Damping.Within == 0 {
		p.add("damping.within", "is missing")
	} else if n == 0 && d.Damping.Within != 0 {
		p.add("damping.transitions", "is missing")
	}
}

// CheckUpdate returns why a definition may not become next: match_by never changes, nor does the set of
// metrics that its parts watch. On success it returns, for each part of next, the part of d that it continues;
// parts of the same metric are taken by their position.
func (d *Definition) CheckUpdate(next *Definition) ([]int, error) {
	if err := next.Validate(); err != nil {
		return nil, err
	}
	if !slices.Equal(d.MatchBy, next.MatchBy) {
		return nil, &Problem{"match_by", "cannot be changed; make a new definition"}
	}
	before, err := Parse(d.Expression, Troupe)
	if err != nil {
		return nil, err
	}
	after, err := Parse(next.Expression, Troupe)
	if err != nil {
		return nil, err
	}
	if len(before.Parts) != len(after.Parts) {
		return nil, &Problem{"expression", fmt.Sprintf("has %d parts, before it had %d; make a new definition", len(after.Parts), len(before.Parts))}
	}
	taken := make([]bool, len(before.Parts))
	origin := make([]int, len(after.Parts))
	for i := range after.Parts {
		part := &after.Parts[i]
		at := slices.IndexFunc(before.Parts, func(old Part) bool {
			return old.Metric == part.Metric && slices.Equal(old.Dimensions, part.Dimensions)
		})
		for at >= 0 && at < len(taken) && (taken[at] || before.Parts[at].Metric != part.Metric || !slices.Equal(before.Parts[at].Dimensions, part.Dimensions)) {
			at++
		}
		if at < 0 || at == len(taken) {
			return nil, &Problem{"expression", fmt.Sprintf("%s%s was not watched before; make a new definition", part.Metric, part.Dimensions)}
		}
		taken[at], origin[i] = true, at
	}
	return origin, nil
}
