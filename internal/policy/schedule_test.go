package policy

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"
)

func zone(t interface{ Fatal(...any) }, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestNext(t *testing.T) {
	after := time.Date(2013, 7, 24, 14, 32, 27, 0, time.UTC)
	for _, c := range []struct{ recurrence, want string }{
		{"0 2 1-10 * *", "2013-08-01 02:00"},
		{"*/10 * * * *", "2013-07-24 14:40"},
		{"0 9 * * mon,tue,wed,thu,fri", "2013-07-25 09:00"},
		{"0 0 13 * 5", "2013-07-26 00:00"},
		{"0 0 * * 7", "2013-07-28 00:00"},
		{"0 0 * * 0", "2013-07-28 00:00"},
		{"0 0 * * SUN", "2013-07-28 00:00"},
		{"0 0 * * Fri-Sun", "2013-07-26 00:00"},
		{"0 0 * * 5-7", "2013-07-26 00:00"},
		{"0 0 1 JAN *", "2014-01-01 00:00"},
		{"10-20/5 3 * * *", "2013-07-25 03:10"},
		{"@hourly", "2013-07-24 15:00"},
		{"@daily", "2013-07-25 00:00"},
		{"@Weekly", "2013-07-28 00:00"},
		{"@monthly", "2013-08-01 00:00"},
		{"@yearly", "2014-01-01 00:00"},
		{"  0   0 * * * ", "2013-07-25 00:00"},
		{"0 0 * * * root", "2013-07-25 00:00"},
		{"0 0 29 2 *", "2016-02-29 00:00"},
		{"0 0 31 2 mon", "2014-02-03 00:00"},
	} {
		s, err := ParseRecurrence(c.recurrence, time.UTC)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := s.Next(after).Format("2006-01-02 15:04"); got != c.want {
			t.Errorf("%s: %s, want %s", c.recurrence, got, c.want)
		}
	}
	s, _ := ParseRecurrence("0 0 29 2 *", time.UTC)
	if got := s.Next(time.Date(2096, 3, 1, 0, 0, 0, 0, time.UTC)); got.Year() != 2104 {
		t.Error("eight years without a leap day:", got)
	}
}

func TestParseRecurrenceErrors(t *testing.T) {
	for _, text := range []string{
		"", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8",
		"a b c d e", "5/10 * * * *", "*/0 * * * *", "? * * * *", "0 0 L * *", "0 0 15W * *", "0 0 * * fri#2", "H * * * *",
		"@every 1h", "@reboot", "TZ=UTC 0 0 * * *", "0 0 31 2 *", "0 0 30 feb *", "0 0 31 4,6,9,11 *", "30-10 * * * *",
		"1,,2 * * * *", "-1 * * * *", "1.5 * * * *", "* * * foo *", strings.Repeat("1,", 600) + "1 * * * *",
	} {
		if s, err := ParseRecurrence(text, time.UTC); err == nil {
			t.Errorf("%.40q was accepted: next %v", text, s.Next(time.Unix(0, 0).UTC()))
		} else if !strings.Contains(err.Error(), "is not a valid cron expression") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// What is wrong with a recurrence is told in the words of those who write them.
func TestParseRecurrenceWords(t *testing.T) {
	for text, want := range map[string]string{
		"60 * * * *":                   "minute: 60 is not from 0 to 59",
		"0 25 * * *":                   "hour: 25 is not from 0 to 23",
		"0 0 99999999999999999999 * *": "day of the month: 99999999999999999999 is not from 1 to 31",
		"* * * foo *":                  `month: "foo" is no month; write 1 to 12, or jan to dec`,
		"* * * * fre":                  `day of the week: "fre" is no weekday; write 0 to 7, or sun to sat; did you mean "fri"?`,
		"1-x * * * *":                  `minute: "x" is no number`,
		"*/0 * * * *":                  `minute: the step of "*/0" is 0, or leads past its range`,
		"* 9-17/20 * * *":              `hour: the step of "9-17/20" is 0, or leads past its range`,
		"0 0 * * fri-mon":              `day of the week: the range "fri-mon" runs backwards`,
		"* 1.5 * * *":                  `hour: "1.5" is no value, range or step (*/n, a-b/n)`,
		"H * * * *":                    `minute: "h" is no number`,
	} {
		if _, err := ParseRecurrence(text, time.UTC); err == nil || err.Error() != quote(text)+" is not a valid cron expression: "+want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestDaylightSaving(t *testing.T) {
	berlin, lordHowe, apia := zone(t, "Europe/Berlin"), zone(t, "Australia/Lord_Howe"), zone(t, "Pacific/Apia")
	for _, c := range []struct {
		recurrence string
		loc        *time.Location
		after      time.Time
		want       []string
	}{
		// 02:00 to 03:00 is skipped on 2026-03-29.
		{"30 2 * * *", berlin, time.Date(2026, 3, 28, 12, 0, 0, 0, berlin), []string{"29 03:00 CEST", "30 02:30 CEST"}},
		{"0,15,30 2 * * *", berlin, time.Date(2026, 3, 28, 12, 0, 0, 0, berlin), []string{"29 03:00 CEST", "30 02:00 CEST"}},
		{"0 3 * * *", berlin, time.Date(2026, 3, 28, 12, 0, 0, 0, berlin), []string{"29 03:00 CEST", "30 03:00 CEST"}},
		{"0 * * * *", berlin, time.Date(2026, 3, 29, 0, 30, 0, 0, berlin), []string{"29 01:00 CET", "29 03:00 CEST", "29 04:00 CEST"}},
		// 02:00 to 03:00 comes twice on 2026-10-25.
		{"30 2 * * *", berlin, time.Date(2026, 10, 24, 12, 0, 0, 0, berlin), []string{"25 02:30 CEST", "26 02:30 CET"}},
		{"0 2,3 * * *", berlin, time.Date(2026, 10, 24, 12, 0, 0, 0, berlin), []string{"25 02:00 CEST", "25 03:00 CET", "26 02:00 CET"}},
		{"*/30 * * * *", berlin, time.Date(2026, 10, 25, 1, 45, 0, 0, berlin), []string{"25 02:00 CEST", "25 02:30 CEST", "25 02:00 CET", "25 02:30 CET", "25 03:00 CET"}},
		// Half an hour: 02:00 to 02:30 is skipped on 2026-10-04, 01:30 to 02:00 comes twice on 2026-04-05.
		{"15 2 * * *", lordHowe, time.Date(2026, 10, 3, 12, 0, 0, 0, lordHowe), []string{"4 02:30 +11", "5 02:15 +11"}},
		{"45 1 * * *", lordHowe, time.Date(2026, 4, 4, 12, 0, 0, 0, lordHowe), []string{"5 01:45 +11", "6 01:45 +1030"}},
		// A whole day, 2011-12-30, is skipped.
		{"0 12 * * *", apia, time.Date(2011, 12, 29, 11, 0, 0, 0, apia), []string{"29 12:00 -10", "31 00:00 +14", "31 12:00 +14"}},
	} {
		s, err := ParseRecurrence(c.recurrence, c.loc)
		if err != nil {
			t.Fatal(err)
		}
		at := c.after
		for _, want := range c.want {
			at = s.Next(at)
			if got := at.Format("2 15:04 MST"); got != want {
				t.Errorf("%s in %s: %s, want %s", c.recurrence, c.loc, got, want)
			}
		}
	}
}

func TestParseStart(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for text, want := range map[string]string{
		"1380721500":                          "2013-10-02T13:45:00Z",
		"0":                                   "1970-01-01T00:00:00Z",
		"2013-10-02 15:45:00":                 "2013-10-02T13:45:00Z",
		"2013-10-02 15:45":                    "2013-10-02T13:45:00Z",
		"2013-10-02T15:45:00Z":                "2013-10-02T15:45:00Z",
		"2013-10-02T15:45:00.250Z":            "2013-10-02T15:45:00Z",
		"2013-10-02T15:45:00+02:00":           "2013-10-02T13:45:00Z",
		"2013-10-02T15:45:00+0200":            "2013-10-02T13:45:00Z",
		"2013-10-02T15:45+02":                 "2013-10-02T13:45:00Z",
		"2013-10-02T15:45:00":                 "2013-10-02T13:45:00Z",
		"20131002T154500Z":                    "2013-10-02T15:45:00Z",
		"2013-10-02":                          "2013-10-01T22:00:00Z",
		"2013-10-02 15:45:00 +0200":           "2013-10-02T13:45:00Z",
		"2013-10-02 15:45:00 UTC":             "2013-10-02T15:45:00Z",
		"Wed, 02 Oct 2013 15:45:00 +0200":     "2013-10-02T13:45:00Z",
		"Wed, 02 Oct 2013 15:45:00 +0100":     "2013-10-02T14:45:00Z",
		"2 Oct 2013 15:45 GMT":                "2013-10-02T15:45:00Z",
		"Wed, 02 Oct 2013 15:45:00 EST":       "2013-10-02T20:45:00Z",
		"Wed, 02 Oct 2013 15:45:00 -0700 (x)": "2013-10-02T22:45:00Z",
		"2nd oct 2017 15:45":                  "2017-10-02T13:45:00Z",
		"2nd oct 2013 15:45":                  "2013-10-02T13:45:00Z",
		"21st October 2017 05:45:10":          "2017-10-21T03:45:10Z",
		"3 OCT 2017 9:05":                     "2017-10-03T07:05:00Z",
		"2026-03-29 02:30":                    "2026-03-29T01:00:00Z", // skipped: the next instant
		"2026-10-25 02:30":                    "2026-10-25T00:30:00Z", // twice: the first
	} {
		s, err := ParseStart(text, berlin)
		if err != nil {
			t.Error(err)
			continue
		}
		got := s.Next(time.Unix(-1, 0))
		if got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %s, want %s", text, got.UTC().Format(time.RFC3339), want)
		}
		if next := s.Next(got); !next.IsZero() {
			t.Errorf("%q runs twice: %v", text, next)
		}
	}
	for _, text := range []string{
		"", "tomorrow", "0 3 1-10 * *", "2013-13-02 15:45", "2013-02-30", "2013-10-02 25:00", "99999999999999999999", "253402300800",
		"2nd foo 2017 15:45", "32nd oct 2017 15:45", "-5", "2013-10-02 15:45:00 XYZ", "Wed, 02 Oct 2013 15:45:00 XYZ", "2013-10-02 noon", "1.5",
	} {
		if _, err := ParseStart(text, berlin); err == nil || !strings.Contains(err.Error(), "is not a valid Time") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestObserve(t *testing.T) {
	s, err := ParseRecurrence("0 * * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	at := func(h, m int) time.Time { return time.Date(2026, 1, 1, h, m, 0, 0, time.UTC) }
	last, fires := s.Observe(time.Time{}, at(0, 0))
	if fires || !last.Equal(at(0, 0)) {
		t.Error("the first pass fired")
	}
	for _, c := range []struct {
		h, m  int
		fires bool
	}{{0, 59, false}, {1, 0, true}, {1, 1, false}, {5, 30, true}, {5, 31, false}} {
		if last, fires = s.Observe(last, at(c.h, c.m)); fires != c.fires || !last.Equal(at(c.h, c.m)) {
			t.Errorf("at %d:%02d: %v", c.h, c.m, fires)
		}
	}
	once, err := ParseStart("2026-01-01 02:00", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if _, fires := once.Observe(at(3, 0), at(4, 0)); fires {
		t.Error("a time before the start of the service fired")
	}
	if _, fires := once.Observe(at(1, 0), at(4, 0)); !fires {
		t.Error("a missed time did not fire")
	}
}

func TestNextLaws(t *testing.T) {
	zones := []*time.Location{time.UTC, zone(t, "Europe/Berlin"), zone(t, "America/Havana"), zone(t, "Australia/Lord_Howe"), zone(t, "Pacific/Apia"), zone(t, "America/Sao_Paulo")}
	recurrences := []string{"30 2 * * *", "*/7 * * * *", "0 0 * * *", "59 23 31 * 5", "15,45 0-3 * 3,10,11 *", "0 0 29 2 *", "0 * * * 1"}
	rapid.Check(t, func(t *rapid.T) {
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		s, err := ParseRecurrence(rapid.SampledFrom(recurrences).Draw(t, "recurrence"), loc)
		if err != nil {
			t.Fatal(err)
		}
		after := time.Unix(rapid.Int64Range(1e9, 2e9).Draw(t, "after"), 0)
		next := s.Next(after)
		if !next.After(after) {
			t.Fatalf("next after %v is %v", after.In(loc), next)
		}
		// Nothing lies between: looking from any time before next finds next.
		between := after.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(after))-1).Draw(t, "between")))
		if got := s.Next(between); !got.Equal(next) {
			t.Fatalf("after %v: %v, but after %v: %v", after.In(loc), next, between.In(loc), got)
		}
	})
}

func FuzzParseRecurrence(f *testing.F) {
	for _, s := range []string{"0 2 1-10 * *", "*/10 * * * *", "0 0 13 * 5", "@daily", "0 0 * * mon-fri root", "0 0 31 2 *"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseRecurrence(text, time.UTC)
		if err != nil && (strings.Contains(err.Error(), "strconv") || strings.Contains(err.Error(), "minimum") || strings.Contains(err.Error(), "must be")) {
			t.Fatalf("%q: the library's words: %v", text, err)
		}
		if err == nil && !s.Next(now).After(now) {
			t.Fatalf("%q: next after %v is %v", text, now, s.Next(now))
		}
	})
}

func FuzzParseStart(f *testing.F) {
	for _, s := range []string{"1380721500", "2013-10-02 15:45", "2013-10-02T15:45:00+02:00", "Wed, 02 Oct 2013 15:45:00 EST", "2nd oct 2017 15:45"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStart(text, time.UTC)
		if err == nil && !s.Next(s.start).IsZero() {
			t.Fatalf("%q runs twice", text)
		}
	})
}
