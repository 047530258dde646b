package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Templates are an [Execution] that needs no program: a stack in each region, made from one Heat template at deployment, and
// updated to another when it is provisioned. Replace has single resources made anew; what it cannot do at once, Decide does.
type Templates struct {
	Instance *Instance
	// Regions are the templates by the name of the region.
	Regions map[string]Pair
	// Parameters are those of a template, made anew from the attributes of each call; nil for none.
	Parameters func(ctx context.Context, template string, a Attributes) (map[string]any, error)
	// Cloud returns the cloud of a region; nil means the instance's own.
	Cloud func(region string) *Cloud

	replacing sync.Mutex // held by the one replacement at a time
	once      sync.Once
	waiting   chan struct{} // has a place for the news that a replacement waits
}

// A Pair is what a region's stack is made from, in YAML or JSON.
type Pair struct {
	Deployment, Provision string
}

// stackKey is what the id of a region's stack is kept under.
func stackKey(region string) string { return "stack " + region }

func (t *Templates) cloud(region string) *Cloud {
	if t.Cloud != nil {
		return t.Cloud(region)
	}
	return t.Instance.Cloud(region)
}

func (t *Templates) regions() []string { return slices.Sorted(maps.Keys(t.Regions)) }

func (t *Templates) stack(ctx context.Context, template string, a Attributes) (s Stack, err error) {
	s.Template = template
	if t.Parameters != nil {
		all := t.Instance.Attributes()
		if all == nil {
			all = make(Attributes)
		}
		maps.Copy(all, a)
		s.Parameters, err = t.Parameters(ctx, template, all)
	}
	return s, err
}

// Design implements [Execution].
func (t *Templates) Design(context.Context) error {
	if len(t.Regions) == 0 {
		return errors.New("there is no region to deploy to")
	}
	return nil
}

// Deploy implements [Execution]. A region that has its stack already keeps it.
func (t *Templates) Deploy(ctx context.Context, a Attributes) error {
	for _, region := range t.regions() {
		if t.Instance.Value(stackKey(region)) != "" {
			continue
		}
		// The name is kept first: a stack whose creation went unanswered is found by it, not made twice.
		nameKey := "name " + region
		name := t.Instance.Value(nameKey)
		if name == "" {
			name = "so-" + newID()
			if err := t.Instance.Keep(nameKey, name); err != nil {
				return err
			}
		}
		cloud := t.cloud(region)
		there, err := cloud.StackState(ctx, name)
		if err != nil {
			return fmt.Errorf("region %s: %w", region, err)
		}
		id := there.ID
		if id == "" {
			s, err := t.stack(ctx, t.Regions[region].Deployment, a)
			if err == nil {
				s.Name = name
				id, err = cloud.CreateStack(ctx, s)
			}
			if err != nil {
				return fmt.Errorf("region %s: %w", region, err)
			}
		}
		if err := t.Instance.Keep(stackKey(region), id); err != nil {
			return err
		}
	}
	return nil
}

// Provision implements [Execution].
func (t *Templates) Provision(ctx context.Context, a Attributes) error {
	t.replacing.Lock()
	defer t.replacing.Unlock()
	for _, region := range t.regions() {
		found, err := t.find(ctx, region)
		if err == nil {
			err = t.Instance.Keep(replacedKey(region), "")
		}
		if err == nil {
			err = t.update(ctx, region, found, a, "")
		}
		if err != nil {
			return fmt.Errorf("region %s: %w", region, err)
		}
	}
	return nil
}

// update updates a region's stack to its template, with the names that its resources have by now, but for one resource whose turn it
// is to have its other name.
func (t *Templates) update(ctx context.Context, region string, found *foundStack, a Attributes, resource string) error {
	present, err := found.template(ctx)
	if err != nil {
		return err
	}
	template, err := alternate(t.Regions[region].Provision, string(present), resource)
	if err != nil {
		return err
	}
	s, err := t.stack(ctx, template, a)
	if err != nil {
		return err
	}
	return found.update(ctx, s)
}

// find finds the stack of a region.
func (t *Templates) find(ctx context.Context, region string) (*foundStack, error) {
	return t.cloud(region).findStack(ctx, t.Instance.Value(stackKey(region)))
}

// Update implements [Execution]: templates see attributes as parameters, so that a change of one changes the stacks.
func (t *Templates) Update(ctx context.Context, _, _ Attributes) error {
	if t.Parameters == nil {
		return nil
	}
	for _, region := range t.regions() {
		if t.Instance.Value(stackKey(region)) == "" {
			return nil // it will be made with them
		}
	}
	return t.Provision(ctx, nil)
}

// Dispose implements [Execution]. It goes on where one region fails, and tells of all that did.
func (t *Templates) Dispose(ctx context.Context) error {
	var errs []error
	for _, region := range t.regions() {
		at := t.Instance.Value(stackKey(region))
		if at == "" {
			at = t.Instance.Value("name " + region)
		}
		if at == "" {
			continue
		}
		err := t.cloud(region).DeleteStack(ctx, at)
		if err == nil {
			for _, key := range []string{stackKey(region), "name " + region, waitingKey(region), replacedKey(region)} {
				err = errors.Join(err, t.Instance.Keep(key, ""))
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("region %s: %w", region, err))
		}
	}
	return errors.Join(errs...)
}

// State implements [Execution]: it is the worst of all regions. Names of outputs end in their region's; those of a single region are
// there without it too.
func (t *Templates) State(ctx context.Context) (State, error) {
	out := State{Outputs: make(map[string]string)}
	var ids []string
	for _, region := range t.regions() {
		id := t.Instance.Value(stackKey(region))
		if id == "" {
			continue
		}
		s, err := t.cloud(region).StackState(ctx, id)
		if err != nil {
			return State{}, fmt.Errorf("region %s: %w", region, err)
		}
		if len(ids) == 0 || severity(s.Stack) > severity(out.Stack) {
			out.Stack = s.Stack
		}
		ids = append(ids, region+":"+id)
		for name, value := range s.Outputs {
			out.Outputs[name+"."+strings.ReplaceAll(region, " ", "")] = value
			if len(t.Regions) == 1 {
				out.Outputs[name] = value
			}
		}
	}
	out.ID = strings.Join(ids, ",")
	return out, nil
}

// Worst returns the worse of two states of stacks: one that failed, before one that is gone, one that is in progress, and one that is
// complete.
func Worst(a, b string) string {
	if severity(b) > severity(a) {
		return b
	}
	return a
}

// severity orders states: failed is worse than gone, that than in progress, and that than complete.
func severity(stack string) int {
	switch {
	case strings.HasSuffix(stack, "_FAILED"):
		return 3
	case stack == "" || stack == Unknown:
		return 2
	case strings.HasSuffix(stack, "_IN_PROGRESS"):
		return 1
	}
	return 0
}
