package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
)

// waitOptions say whether a command waits for its outcome.
type waitOptions struct {
	wait, noWait bool
	timeout      time.Duration
	before       uint32 // the revision that an update came from; 0 without an update
	pass         bool   // what the service is managed for a while for is what is waited for
}

func (o *waitOptions) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.wait, "wait", true, "wait for the outcome and show what happens")
	f.BoolVar(&o.noWait, "no-wait", false, "end as soon as the server has written the wish down")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "how long to wait at most")
}

// outcome waits until a service has settled and prints what happens meanwhile. It fails if the service
// settled in a state that is not good; good are the states given, RUNNING and COOLDOWN when none is.
func (t *terminal) outcome(ctx context.Context, c *client.Client, ref string, after int64, o *waitOptions, good ...string) error {
	if o.noWait || !o.wait {
		if s, err := c.Services().Get(ctx, ref); err == nil {
			return t.result(&s)
		}
		return nil
	}
	if len(good) == 0 {
		good = []string{"RUNNING", "COOLDOWN"}
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	p := &progress{t: t}
	s, err := p.follow(ctx, c, ref, after, good)
	p.clear()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return withCode(exitTimeout, fmt.Errorf("service %s is still %s after %s; it goes on, see `troupe explain %s`", s.Name, orDash(s.State), o.timeout, ref))
	case err != nil:
		return err
	case s.Mode == "unmanaged" && o.pass && s.Pass != nil && s.Pass.Failure != "":
		return fmt.Errorf("service %s is left alone again, not as it should be: %s; see `troupe explain %s`", s.Name, oneLine(s.Pass.Failure), ref)
	case s.Mode == "unmanaged" && !s.Leaving:
		t.tell("service %s is %s and not managed; what waits is carried out when it is attached, see `troupe explain %s`: %s", s.Name, t.paintState(s.State), ref, rolesLine(&s))
		return t.result(&s)
	case waitsForRelease(&s):
		t.tell("service %s is %s, %s: %s", s.Name, t.paintState(s.State), oneLine(s.Reason), rolesLine(&s))
		return t.result(&s)
	case !slices.Contains(good, s.State):
		text := fmt.Sprintf("service %s is %s", s.Name, s.State)
		if s.Reason != "" {
			text += ": " + oneLine(s.Reason)
		}
		return fmt.Errorf("%s; see `troupe explain %s`", text, ref)
	case s.State == client.Gone:
		t.tell("service %s is gone", orDash(s.Name))
		return nil
	case o.before > 0 && s.Revision > o.before+1:
		return fmt.Errorf("the update of service %s was rolled back: it is as it was, now at revision %d; see `troupe explain %s`", s.Name, s.Revision, ref)
	}
	t.tell("service %s is %s: %s", s.Name, t.paintState(s.State), rolesLine(&s))
	return t.result(&s)
}

// tell prints a line for people: beside the result where that is for programs.
func (t *terminal) tell(format string, args ...any) {
	w := t.out
	if t.output != "table" && t.output != "wide" {
		w = t.err
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// result prints a service for programs; people have been told already.
func (t *terminal) result(s *client.Service) error {
	if t.output == "table" || t.output == "wide" {
		return nil
	}
	return t.show(s, &table{rows: [][]string{{s.Ref()}}})
}

// hasSettled reports whether a service is in a good state, or stays in another one by itself.
func hasSettled(s *client.Service, good []string) bool {
	switch {
	case s.Mode == "pass" && !s.Leaving:
		return false // until it is left alone
	case s.Mode == "unmanaged" && !s.Leaving, waitsForRelease(s):
		return true
	}
	switch s.State {
	case "PENDING", "DEPLOYING", "UNDEPLOYING", "SCALING", "UPDATING", "DEPLOYING_NETS", "UNDEPLOYING_NETS":
		return false
	}
	if s.State == "DONE" { // its end, whatever was hoped for, unless the record is to go too
		return slices.Contains(good, "DONE") || !slices.Contains(good, client.Gone)
	}
	if s.State == "WARNING" { // it mends itself as long as an instance is on its way
		for _, r := range s.Roles {
			for _, phase := range [...]string{"queued", "backoff", "creating", "starting", "replacing"} {
				if r.Phases[phase] > 0 {
					return false
				}
			}
		}
	}
	if s.Leaving && !s.Failed() { // its end is on the way
		return slices.Contains(good, s.State)
	}
	return true
}

// waitsForRelease reports whether a part of the service is on hold and nothing else is under way: it stays DEPLOYING
// until somebody releases the rest.
func waitsForRelease(s *client.Service) bool {
	held := false
	for _, r := range s.Roles {
		switch r.State {
		case "HOLD":
			held = true
		case "RUNNING", "COOLDOWN", "PENDING":
		default:
			return false
		}
	}
	return held && s.State == "DEPLOYING"
}

// A progress shows what happens to a service: a line for each event and, on a terminal, a line below
// that is redrawn.
type progress struct {
	t     *terminal
	drawn bool
	last  time.Time // of the last event that was printed
}

// follow prints events until the service is in a good state or stays in another one, and returns it as it
// is then.
func (p *progress) follow(ctx context.Context, c *client.Client, ref string, after int64, good []string) (client.Service, error) {
	var s client.Service
	look := func() (done bool, err error) {
		now, err := c.Services().Get(ctx, ref)
		if client.IsNotFound(err) {
			s.State = client.Gone
			return true, nil
		}
		if err != nil {
			return true, err
		}
		s = now
		p.draw(&s)
		return hasSettled(&s, good), nil
	}
	if done, err := look(); done {
		return s, err
	}
	for change, err := range c.Watch(ctx, client.WatchOptions{Service: ref, After: after, Now: after == 0}) {
		if err != nil && !client.IsNotFound(err) {
			return s, err
		}
		events := change.Events
		if change.Reset && after == 0 { // the beginning was missed; the service's own log has it
			if events, err = c.Services().Events(ctx, ref, 0); err != nil && !client.IsNotFound(err) {
				return s, err
			}
		}
		p.tellEvents(events)
		if done, err := look(); done && (change.Reset || change.Removed || change.State == s.State) {
			return s, err
		}
	}
	return s, ctx.Err()
}

// tellEvents prints the events that are later than those printed before.
func (p *progress) tellEvents(events []client.Event) {
	from := p.last
	for _, e := range events {
		if e.Time.After(from) {
			p.say(p.t.eventLine(e))
			p.last = e.Time
		}
	}
}

// eventLine words an event as one line of progress.
func (t *terminal) eventLine(e client.Event) string {
	text, where := oneLine(e.Message), e.Role
	if e.Instance != "" {
		where = e.Instance
	}
	if where != "" && !strings.Contains(text, where) {
		text = where + ": " + text
	}
	if e.Error {
		text = t.paint(red, text)
	}
	return text
}

func (p *progress) say(line string) {
	p.clear()
	p.t.tell("%s", line)
}

// draw shows how the service stands in a line that is redrawn.
func (p *progress) draw(s *client.Service) {
	if !p.t.live || p.t.output != "table" {
		return
	}
	p.clear()
	fmt.Fprintf(p.t.out, "%s %s", p.t.paintState(s.State), rolesLine(s))
	p.drawn = true
}

func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.t.out, "\r\x1b[K")
		p.drawn = false
	}
}

// rolesLine tells how many instances of each role work: "db 1/1  app 2/3".
func rolesLine(s *client.Service) string {
	parts := make([]string, len(s.Roles))
	for i, r := range s.Roles {
		parts[i] = fmt.Sprintf("%s %d/%d", r.Name, r.Settled, r.Cardinality)
	}
	return strings.Join(parts, "  ")
}
