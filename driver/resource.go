package driver

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Resourcer makes what machines need beside themselves: networks, volumes, addresses. The kinds that
// it makes are Kind.Resources.
type Resourcer interface {
	// MakeResource makes the resource for req, or returns the one that an earlier call with the
	// same req.ID made; while that one is Pending, asking again is how its caller waits for it. A nil
	// error or a definite one (see Definite) leaves no doubt; after any other error it may exist.
	MakeResource(ctx context.Context, req ResourceRequest) (Resource, error)
	// RemoveResource removes it and returns once it is gone. Removing one that is gone is no error.
	RemoveResource(ctx context.Context, ref Ref) error
	// ListResources yields every resource of this installation. An error ends the sequence and
	// makes it incomplete: nothing may be concluded from absence.
	ListResources(ctx context.Context) iter.Seq2[Resource, error]
}

// A ResourceKind describes one kind of resource that a driver makes.
type ResourceKind struct {
	Name    string // "network", "volume" …
	Help    string
	Options []Option
}

// Check checks the options of a resource as Kind.Check does those of a machine.
func (k *ResourceKind) Check(options map[string]any) (map[string]any, error) {
	return (&Kind{Options: k.Options}).Check(options)
}

// Resource returns the kind of resource with that name. The error, of class ErrUnsupported, names the
// kinds that there are.
func (k *Kind) Resource(name string) (*ResourceKind, error) {
	names := make([]string, len(k.Resources))
	for i := range k.Resources {
		if names[i] = k.Resources[i].Name; names[i] == name {
			return &k.Resources[i], nil
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: driver %s makes no resources, so no %s", ErrUnsupported, k.Name, name)
	}
	return nil, fmt.Errorf("%w: driver %s makes no resource of kind %q, only %s%s", ErrUnsupported, k.Name, name,
		strings.Join(names, ", "), nearest.Hint(name, names))
}

// A ResourceRequest is everything a driver needs to make one resource.
type ResourceRequest struct {
	ID         MachineID // names it for ever: service and serial, "7-r3"; never that of a machine
	Kind       string
	Key        string // what the service's description calls it: options of machines may refer to it so
	Name       string // unique in the project, for people who look at the back end
	Service    string // the service's id
	Options    map[string]any
	Generation uint64 // the installation's, stamped on the resource
}

// A Resource is what a back end tells of one resource.
type Resource struct {
	ID     MachineID
	Native string // the back end's own id
	// State is Pending while it is being made, Running when machines may use it, Failed when it
	// never will be of use, or Gone.
	State State
	// Outputs are what machines may refer to, such as "id" and "cidr". They are shown to users: no
	// secret belongs in them.
	Outputs    map[string]string
	Reason     string // why it is in that state, in the back end's words
	Generation uint64
}

type resourcerFacet struct {
	facet
	to Resourcer
}

func (f *resourcerFacet) MakeResource(ctx context.Context, req ResourceRequest) (made Resource, err error) {
	call := &Call{Name: "make-resource", ID: req.ID, Repeatable: true}
	err = f.around(ctx, call, func(ctx context.Context) (err error) {
		made, err = f.to.MakeResource(ctx, req)
		return err
	})
	if err != nil {
		return Resource{}, err
	}
	return made, nil
}

func (f *resourcerFacet) RemoveResource(ctx context.Context, ref Ref) error {
	call := &Call{Name: "remove-resource", ID: ref.ID, Repeatable: true}
	return f.around(ctx, call, func(ctx context.Context) error { return f.to.RemoveResource(ctx, ref) })
}

func (f *resourcerFacet) ListResources(ctx context.Context) iter.Seq2[Resource, error] {
	return each(ctx, f.around, &Call{Name: "list-resources", Repeatable: true}, f.to.ListResources)
}
