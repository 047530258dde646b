package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/troupe-dev/troupe/internal/format/tree"
)

// waitingPoll is how often a stack that is being updated is asked whether it is ready for the next replacement.
const waitingPoll = 250 * time.Millisecond

// waitingKey is what the resources that wait for their replacement are kept under, with a space between them, and replacedKey the one
// that a stack was updated for last.
func waitingKey(region string) string  { return "waiting " + region }
func replacedKey(region string) string { return "replaced " + region }

// other is the other name that a resource has: its own with "_1" at the end.
func other(resource string) string { return resource + "_1" }

// Replace has a resource made anew, in every region whose template has it. Heat does that where a resource has another name:
// so it gets its own name with "_1" at the end, or its own again. What it refers to stays, such as the port of a server, and with
// it the address. While a stack is being updated for that already nothing happens; while it is being updated for something else
// the replacement waits, for Decide.
func (t *Templates) Replace(ctx context.Context, resource string) error {
	var errs []error
	found := false
	for _, region := range t.regions() {
		names, err := resourceNames(t.Regions[region].Provision)
		if err == nil && slices.Contains(names, resource) {
			found = true
			err = t.replace(ctx, region, resource)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("replace %s in region %s: %w", resource, region, err))
		}
	}
	if !found && errs == nil {
		return fmt.Errorf("replace %s: no template has such a resource", resource)
	}
	return errors.Join(errs...)
}

func (t *Templates) replace(ctx context.Context, region, resource string) error {
	t.replacing.Lock()
	defer t.replacing.Unlock()
	found, err := t.find(ctx, region)
	switch {
	case err != nil:
		return err
	case found.busy() && t.Instance.Value(replacedKey(region)) == resource:
		return nil
	case found.busy():
		waiting := strings.Fields(t.Instance.Value(waitingKey(region)))
		if slices.Contains(waiting, resource) {
			return nil
		}
		if err := t.Instance.Keep(waitingKey(region), strings.Join(append(waiting, resource), " ")); err != nil {
			return err
		}
		select {
		case t.news() <- struct{}{}:
		default:
		}
		return nil
	}
	return t.begin(ctx, region, found, resource)
}

// begin has a resource made anew in a region whose stack is at rest.
func (t *Templates) begin(ctx context.Context, region string, found *foundStack, resource string) error {
	if err := t.Instance.Keep(replacedKey(region), resource); err != nil {
		return err
	}
	return t.update(ctx, region, found, nil, resource)
}

// news is told of replacements that wait.
func (t *Templates) news() chan struct{} {
	t.once.Do(func() { t.waiting = make(chan struct{}, 1) })
	return t.waiting
}

// Decide implements [Decider]: it carries out replacements that wait, also those that waited when the program ended.
func (t *Templates) Decide(ctx context.Context) error {
	tick := time.NewTicker(waitingPoll)
	defer tick.Stop()
	for {
		wait := t.news()
		var again <-chan time.Time
		if t.next(ctx) {
			again = tick.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait:
		case <-again:
		}
	}
}

// next begins the replacements that can begin, and reports whether any is still to.
func (t *Templates) next(ctx context.Context) (left bool) {
	t.replacing.Lock()
	defer t.replacing.Unlock()
	for _, region := range t.regions() {
		waiting := strings.Fields(t.Instance.Value(waitingKey(region)))
		if len(waiting) == 0 {
			continue
		}
		left = true
		found, err := t.find(ctx, region)
		if err != nil || found.busy() {
			continue // it is asked again
		}
		err = t.begin(ctx, region, found, waiting[0])
		if invalid(err) || err == nil { // it stays only while nobody answers, or the stack is busy again
			err = errors.Join(err, t.Instance.Keep(waitingKey(region), strings.Join(waiting[1:], " ")))
		}
		if err != nil {
			t.Instance.Log().Warn("a replacement that waited did not begin", "resource", waiting[0], "region", region, "error", err)
		}
	}
	return left
}

// invalid reports whether a request was answered with that it is wrong itself.
func invalid(err error) bool {
	return gophercloud.ResponseCodeIs(err, http.StatusBadRequest) || gophercloud.ResponseCodeIs(err, http.StatusNotFound)
}

// resourceNames are the names of a template's resources.
func resourceNames(template string) ([]string, error) {
	root, err := new(tree.Reader).Read("template", []byte(template))
	if err != nil {
		return nil, err
	}
	var names []string
	if resources := root.Get("resources"); resources != nil {
		for _, e := range resources.Entries {
			names = append(names, e.Key)
		}
	}
	return names, nil
}

// alternate gives the resources of a template the names that they have in the present one, and to one of them its other name.
func alternate(template, present, resource string) (string, error) {
	now, err := resourceNames(present)
	if err != nil {
		return "", err
	}
	names, err := resourceNames(template)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if slices.Contains(names, other(name)) {
			if name == resource {
				return "", fmt.Errorf("the template has both %s and %s", name, other(name))
			}
			continue
		}
		if renamed := slices.Contains(now, other(name)); renamed != (name == resource) {
			if template, err = RenameResource(template, name, other(name)); err != nil {
				return "", err
			}
		}
	}
	return template, nil
}
