package openstack

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/troupe-dev/troupe/driver"
)

// errNoStacks is what a cloud without Heat is told.
var errNoStacks = fmt.Errorf("%w: this cloud has no Heat", driver.ErrUnsupported)

// A stack is one of Heat's. Its name derives from its id and the installation, and Heat refuses a second one of a name;
// tags say the rest. They are written with it.
type stack struct {
	ID      string    `json:"id"`
	Name    string    `json:"stack_name"`
	Status  string    `json:"stack_status"`
	Reason  string    `json:"stack_status_reason"`
	Created time.Time `json:"creation_time"`
	Tags    []string  `json:"tags"`
	Outputs []struct {
		Key   string `json:"output_key"`
		Value any    `json:"output_value"`
		Error string `json:"output_error"`
	} `json:"outputs"`
}

func (c *cloud) stackName(id driver.MachineID) string { return c.labelPrefix() + string(id) }

// CreateStack makes a stack.
func (c *cloud) CreateStack(ctx context.Context, req driver.StackRequest) (driver.Stack, error) {
	v, err := claimed(ctx, c, req.ID, func() (driver.Stack, error) { return c.createStack(ctx, &req) })
	if err != nil {
		return driver.Stack{}, failed(err, "create stack %s", req.ID)
	}
	return v, nil
}

func (c *cloud) createStack(ctx context.Context, req *driver.StackRequest) (driver.Stack, error) {
	v, err := c.stack(ctx, req.ID)
	if err == nil || !missing(err) {
		return v, err
	}
	s, err := c.connect(ctx)
	if err != nil {
		return driver.Stack{}, err
	}
	body, err := c.stackBody(req)
	if err != nil {
		return driver.Stack{}, err
	}
	body["stack_name"], body["disable_rollback"] = c.stackName(req.ID), true
	inner, cancel := c.making(ctx)
	defer cancel()
	_, err = s.heat.Post(inner, s.heat.ServiceURL("stacks"), body, nil, &gophercloud.RequestOpts{OkCodes: []int{201}})
	if err != nil && !conflict(err) {
		return driver.Stack{}, problem(err)
	}
	return c.stack(ctx, req.ID)
}

// stackBody is what Heat is asked for.
func (c *cloud) stackBody(req *driver.StackRequest) (fields, error) {
	if strings.TrimSpace(req.Template) == "" {
		return nil, refuse("template", "must not be empty")
	}
	tags := []string{c.mark(), serviceTag(req.Service), keyTag(req.Key), generationTag + strconv.FormatUint(req.Generation, 10)}
	body := fields{"template": req.Template, "tags": strings.Join(tags, ",")}
	if len(req.Parameters) > 0 {
		body["parameters"] = req.Parameters
	}
	if req.Environment != "" {
		body["environment"] = req.Environment
	}
	if len(req.Files) > 0 {
		body["files"] = req.Files
	}
	if req.Timeout > 0 {
		body["timeout_mins"] = int((req.Timeout + time.Minute - 1) / time.Minute)
	}
	return body, nil
}

// UpdateStack changes a stack. Heat does one thing with it at a time.
func (c *cloud) UpdateStack(ctx context.Context, req driver.StackRequest) (driver.Stack, error) {
	v, err := claimed(ctx, c, req.ID, func() (driver.Stack, error) { return c.updateStack(ctx, &req) })
	if err != nil {
		return driver.Stack{}, failed(err, "update stack %s", req.ID)
	}
	return v, nil
}

func (c *cloud) updateStack(ctx context.Context, req *driver.StackRequest) (driver.Stack, error) {
	body, err := c.stackBody(req)
	if err != nil {
		return driver.Stack{}, err
	}
	v, err := c.stack(ctx, req.ID)
	for p := (pause{}); err == nil && v.State == driver.Pending; {
		if err = p.wait(ctx); err == nil {
			v, err = c.stack(ctx, req.ID)
		}
	}
	if err != nil {
		return v, err
	}
	s, err := c.connect(ctx)
	if err != nil {
		return v, err
	}
	inner, cancel := c.making(ctx)
	defer cancel()
	_, err = s.heat.Put(inner, s.heat.ServiceURL("stacks", c.stackName(req.ID), v.Native), body, nil, &gophercloud.RequestOpts{OkCodes: []int{202}})
	if err != nil {
		return v, problem(err)
	}
	return c.stack(ctx, req.ID)
}

// ShowStack tells of a stack.
func (c *cloud) ShowStack(ctx context.Context, id driver.MachineID) (driver.Stack, error) {
	v, err := c.stack(ctx, id)
	if err != nil {
		return driver.Stack{}, failed(err, "show stack %s", id)
	}
	return v, nil
}

// stack asks Heat for a stack; the error is one of missing where there is none.
func (c *cloud) stack(ctx context.Context, id driver.MachineID) (driver.Stack, error) {
	s, err := c.connect(ctx)
	if err != nil {
		return driver.Stack{}, err
	}
	if s.heat == nil {
		return driver.Stack{}, errNoStacks
	}
	var answer struct{ Stack stack }
	if _, err := s.heat.Get(ctx, s.heat.ServiceURL("stacks", c.stackName(id)), &answer, nil); err != nil {
		return driver.Stack{}, err
	}
	return c.showStack(&answer.Stack), nil
}

// showStack tells of one stack. Heat says what it does last and how that went: CREATE_IN_PROGRESS, UPDATE_COMPLETE.
func (c *cloud) showStack(v *stack) driver.Stack {
	out := driver.Stack{ID: driver.MachineID(strings.TrimPrefix(v.Name, c.labelPrefix())), Native: v.ID, Created: v.Created}
	for _, t := range v.Tags {
		if g, ok := strings.CutPrefix(t, generationTag); ok {
			out.Generation, _ = strconv.ParseUint(g, 10, 64)
		}
	}
	switch {
	case v.Status == "DELETE_COMPLETE":
		out.State = driver.Gone
	case strings.HasSuffix(v.Status, "_FAILED"):
		out.State, out.Reason = driver.Failed, v.Reason
	case strings.HasSuffix(v.Status, "_COMPLETE"):
		out.State = driver.Running
	case strings.HasSuffix(v.Status, "_IN_PROGRESS"):
		out.State = driver.Pending
	default:
		out.Reason = "Heat says that it is " + v.Status
	}
	for _, o := range v.Outputs {
		text, ok := o.Value.(string)
		if o.Value != nil && !ok {
			encoded, err := json.Marshal(o.Value)
			if err != nil {
				continue
			}
			text = string(encoded)
		}
		if o.Value == nil {
			continue // it is not known yet, or never
		}
		if out.Outputs == nil {
			out.Outputs = map[string]string{}
		}
		out.Outputs[o.Key] = text
	}
	return out
}

// DeleteStack removes a stack and returns when Heat has removed all that it made.
func (c *cloud) DeleteStack(ctx context.Context, id driver.MachineID) error {
	release, err := c.claims.Claim(ctx, id)
	if err == nil {
		defer release()
		err = c.deleteStack(ctx, id)
	}
	if err != nil {
		return failed(err, "delete stack %s", id)
	}
	return nil
}

func (c *cloud) deleteStack(ctx context.Context, id driver.MachineID) error {
	v, err := c.stack(ctx, id)
	if err != nil || v.State == driver.Gone {
		return gone(err)
	}
	s, err := c.connect(ctx)
	if err != nil {
		return err
	}
	if _, err := s.heat.Delete(ctx, s.heat.ServiceURL("stacks", c.stackName(id), v.Native), nil); err != nil {
		return gone(err)
	}
	for p := (pause{}); ; {
		if err := p.wait(ctx); err != nil {
			return err
		}
		switch v, err = c.stack(ctx, id); {
		case missing(err) || err == nil && v.State == driver.Gone:
			return nil
		case err != nil:
			return err
		case v.State == driver.Failed && strings.Contains(v.Reason, "DELETE"):
			return fmt.Errorf("%w: %s", driver.ErrUnavailable, v.Reason)
		}
	}
}

// ListStacks asks Heat for all stacks of this installation at once.
func (c *cloud) ListStacks(ctx context.Context) iter.Seq2[driver.Stack, error] {
	return func(yield func(driver.Stack, error) bool) {
		list, err := c.stacks(ctx)
		if err != nil {
			yield(driver.Stack{}, failed(err, "list stacks"))
			return
		}
		for i := range list {
			if v := c.showStack(&list[i]); v.State != driver.Gone && !yield(v, nil) {
				return
			}
		}
	}
}

func (c *cloud) stacks(ctx context.Context) (all []stack, err error) {
	s, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	if s.heat == nil {
		return nil, nil
	}
	const atOnce = 200
	marker := ""
	for {
		var page struct{ Stacks []stack }
		query := url.Values{"tags": {c.mark()}, "limit": {strconv.Itoa(atOnce)}}
		if marker != "" {
			query.Set("marker", marker)
		}
		if _, err := s.heat.Get(ctx, s.heat.ServiceURL("stacks")+"?"+query.Encode(), &page, nil); err != nil {
			return nil, err
		}
		if all = append(all, page.Stacks...); len(page.Stacks) < atOnce {
			return all, nil
		}
		marker = page.Stacks[atOnce-1].ID
	}
}

// stackResource makes a stack as a resource of a service.
func (c *cloud) stackResource(ctx context.Context, req *driver.ResourceRequest, options map[string]any) (driver.Resource, error) {
	text, table := driver.Get[string], driver.Get[map[string]string]
	v, err := c.createStack(ctx, &driver.StackRequest{ID: req.ID, Service: req.Service, Key: req.Key, Template: text(options, "template"), Parameters: table(options, "parameters"),
		Environment: text(options, "environment"), Files: table(options, "files"), Timeout: driver.Get[time.Duration](options, "timeout"), Generation: req.Generation})
	return resourceOf(&v), err
}

func resourceOf(v *driver.Stack) driver.Resource {
	r := driver.Resource{ID: v.ID, Native: v.Native, State: v.State, Reason: v.Reason, Generation: v.Generation, Outputs: map[string]string{"id": v.Native}}
	for name, value := range v.Outputs {
		r.Outputs[name] = value
	}
	return r
}

// stackResources lists the stacks of services, with their outputs.
func (c *cloud) stackResources(ctx context.Context) (out []driver.Resource, err error) {
	list, err := c.stacks(ctx)
	for i := range list {
		v := c.showStack(&list[i])
		if v.State == driver.Running {
			if v, err = c.stack(ctx, v.ID); missing(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		if v.State != driver.Gone {
			out = append(out, resourceOf(&v))
		}
	}
	return out, err
}
