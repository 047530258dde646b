package policy

import (
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/netresearch/go-cron"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Schedule is when a scheduled policy fires: once, or again and again.
type Schedule struct {
	start      time.Time          // zero for a recurrence
	recurrence *cron.SpecSchedule // read in UTC: its fields are wall-clock fields
	everyHour  *cron.SpecSchedule // the same in location, if it runs in each hour of the day
	location   *time.Location
}

// ParseStart reads the start_time of a policy that fires once: seconds since 1970, ISO 8601,
// "2013-10-02 15:45[:00]", RFC 2822 or "2nd oct 2017 15:45". Without a zone it is a time in loc; one
// that the clock there skips means the next instant that exists.
func ParseStart(text string, loc *time.Location) (*Schedule, error) {
	t, ok := parseTime(strings.TrimSpace(text), loc)
	if !ok {
		return nil, fmt.Errorf(`%s is not a valid Time; write "2026-03-01 15:45", "2026-03-01T15:45:00Z" or seconds since 1970`, quote(text))
	}
	return &Schedule{start: t, location: loc}, nil
}

// ParseRecurrence reads five cron fields (minute, hour, day of month, month, day of week) in loc:
// lists, ranges, steps "*/n" and "a-b/n", names of months and weekdays, 0 and 7 for Sunday; or
// @hourly, @daily, @weekly, @monthly, @yearly. If both day fields are restricted, either may match.
// A sixth field is ignored. Dates that never come are an error.
//
// Both changes of daylight saving run a recurrence once: a time that the clock skips runs at the
// next instant that exists, one that comes twice runs the first time. One that runs in every hour
// of the day follows elapsed time instead, so that it pauses at neither change.
func ParseRecurrence(text string, loc *time.Location) (*Schedule, error) {
	fields, err := cronFields(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a valid cron expression: %w", quote(text), err)
	}
	parsed, err := cronParser.Parse(strings.Join(fields, " "))
	if err != nil {
		return nil, fmt.Errorf("%s is not a valid cron expression: %w", quote(text), err)
	}
	wall := parsed.(*cron.SpecSchedule) // what Parse returns for all but @every, which cronFields refuses
	wall.Location = time.UTC
	s := &Schedule{recurrence: wall, location: loc}
	if wall.Hour&allHours == allHours {
		local := *wall
		local.Location = loc
		s.everyHour = &local
	}
	if wall.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%s is not a valid cron expression: that date never comes", quote(text))
	}
	return s, nil
}

const allHours = 1<<24 - 1

// The 29th of February may be eight years away (1896 to 1904, 2096 to 2104).
var cronParser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom).WithMaxSearchYears(9)

// Next returns the first time after after that the schedule fires, or the zero time if there is none.
func (s *Schedule) Next(after time.Time) time.Time {
	if s.recurrence == nil {
		if s.start.After(after) {
			return s.start
		}
		return time.Time{}
	}
	after = after.In(s.location)
	if s.everyHour != nil {
		return s.everyHour.Next(after)
	}
	// instant never runs backwards as the wall clock runs forwards, so nothing before after's own
	// wall clock can come after it. Times that come twice are skipped the second time.
	for w := s.recurrence.Next(wallClock(after)); !w.IsZero(); w = s.recurrence.Next(w) {
		if t := instant(w, s.location); t.After(after) {
			return t
		}
	}
	return time.Time{}
}

// Observe reports whether the schedule fires in the pass at now, and returns what is to be kept as
// the time of the last evaluation. The first pass, with a zero last, never fires; times missed
// since last fire once.
func (s *Schedule) Observe(last, now time.Time) (evaluated time.Time, fires bool) {
	if last.IsZero() {
		return now, false
	}
	next := s.Next(last)
	return now, !next.IsZero() && !next.After(now)
}

// wallClock returns what the clock on the wall shows at t, as if it were UTC.
func wallClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instant returns when the clock on the wall in loc shows wall: the first time if it does so twice,
// the end of the gap if it is set forward past it.
func instant(wall time.Time, loc *time.Location) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), loc)
	start, end := t.ZoneBounds()
	switch shown := wallClock(t); {
	case shown.After(wall): // t is past the gap
		return start
	case shown.Before(wall): // t is ahead of it
		return end
	case start.IsZero():
		return t
	}
	_, offset := t.Zone()
	_, before := start.Add(-time.Nanosecond).Zone()
	if earlier := t.Add(-time.Duration(before-offset) * time.Second); before > offset && earlier.Before(start) {
		return earlier
	}
	return t
}

var shorthands = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
	"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

// cronPart is one member of a cron field; steps need a range. The library would accept more.
var cronPart = regexp.MustCompile(`^(?:\*(?:/\d+)?|[a-z0-9]+(?:-[a-z0-9]+(?:/\d+)?)?)$`)

const maxRecurrence = 1024 // bytes

func cronFields(text string) ([]string, error) {
	if len(text) > maxRecurrence {
		return nil, fmt.Errorf("it is longer than %d bytes", maxRecurrence)
	}
	text = strings.ToLower(strings.TrimSpace(text))
	if full, ok := shorthands[text]; ok {
		text = full
	}
	fields := strings.Fields(text)
	if len(fields) != 5 && len(fields) != 6 {
		return nil, fmt.Errorf("it needs five fields (minute hour day month weekday), not %d", len(fields))
	}
	fields = fields[:5]
	for i, field := range fields {
		for part := range strings.SplitSeq(field, ",") {
			if err := cronKinds[i].check(part); err != nil {
				return nil, fmt.Errorf("%s: %w", cronKinds[i].name, err)
			}
		}
	}
	return fields, nil
}

// A cronKind is what one of the five fields may hold.
type cronKind struct {
	name      string
	low, high int
	noun      string   // of words
	words     []string // from low on; nil for none
}

var cronKinds = [...]cronKind{
	{"minute", 0, 59, "", nil}, {"hour", 0, 23, "", nil}, {"day of the month", 1, 31, "", nil},
	{"month", 1, 12, "month", strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")},
	{"day of the week", 0, 7, "weekday", strings.Fields("sun mon tue wed thu fri sat")},
}

// check says in the words of who wrote it what is wrong with a member of a field; the library would say it in its own.
func (k *cronKind) check(part string) error {
	if !cronPart.MatchString(part) {
		return fmt.Errorf("%s is no value, range or step (*/n, a-b/n)", quote(part))
	}
	values, step, stepped := strings.Cut(part, "/")
	low, high, isRange := strings.Cut(values, "-")
	from, to, err := k.low, k.high, error(nil)
	if values != "*" {
		if from, err = k.value(low); err != nil || !isRange {
			return err
		}
		if to, err = k.value(high); err != nil {
			return err
		}
		if high == "sun" { // the week's end, too
			to = k.high
		}
		if from > to {
			return fmt.Errorf("the range %s runs backwards", quote(part))
		}
	}
	if n, err := strconv.Atoi(step); stepped && (err != nil || n < 1 || n > to-from) {
		return fmt.Errorf("the step of %s is 0, or leads past its range", quote(part))
	}
	return nil
}

// value reads a number or a word.
func (k *cronKind) value(text string) (int, error) {
	if onlyDigit.MatchString(text) {
		n, err := strconv.Atoi(text)
		if err != nil || n < k.low || n > k.high {
			return 0, fmt.Errorf("%.40s is not from %d to %d", text, k.low, k.high)
		}
		return n, nil
	}
	if n := slices.Index(k.words, text); n >= 0 {
		return k.low + n, nil
	}
	if k.words == nil {
		return 0, fmt.Errorf("%s is no number", quote(text))
	}
	return 0, fmt.Errorf("%s is no %s; write %d to %d, or %s to %s%s", quote(text), k.noun, k.low, k.high, k.words[0], k.words[len(k.words)-1], nearest.Hint(text, k.words))
}

var (
	isoLike   = regexp.MustCompile(`^(\d{4}-\d\d-\d\d|\d{8})(?:[Tt ]+(.*))?$`)
	dayMonth  = regexp.MustCompile(`^(?i:(\d{1,2})(?:st|nd|rd|th)? +([a-z]+),? +(\d{4}) +(\d{1,2}:\d\d(?::\d\d)?))$`)
	onlyDigit = regexp.MustCompile(`^\d+$`)
)

// maxEpoch is the end of the year 9999: later times cannot be written in most formats.
const maxEpoch = 253402300799

func parseTime(text string, loc *time.Location) (time.Time, bool) {
	if onlyDigit.MatchString(text) {
		n, err := strconv.ParseInt(text, 10, 64)
		return time.Unix(n, 0), err == nil && n <= maxEpoch
	}
	if m := isoLike.FindStringSubmatch(text); m != nil {
		return parseISO(strings.ReplaceAll(m[1], "-", ""), m[2], loc)
	}
	if m := dayMonth.FindStringSubmatch(text); m != nil {
		layout, clock := "2 Jan 2006 15:04", m[4]
		if len(m[2]) > 3 {
			layout = "2 January 2006 15:04"
		}
		if strings.Count(clock, ":") == 2 {
			layout += ":05"
		}
		t, err := time.Parse(layout, m[1]+" "+m[2]+" "+m[3]+" "+clock)
		return instant(t, loc), err == nil
	}
	t, err := mail.ParseDate(text)
	if err != nil {
		return time.Time{}, false
	}
	return namedZone(text, t)
}

// parseISO reads a date of eight digits and a time of day in any of ISO 8601's usual forms.
func parseISO(date, clock string, loc *time.Location) (time.Time, bool) {
	if clock == "" {
		t, err := time.Parse("20060102", date)
		return instant(t, loc), err == nil
	}
	clock = strings.ToUpper(strings.Replace(clock, ",", ".", 1))
	for _, layout := range []string{"15:04:05", "15:04", "150405", "1504"} {
		if t, err := time.Parse("20060102 "+layout, date+" "+clock); err == nil {
			return instant(t, loc), true
		}
		for _, zone := range []string{"Z07:00", "Z0700", "Z07", " Z07:00", " Z0700", " MST"} {
			t, err := time.Parse("20060102 "+layout+zone, date+" "+clock)
			if err != nil {
				continue
			}
			if zone == " MST" {
				return namedZone(clock, t)
			}
			return t, true
		}
	}
	return time.Time{}, false
}

var zoneName = regexp.MustCompile(`([A-Za-z]+)(?:\s*\([^()]*\))?$`)

// namedZone gives a time whose text ends with a zone's abbreviation the offset that RFC 2822 (4.3)
// assigns to it; the standard library leaves unknown abbreviations at zero and reads known ones by
// the machine's own zone.
func namedZone(text string, t time.Time) (time.Time, bool) {
	m := zoneName.FindStringSubmatch(text)
	if m == nil {
		return t, true // a numeric zone
	}
	hours, ok := map[string]int{"UTC": 0, "GMT": 0, "UT": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6,
		"CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}[strings.ToUpper(m[1])]
	_, offset := t.Zone()
	return t.Add(time.Duration(offset-hours*3600) * time.Second), ok
}

// quote quotes a user's text for an error message, shortened.
func quote(text string) string {
	if len(text) > 60 {
		text = text[:60] + "…"
	}
	return strconv.Quote(text)
}
