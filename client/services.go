package client

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Services returns the calls about services.
func (c *Client) Services() *Services { return &Services{c} }

// Services are the calls about services. Where a method takes a service, that is its number or name.
type Services struct{ c *Client }

// A ServiceFilter chooses services; empty fields choose all.
type ServiceFilter struct {
	State   string
	Project string // a group, by name or number
	Name    string // the whole name
	Alias   string // the id that its client gave it
	Text    string // part of the name or description
	Labels  map[string]string
	Limit   int // services of one page; 100 when 0
}

func (f ServiceFilter) query(cursor string) url.Values {
	q := url.Values{}
	set(q, "state", f.State)
	set(q, "project", f.Project)
	set(q, "name", f.Name)
	set(q, "alias", f.Alias)
	set(q, "text", f.Text)
	for _, k := range sorted(f.Labels) {
		q.Add("label", k+"="+f.Labels[k])
	}
	setPage(q, f.Limit, cursor)
	return q
}

// A Page is a part of a list.
type Page[T any] struct {
	Items []T `json:"items"`
	// Next is where the next page begins; "" on the last.
	Next string `json:"next,omitempty" doc:"Cursor of the next page; none on the last."`
	// Revision is that of the store when the page was made: a watch after it misses nothing.
	Revision int64 `json:"revision,omitempty" doc:"Of the store when the page was made; a watch after it misses nothing."`
}

// Create makes a service and sets it going. It returns when the service is stored, not when it runs;
// see WaitFor.
func (s *Services) Create(ctx context.Context, n CreateService) (Service, error) {
	return ask[Service](ctx, s.c, post(n, "services").keyed(n.Key))
}

// PlanCreate tells what Create would do.
func (s *Services) PlanCreate(ctx context.Context, n CreateService) (Plan, error) {
	q := post(n, "services").with(url.Values{"plan": {"true"}})
	q.once = false
	return ask[Plan](ctx, s.c, q)
}

// Get returns a service.
func (s *Services) Get(ctx context.Context, service string) (Service, error) {
	return ask[Service](ctx, s.c, get("services", service))
}

// Page returns a part of the list of services, in the order of their numbers, from the cursor on; ""
// for the beginning.
func (s *Services) Page(ctx context.Context, f ServiceFilter, cursor string) (Page[Service], error) {
	return ask[Page[Service]](ctx, s.c, get("services").with(f.query(cursor)))
}

// List yields all services that the filter chooses, page by page.
func (s *Services) List(ctx context.Context, f ServiceFilter) iter.Seq2[Service, error] {
	return pages(func(cursor string) (Page[Service], error) { return s.Page(ctx, f, cursor) })
}

// Scale wishes another cardinality for a role. It returns the revision of the store that holds the wish,
// as all commands do.
func (s *Services) Scale(ctx context.Context, service string, w Scale) (int64, error) {
	return s.order(ctx, post(w, "services", service, "scale"))
}

// Update wishes another description for a service: only the roles that changed roll over.
func (s *Services) Update(ctx context.Context, service string, u UpdateService) (int64, error) {
	return s.order(ctx, at(post(u, "services", service, "update").keyed(u.Key), u.Revision))
}

// Rollback returns a service to an earlier revision; 0 for the last one before the present that was in place.
func (s *Services) Rollback(ctx context.Context, service string, revision uint32) (int64, error) {
	return s.order(ctx, post(map[string]uint32{"revision": revision}, "services", service, "rollback"))
}

// PauseUpdate pauses the update that is under way.
func (s *Services) PauseUpdate(ctx context.Context, service string) (int64, error) {
	return s.order(ctx, post(nil, "services", service, "update", "pause"))
}

// ContinueUpdate goes on with an update that paused.
func (s *Services) ContinueUpdate(ctx context.Context, service string) (int64, error) {
	return s.order(ctx, post(nil, "services", service, "update", "continue"))
}

// Recover sets everything that gave up going again.
func (s *Services) Recover(ctx context.Context, service string, r Recover) (int64, error) {
	return s.order(ctx, post(r, "services", service, "recover"))
}

// Undeploy removes the machines of a service and keeps its record for a while.
func (s *Services) Undeploy(ctx context.Context, service string, u Undeploy) (int64, error) {
	u.Keep = true
	return s.order(ctx, post(u, "services", service, "undeploy"))
}

// Remove removes a service: its machines, and then its record unless that is kept.
func (s *Services) Remove(ctx context.Context, service string, u Undeploy) (int64, error) {
	q := url.Values{}
	flag(q, "hard", u.Hard)
	flag(q, "data", u.Data)
	flag(q, "keep", u.Keep)
	flag(q, "force", u.Force)
	return s.order(ctx, remove("services", service).with(q))
}

// Release starts what is held: one role, or all with "".
func (s *Services) Release(ctx context.Context, service, role string) (int64, error) {
	return s.order(ctx, post(Release{role}, "services", service, "release"))
}

// Attach has a service managed that is unmanaged: for good, or for one pass.
func (s *Services) Attach(ctx context.Context, service string, a Attach) (int64, error) {
	return s.order(ctx, post(a, "services", service, "attach"))
}

// Detach leaves a service alone: its machines stay, wishes wait, and only removal is carried out.
func (s *Services) Detach(ctx context.Context, service string) (int64, error) {
	return s.order(ctx, post(nil, "services", service, "detach"))
}

// WaitForPass waits until no pass of a service is under way, and returns the service as it is then.
func (s *Services) WaitForPass(ctx context.Context, service string) (Service, error) {
	return s.wait(ctx, service, func(ref string, _ *Service) (Service, bool, error) {
		now, err := s.Get(ctx, ref)
		return now, err != nil || now.Mode != "pass", err
	})
}

// Act does something to the machines of a service.
func (s *Services) Act(ctx context.Context, service string, a Action) (int64, error) {
	return s.order(ctx, post(a, "services", service, "actions"))
}

// CancelActions drops actions that wait for their time: of a role, or of all with "".
func (s *Services) CancelActions(ctx context.Context, service, role string) (int64, error) {
	q := url.Values{}
	set(q, "role", role)
	return s.order(ctx, remove("services", service, "actions").with(q))
}

// Replace replaces one instance as if it had failed.
func (s *Services) Replace(ctx context.Context, service string, serial uint32) (int64, error) {
	return s.order(ctx, post(nil, "services", service, "instances", number(serial), "replace"))
}

// AddRole adds a role to a running service. The document is a service of that role alone, whose needs
// may name roles that the service has.
func (s *Services) AddRole(ctx context.Context, service string, d Document) (int64, error) {
	return s.order(ctx, post(d, "services", service, "roles"))
}

// RemoveRole removes a role and its machines; roles that needed it go on without.
func (s *Services) RemoveRole(ctx context.Context, service, role string) (int64, error) {
	return s.order(ctx, remove("services", service, "roles", role))
}

// Plan tells what a command would do.
func (s *Services) Plan(ctx context.Context, service string, w Command) (Plan, error) {
	q := post(w, "services", service, "plan")
	q.once = false
	if w.Update != nil {
		q = at(q, w.Update.Revision)
	}
	return ask[Plan](ctx, s.c, q)
}

// Explain says why a service is in its state, what it waits for and what comes next.
func (s *Services) Explain(ctx context.Context, service string) (Explanation, error) {
	return ask[Explanation](ctx, s.c, get("services", service, "explain"))
}

// Revisions returns the revisions of a service that can be rolled back to, oldest first.
func (s *Services) Revisions(ctx context.Context, service string) ([]uint32, error) {
	p, err := ask[Page[uint32]](ctx, s.c, get("services", service, "revisions"))
	return p.Items, err
}

// Spec returns the description of a service in a revision; 0 for the present one.
func (s *Services) Spec(ctx context.Context, service string, revision uint32) (SpecRevision, error) {
	q := url.Values{}
	if revision != 0 {
		q.Set("revision", number(revision))
	}
	return ask[SpecRevision](ctx, s.c, get("services", service, "spec").with(q))
}

// Events returns the last n events of a service, oldest first; all that are kept with 0.
func (s *Services) Events(ctx context.Context, service string, n int) ([]Event, error) {
	p, err := ask[Page[Event]](ctx, s.c, get("services", service, "events").with(last(n)))
	return p.Items, err
}

// Change changes whose a service is and what it is called.
func (s *Services) Change(ctx context.Context, service string, w ChangeService) (int64, error) {
	return s.order(ctx, patch(w, "services", service))
}

// A StateError says that a service came into a state that WaitFor does not wait for and that does not
// end by itself.
type StateError struct {
	Service Service
	Wanted  []string
}

// Error names the state and its reason.
func (e *StateError) Error() string {
	text := fmt.Sprintf("service %s is %s, not %s", e.Service.Name, e.Service.State, strings.Join(e.Wanted, " or "))
	if e.Service.Reason != "" {
		text += ": " + e.Service.Reason
	}
	return text
}

// Gone is the state to WaitFor until a service is no more.
const Gone = "GONE"

// WaitFor waits until a service is in one of the states and returns it as it is then. A failed state,
// DONE or WARNING that is none of them ends the wait with a *StateError; so does a service that is
// gone, with the Problem of a 404, unless Gone is waited for.
func (s *Services) WaitFor(ctx context.Context, service string, states ...string) (Service, error) {
	return s.wait(ctx, service, func(ref string, before *Service) (Service, bool, error) {
		now, done, err := s.reached(ctx, ref, states)
		if before != nil && done && now.ID == 0 { // it is gone; this is how it was last seen
			now, now.State = *before, Gone
		}
		return now, done, err
	})
}

// wait looks at a service whenever something has changed, until look says that the wait is over. look is told how the
// service was before.
func (s *Services) wait(ctx context.Context, service string, look func(ref string, before *Service) (now Service, done bool, err error)) (Service, error) {
	found, done, err := look(service, nil)
	if done || err != nil {
		return found, err
	}
	// From here on by number: the name may change, or another service may get it.
	ref := found.Ref()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for change, err := range s.c.Watch(ctx, WatchOptions{Service: ref, Now: true}) {
		if err != nil && !IsNotFound(err) {
			return found, err
		}
		if err == nil && !change.Reset && change.State == found.State && len(change.Events) == 0 {
			continue
		}
		now, done, err := look(ref, &found)
		if done || err != nil {
			return now, err
		}
		found = now
	}
	return found, ctx.Err()
}

// reached looks whether the wait for a state of a service is over.
func (s *Services) reached(ctx context.Context, service string, states []string) (found Service, done bool, err error) {
	found, err = s.Get(ctx, service)
	switch {
	case IsNotFound(err) && slices.Contains(states, Gone):
		return Service{State: Gone}, true, nil
	case err != nil:
		return found, false, err
	case slices.Contains(states, found.State):
		return found, true, nil
	case found.Leaving && slices.Contains(states, Gone):
		return found, false, nil
	case found.Failed(), found.State == "DONE", found.State == "WARNING":
		return found, false, &StateError{found, states}
	}
	return found, false, nil
}

// order makes a call that answers the revision of the store that holds a command's verdict.
func (s *Services) order(ctx context.Context, q call) (int64, error) {
	if q.key == "" {
		q = q.keyed("")
	}
	a, err := ask[Accepted](ctx, s.c, q)
	return a.Revision, err
}

// Accepted answers a command.
type Accepted struct {
	Revision int64 `json:"revision" doc:"Of the store that holds the command; what is read later than it shows its effect."`
}

func set(q url.Values, key, value string) {
	if value != "" {
		q.Set(key, value)
	}
}

func flag(q url.Values, key string, on bool) {
	if on {
		q.Set(key, "true")
	}
}

func setPage(q url.Values, limit int, cursor string) {
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	set(q, "cursor", cursor)
}

func last(n int) url.Values {
	q := url.Values{}
	if n > 0 {
		q.Set("limit", strconv.Itoa(n))
	}
	return q
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// pages yields the items of page after page.
func pages[T any](page func(cursor string) (Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			p, err := page(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range p.Items {
				if !yield(item, nil) {
					return
				}
			}
			if cursor = p.Next; cursor == "" {
				return
			}
		}
	}
}

// all returns everything that a sequence yields, or its first error.
func all[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var out []T
	for item, err := range seq {
		if err != nil {
			return out, err
		}
		out = append(out, item)
	}
	return out, nil
}
