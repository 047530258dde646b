// Package audit keeps the trail of who changed what: JSON lines in rotated files that are only ever
// appended to. Secrets have no place in a Record; the text of a token that slips into one is masked.
package audit

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/journal"
)

// Outcomes of an action.
const (
	Done    = "done"
	Denied  = "denied"  // the caller lacks a right
	Refused = "refused" // the request was wrong, or the state did not allow it
	Failed  = "failed"  // the server could not do it
)

// A Record is one line of the trail: what somebody did or tried to do.
type Record struct {
	Time    time.Time `json:"time"`
	Request string    `json:"request,omitempty"` // the request's id
	User    string    `json:"user,omitempty"`
	Project string    `json:"project,omitempty"`
	Face    string    `json:"face,omitempty"`
	Action  string    `json:"action"`           // "service.scale"
	Object  string    `json:"object,omitempty"` // "service 7 role web"
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason,omitempty"`
}

// At returns the time.
func (r Record) At() time.Time { return r.Time }

// Options make a Trail.
type Options struct {
	Dir    string // made if it does not exist, mode 0700
	Log    *slog.Logger
	Retain time.Duration // how long finished files are kept; 0: 90 days, negative: for ever
}

const maxField = 1024 // bytes

// A Trail appends records in the background. It is safe for concurrent use.
type Trail struct{ *journal.Journal[Record] }

// Open opens the trail in a folder, after whatever is there.
func Open(opts Options) (*Trail, error) {
	j, err := journal.Open(journal.Options[Record]{Name: "audit", Dir: opts.Dir, Log: opts.Log, Retain: opts.Retain, Gap: func(lost int64) Record {
		return Record{Time: time.Now().UTC(), Action: "audit.gap", Outcome: Failed, Reason: fmt.Sprintf("%d records could not be written", lost)}
	}})
	if err != nil {
		return nil, err
	}
	return &Trail{j}, nil
}

// Append hands a record over to be written, see [journal.Journal.Append]. A zero time becomes now.
func (t *Trail) Append(ctx context.Context, r Record) error {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	r.Time = r.Time.UTC()
	for _, field := range []*string{&r.Request, &r.User, &r.Project, &r.Face, &r.Action, &r.Object, &r.Outcome, &r.Reason} {
		*field = clean(*field)
	}
	return t.Journal.Append(ctx, r)
}

// A Filter chooses records; empty fields match everything.
type Filter struct {
	User, Project, Face, Action, Object, Outcome, Request string
	Since                                                 time.Time
}

func (f Filter) matches(r *Record) bool {
	for _, pair := range [...][2]string{{f.User, r.User}, {f.Project, r.Project}, {f.Face, r.Face}, {f.Action, r.Action},
		{f.Object, r.Object}, {f.Outcome, r.Outcome}, {f.Request, r.Request}} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	return true
}

// Last returns the n last records that match, newest first.
func (t *Trail) Last(ctx context.Context, n int, filter Filter) ([]Record, error) {
	return t.Journal.Last(ctx, n, filter.Since, filter.matches)
}

// tokenText matches API tokens (see package identity).
var tokenText = regexp.MustCompile(`(trp_[a-z2-7]{13}_)[a-z2-7]{20,}`)

// clean masks tokens and shortens.
func clean(s string) string {
	if strings.Contains(s, "trp_") {
		s = tokenText.ReplaceAllString(s, "${1}***")
	}
	if len(s) <= maxField {
		return s
	}
	cut := maxField
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
