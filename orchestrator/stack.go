package orchestrator

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/orchestration/v1/stacks"
	"github.com/gophercloud/gophercloud/v2/openstack/orchestration/v1/stacktemplates"
)

// orchestration is the type of the service that makes stacks.
const orchestration = "orchestration"

// A Stack is what a Heat template becomes.
type Stack struct {
	Name       string // begins with a letter; "" at creation means a new one
	Template   string
	Parameters map[string]any
	// Files are those that the template names, by name, and Environment is YAML; both may be empty.
	Files       map[string]string
	Environment string
}

// body makes the request for a stack. Unlike gophercloud's own, it never reads files of this machine that a template names.
func (s *Stack) body() map[string]any {
	b := map[string]any{"stack_name": s.Name, "template": s.Template, "disable_rollback": true, "timeout_mins": 60}
	if len(s.Parameters) > 0 {
		b["parameters"] = s.Parameters
	}
	if len(s.Files) > 0 {
		b["files"] = s.Files
	}
	if s.Environment != "" {
		b["environment"] = s.Environment
	}
	return b
}

// ToStackCreateMap implements [stacks.CreateOptsBuilder].
func (s *Stack) ToStackCreateMap() (map[string]any, error) { return s.body(), nil }

// ToStackUpdateMap implements [stacks.UpdateOptsBuilder].
func (s *Stack) ToStackUpdateMap() (map[string]any, error) {
	b := s.body()
	delete(b, "stack_name")
	return b, nil
}

// CreateStack has a stack made and returns its id as soon as that is accepted, even if ctx ends meanwhile.
func (c *Cloud) CreateStack(ctx context.Context, s Stack) (string, error) {
	ctx = context.WithoutCancel(ctx) // who does not hear the answer knows of no stack to remove
	client, err := c.to(ctx, orchestration)
	if err != nil {
		return "", err
	}
	if s.Name == "" {
		s.Name = "stack_" + uuid.NewString()
	}
	made, err := stacks.Create(ctx, client, &s).Extract()
	if err != nil {
		return "", fmt.Errorf("create stack %s: %w", s.Name, err)
	}
	return made.ID, nil
}

// UpdateStack has a stack become what another template says. Parameters that are not given have the template's defaults.
func (c *Cloud) UpdateStack(ctx context.Context, id string, s Stack) error {
	found, err := c.findStack(ctx, id)
	if err == nil {
		err = found.update(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("update stack %s: %w", id, err)
	}
	return nil
}

// DeleteStack has a stack removed. One that is gone is no error.
func (c *Cloud) DeleteStack(ctx context.Context, id string) error {
	found, err := c.findStack(ctx, id)
	if err == nil {
		err = stacks.Delete(ctx, found.client, found.Name, found.ID).ExtractErr()
	}
	if err != nil && !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return fmt.Errorf("delete stack %s: %w", id, err)
	}
	return nil
}

// StackState tells how a stack stands; a stack that is gone is [Unknown]. An output that is no text is in JSON.
func (c *Cloud) StackState(ctx context.Context, id string) (State, error) {
	found, err := c.findStack(ctx, id)
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("show stack %s: %w", id, err)
	}
	s := State{Stack: found.Status, ID: found.ID}
	for _, o := range found.Outputs {
		name, _ := o["output_key"].(string)
		value, err := text(o["output_value"])
		if err != nil {
			return State{}, fmt.Errorf("output %s of stack %s: %w", name, id, err)
		}
		if s.Outputs == nil {
			s.Outputs = make(map[string]string)
		}
		s.Outputs[name] = value
	}
	return s, nil
}

// StackTemplate returns the template that a stack was made from last, in JSON.
func (c *Cloud) StackTemplate(ctx context.Context, id string) ([]byte, error) {
	found, err := c.findStack(ctx, id)
	var t []byte
	if err == nil {
		t, err = found.template(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("the template of stack %s: %w", id, err)
	}
	return t, nil
}

// A foundStack is a stack as it was when it was looked for.
type foundStack struct {
	*stacks.RetrievedStack
	client *gophercloud.ServiceClient
}

func (c *Cloud) findStack(ctx context.Context, id string) (*foundStack, error) {
	client, err := c.to(ctx, orchestration)
	if err != nil {
		return nil, err
	}
	found, err := stacks.Find(ctx, client, id).Extract()
	return &foundStack{found, client}, err
}

// busy reports whether it was being made, updated or removed.
func (f *foundStack) busy() bool { return strings.HasSuffix(f.Status, "_IN_PROGRESS") }

func (f *foundStack) template(ctx context.Context) ([]byte, error) {
	return stacktemplates.Get(ctx, f.client, f.Name, f.ID).Extract()
}

func (f *foundStack) update(ctx context.Context, s Stack) error {
	return stacks.Update(ctx, f.client, f.Name, f.ID, &s).ExtractErr()
}
