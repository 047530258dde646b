package occi

import (
	"context"
	"iter"
)

// A Backend holds the entities that a [Server] shows, and carries out what clients ask for. The server has read and
// checked what it passes on: categories are of the model, attributes are as the model defines them (see [Check]), paths are
// clean and without the listener's prefix. Who asks is in the context; see [CallerOf].
//
// All methods may be called from several goroutines at once. An [Error] chooses the answer; any other error is answered
// with 500, logged, and not shown. Entities that belong to other callers are as if they were not there. Nobody changes an
// entity once a backend has returned it, so that a backend may return the same one again.
type Backend interface {
	// Model returns the categories as the caller sees them. It is called for each request, so the backend should keep it.
	Model(ctx context.Context) (*Model, error)
	// List yields the caller's entities in the order of their creation, links among them. It leaves out only what s rules out, and need
	// not leave out anything.
	List(ctx context.Context, s Selection) iter.Seq2[*Entity, error]
	// Get returns the entity at a path, or an error of status 404.
	Get(ctx context.Context, path string) (*Entity, error)
	// Create makes an entity, for a resource together with its Links, and returns it with its Path, or an error and nothing is made.
	// A Path that is there already is one that the client wishes; where it is taken the status is 409, and a backend
	// that chooses paths itself answers 400. The same holds for the paths of Links. The backend may keep e and change it.
	Create(ctx context.Context, e *Entity) (*Entity, error)
	// Update changes the entity at a path and returns it, or an error and nothing is changed.
	Update(ctx context.Context, path string, c Change) (*Entity, error)
	// Delete removes the entity at a path: a resource with all links from and to it.
	Delete(ctx context.Context, path string) error
	// Act invokes an action that was among the entity's Actions a moment ago, and returns the entity. Where the action is not
	// applicable any more the status is 400.
	Act(ctx context.Context, path string, a Invocation) (*Entity, error)
}

// A Selection tells a backend what a list is for, so that it need not yield everything. The zero Selection is all.
type Selection struct {
	// Kind is the only kind that is wanted.
	Kind TypeID
	// Under is the path that wanted entities are below; it ends in "/".
	Under string
}

// Selects reports whether the entity is wanted.
func (s Selection) Selects(e *Entity) bool {
	return (s.Kind == "" || e.Kind == s.Kind) && len(e.Path) >= len(s.Under) && e.Path[:len(s.Under)] == s.Under
}

// An Invocation is an action with its attributes.
type Invocation struct {
	Action     TypeID
	Attributes Attributes
}

// A Caller is who makes a request, as the listener's authentication found.
type Caller struct {
	// Tenant is whose mixins the caller sees and defines. What else it means is up to the backend.
	Tenant string
	// Value is the listener's own idea of the caller.
	Value any
}

type callerKey struct{}

// WithCaller returns a context for calls of a backend by someone.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns who makes the request that ctx belongs to.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
