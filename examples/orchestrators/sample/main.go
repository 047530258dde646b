// Command sample is a service orchestrator in a few lines: it makes one stack, configures it with a second template, and takes it down.
// README.md tells how to run it.
package main

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/troupe-dev/troupe/orchestrator"
)

// The two templates of the service, in the program.
var (
	//go:embed deployment.yaml
	deployment string
	//go:embed provision.yaml
	provision string
)

// A shop carries out the phases of one service.
type shop struct {
	instance *orchestrator.Instance
	cloud    *orchestrator.Cloud // of the tenant, found through DESIGN_URI
}

func main() {
	orchestrator.Main(func(_ context.Context, i *orchestrator.Instance) (orchestrator.Execution, error) {
		return &shop{i, i.Cloud("")}, nil
	})
}

// Design looks for what the service needs: somebody who makes stacks. Without one the orchestrator cannot be initialised.
func (s *shop) Design(ctx context.Context) error {
	_, err := s.cloud.Endpoint(ctx, "orchestration")
	return err
}

// Deploy has the stack made and keeps its id, so that it is made once.
func (s *shop) Deploy(ctx context.Context, _ orchestrator.Attributes) error {
	id, err := s.cloud.CreateStack(ctx, orchestrator.Stack{Template: deployment})
	if err != nil {
		return err
	}
	return s.instance.Keep("stack", id)
}

// Provision has the stack become what the second template says.
func (s *shop) Provision(ctx context.Context, _ orchestrator.Attributes) error {
	return s.cloud.UpdateStack(ctx, s.instance.Value("stack"), orchestrator.Stack{Template: provision})
}

// Update is told of attributes that a client changed. This shop has one that means something.
func (s *shop) Update(ctx context.Context, _, changed orchestrator.Attributes) error {
	theme, ok := changed["shop.theme"]
	if !ok {
		return nil
	}
	if theme != "light" && theme != "dark" {
		return fmt.Errorf("%w: shop.theme is light or dark, not %q", orchestrator.ErrInvalid, theme)
	}
	return s.cloud.UpdateStack(ctx, s.instance.Value("stack"), orchestrator.Stack{Template: provision, Parameters: map[string]any{"theme": theme}})
}

// Dispose has the stack removed, if there is one.
func (s *shop) Dispose(ctx context.Context) error {
	id := s.instance.Value("stack")
	if id == "" {
		return nil
	}
	if err := s.cloud.DeleteStack(ctx, id); err != nil {
		return err
	}
	return s.instance.Keep("stack", "")
}

// State tells how the stack stands. Its outputs become attributes of the service.
func (s *shop) State(ctx context.Context) (orchestrator.State, error) {
	return s.cloud.StackState(ctx, s.instance.Value("stack"))
}
