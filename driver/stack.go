package driver

import (
	"context"
	"iter"
	"time"
)

// A StackDriver hands whole templates to a back end that makes, changes and removes what they say by itself (Heat). It is
// an optional interface of drivers, found with As. All methods are safe for concurrent use and honour ctx; errors are
// classed like those of Driver.
type StackDriver interface {
	// CreateStack makes the stack for req, or returns the one that an earlier call with the same req.ID made. It returns
	// once the back end accepts; the stack is Pending until it is whole.
	CreateStack(ctx context.Context, req StackRequest) (Stack, error)
	// UpdateStack changes a stack into what req says. The same request again changes nothing.
	UpdateStack(ctx context.Context, req StackRequest) (Stack, error)
	// ShowStack tells of a stack, with its outputs. One that is not there is of class ErrNotFound.
	ShowStack(ctx context.Context, id MachineID) (Stack, error)
	// DeleteStack removes a stack with all that it made, and returns once that is gone. Removing one that is gone is no
	// error.
	DeleteStack(ctx context.Context, id MachineID) error
	// ListStacks yields every stack of this installation, without outputs. An error ends the sequence and makes it
	// incomplete.
	ListStacks(ctx context.Context) iter.Seq2[Stack, error]
}

// A StackRequest is what a stack is made from.
type StackRequest struct {
	ID         MachineID // names it for ever, like a resource's
	Service    string    // the service's id
	Key        string    // what the service's description calls it
	Template   string    // YAML or JSON
	Parameters map[string]string
	// Environment is the text of an environment file, and Files are what template and environment refer to, by name.
	Environment string
	Files       map[string]string
	Timeout     time.Duration // for making or changing it; 0 for the back end's
	Generation  uint64
}

// A Stack is what a back end tells of one stack.
type Stack struct {
	ID         MachineID
	Native     string
	State      State // Pending, Running when it is whole, Failed, or Gone
	Reason     string
	Outputs    map[string]string // those that are no text as JSON
	Created    time.Time
	Generation uint64
}

type stackFacet struct {
	facet
	to StackDriver
}

func (f *stackFacet) CreateStack(ctx context.Context, req StackRequest) (Stack, error) {
	return f.one(ctx, &Call{Name: "create-stack", ID: req.ID, Repeatable: true}, func(ctx context.Context) (Stack, error) { return f.to.CreateStack(ctx, req) })
}

func (f *stackFacet) UpdateStack(ctx context.Context, req StackRequest) (Stack, error) {
	return f.one(ctx, &Call{Name: "update-stack", ID: req.ID, Repeatable: true}, func(ctx context.Context) (Stack, error) { return f.to.UpdateStack(ctx, req) })
}

func (f *stackFacet) ShowStack(ctx context.Context, id MachineID) (Stack, error) {
	return f.one(ctx, &Call{Name: "show-stack", ID: id, Repeatable: true}, func(ctx context.Context) (Stack, error) { return f.to.ShowStack(ctx, id) })
}

func (f *stackFacet) one(ctx context.Context, call *Call, do func(context.Context) (Stack, error)) (s Stack, err error) {
	err = f.around(ctx, call, func(ctx context.Context) (err error) {
		s, err = do(ctx)
		return err
	})
	if err != nil {
		return Stack{}, err
	}
	return s, nil
}

func (f *stackFacet) DeleteStack(ctx context.Context, id MachineID) error {
	call := &Call{Name: "delete-stack", ID: id, Repeatable: true}
	return f.around(ctx, call, func(ctx context.Context) error { return f.to.DeleteStack(ctx, id) })
}

func (f *stackFacet) ListStacks(ctx context.Context) iter.Seq2[Stack, error] {
	return each(ctx, f.around, &Call{Name: "list-stacks", Repeatable: true}, f.to.ListStacks)
}
