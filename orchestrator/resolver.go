package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/occi"
)

// A Dependency is a service of another type that an orchestrator's service needs: a line of depends_on in a manifest.
type Dependency struct {
	Type   occi.TypeID
	Region string  // where the registry is asked; "" means RegionOne
	Inputs []Input // what it is given
}

// An Input is an attribute of another dependency. It is given under the same name.
type Input struct {
	Supplier  occi.TypeID
	Attribute string
}

// A Resolver makes the services that another service needs, through their own service managers, and gives each what it needs of
// the others. Suppliers come before those that they supply, however long the chain.
type Resolver struct {
	instance *Instance
	needs    []Dependency
	// Cloud returns the cloud of a region; nil means the instance's own.
	Cloud func(region string) *Cloud
	// Poll is how often a dependency that is being made is asked how it stands; 0 means each half second.
	Poll time.Duration

	mu        sync.Mutex
	endpoints map[occi.TypeID]string
}

// A Dependent is what became of a dependency.
type Dependent struct {
	Type       occi.TypeID
	Location   string     // its URL at its own service manager
	Stack      string     // how it stands
	Attributes Attributes // what it shows
}

// AttrInstances is the attribute by which an orchestrator tells its service manager of the services that it made: URLs with spaces between
// them.
const AttrInstances = "mcn.so.svcinsts"

// NewResolver returns one for the dependencies of an instance's service. The error is that of a list that cannot be resolved: a type twice,
// an unknown supplier.
func NewResolver(i *Instance, needs []Dependency) (*Resolver, error) {
	for n, d := range needs {
		if slices.ContainsFunc(needs[:n], func(o Dependency) bool { return o.Type == d.Type }) {
			return nil, fmt.Errorf("%s is needed twice", d.Type)
		}
		for _, in := range d.Inputs {
			if in.Supplier == d.Type || !slices.ContainsFunc(needs, func(o Dependency) bool { return o.Type == in.Supplier }) {
				return nil, fmt.Errorf("%s is given %s by %s, which is not another one of what is needed", d.Type, in.Attribute, in.Supplier)
			}
		}
	}
	return &Resolver{instance: i, needs: needs, endpoints: make(map[occi.TypeID]string)}, nil
}

// Design finds the service managers of all dependencies. Its error names the type of one that is not registered.
func (r *Resolver) Design(ctx context.Context) error {
	for _, d := range r.needs {
		if _, err := r.endpoint(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (r *Resolver) endpoint(ctx context.Context, d Dependency) (string, error) {
	r.mu.Lock()
	at := r.endpoints[d.Type]
	r.mu.Unlock()
	if at != "" {
		return at, nil
	}
	cloud := r.instance.Cloud(d.Region)
	if r.Cloud != nil {
		cloud = r.Cloud(d.Region)
	}
	at, err := cloud.Endpoint(ctx, string(d.Type))
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	r.endpoints[d.Type] = at
	r.mu.Unlock()
	return at, nil
}

// client speaks to a service manager as the instance's tenant.
func (r *Resolver) client(root string) *occi.Client {
	return &occi.Client{URL: root, HTTP: &http.Client{Timeout: callTime}, InHeaders: true,
		Header: http.Header{"X-Auth-Token": {r.instance.Token()}, "X-Tenant-Name": {r.instance.Tenant()}}}
}

// at returns a client for where a service is, and its path there.
func (r *Resolver) at(location string) (*occi.Client, string, error) {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		return nil, "", fmt.Errorf("%.200q is no URL of a service", location)
	}
	// A manager may live below a path: a service's own is /term/id.
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) < 2 {
		return nil, "", fmt.Errorf("%.200q is no URL of a service", location)
	}
	path := "/" + strings.Join(parts[len(parts)-2:], "/")
	u.Path = strings.TrimSuffix(u.Path, path)
	return r.client(u.String()), path, nil
}

func locationKey(t occi.TypeID) string { return "service " + string(t) }
func beforeKey(t occi.TypeID) string   { return "before " + string(t) }

// each calls f for all dependencies at once, and returns what went wrong with any.
func (r *Resolver) each(needs []Dependency, f func(Dependency) error) error {
	errs := make([]error, len(needs))
	var done sync.WaitGroup
	for n, d := range needs {
		done.Go(func() {
			if err := f(d); err != nil {
				errs[n] = fmt.Errorf("%s: %w", d.Type, err)
			}
		})
	}
	done.Wait()
	return errors.Join(errs...)
}

// Deploy has all dependencies made, at once, and returns when that is accepted, even if ctx ends meanwhile: whatever was made is known.
// Called again it makes those that are missing.
func (r *Resolver) Deploy(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // each call has its own time
	return r.each(r.needs, func(d Dependency) error {
		if r.instance.Value(locationKey(d.Type)) != "" {
			return nil
		}
		root, err := r.endpoint(ctx, d)
		if err != nil {
			return err
		}
		client := r.client(root)
		location, err := r.unanswered(ctx, d)
		if err != nil {
			return err
		}
		if location == "" {
			there, err := r.list(ctx, client, d)
			if err == nil {
				err = r.instance.Keep(beforeKey(d.Type), "- "+strings.Join(there, " "))
			}
			if err == nil {
				location, err = client.Create(ctx, "/", &occi.Entity{Kind: d.Type})
			}
			if err != nil {
				return err
			}
		}
		return errors.Join(r.instance.Keep(locationKey(d.Type), absolute(root, location)), r.instance.Keep(beforeKey(d.Type), ""))
	})
}

// list lists the tenant's services of a dependency's type.
func (r *Resolver) list(ctx context.Context, client *occi.Client, d Dependency) ([]string, error) {
	return client.List(ctx, "/", []occi.Category{{ID: d.Type, Class: occi.Kind}}, nil)
}

// unanswered returns where an earlier try has made a dependency, though it did not hear of it: one that came since it began. "" means
// that there is none.
func (r *Resolver) unanswered(ctx context.Context, d Dependency) (string, error) {
	before := r.instance.Value(beforeKey(d.Type))
	if before == "" {
		return "", nil
	}
	root, err := r.endpoint(ctx, d)
	if err != nil {
		return "", err
	}
	there, err := r.list(ctx, r.client(root), d)
	if err != nil {
		return "", err
	}
	location := ""
	for _, l := range there {
		if !slices.Contains(strings.Fields(before), l) {
			location = l
		}
	}
	return location, nil
}

// absolute returns the URL of a location below a root.
func absolute(root, location string) string {
	if strings.HasPrefix(location, "/") {
		return strings.TrimSuffix(root, "/") + location
	}
	return location
}

// Show tells what became of the dependencies, in the order of the manifest. Those that are not made yet have no Location.
func (r *Resolver) Show(ctx context.Context) ([]Dependent, error) {
	out := make([]Dependent, len(r.needs))
	err := r.each(r.needs, func(d Dependency) error {
		n := slices.IndexFunc(r.needs, func(o Dependency) bool { return o.Type == d.Type })
		out[n].Type = d.Type
		location := r.instance.Value(locationKey(d.Type))
		if location == "" {
			return nil
		}
		x, err := r.show(ctx, location)
		if x.Type = d.Type; err == nil {
			out[n] = x
		}
		return err
	})
	return out, err
}

func (r *Resolver) show(ctx context.Context, location string) (Dependent, error) {
	client, path, err := r.at(location)
	if err != nil {
		return Dependent{}, err
	}
	e, err := client.Get(ctx, path)
	if err != nil {
		return Dependent{}, err
	}
	x := Dependent{Location: location, Attributes: make(Attributes)}
	for _, a := range e.Attributes {
		x.Attributes[a.Name] = e.Attributes.Text(a.Name)
	}
	if x.Stack = x.Attributes[attrState]; x.Attributes["mcn.service.state"] == "fail" {
		x.Stack = CreateFailed
	}
	return x, nil
}

// State is how all dependencies stand together: as the worst of them. Its only output is [AttrInstances].
func (r *Resolver) State(ctx context.Context) (State, error) {
	if len(r.needs) == 0 {
		return State{Stack: CreateComplete}, nil
	}
	all, err := r.Show(ctx)
	if err != nil {
		return State{}, err
	}
	var s State
	var locations []string
	for _, x := range all {
		if x.Stack == "" || x.Stack == Uninitialized || x.Stack == Unknown {
			x.Stack = CreateInProgress // its own manager has just begun
		}
		if s.Stack == "" || severity(x.Stack) > severity(s.Stack) {
			s.Stack = x.Stack
		}
		if x.Location != "" {
			locations = append(locations, x.Location)
		}
	}
	s.Outputs = map[string]string{AttrInstances: strings.Join(locations, " ")}
	return s, nil
}

// Provision gives the dependencies their inputs: at once to all whose suppliers have theirs, so a chain takes as many rounds as it is
// long. Where suppliers need each other all are given what is there. It returns when the last have accepted.
func (r *Resolver) Provision(ctx context.Context) error {
	left := slices.Clone(r.needs)
	for len(left) > 0 {
		next := slices.DeleteFunc(slices.Clone(left), func(d Dependency) bool {
			return slices.ContainsFunc(d.Inputs, func(in Input) bool {
				return slices.ContainsFunc(left, func(o Dependency) bool { return o.Type == in.Supplier })
			})
		})
		if len(next) == 0 {
			next = left
		}
		if err := r.each(next, func(d Dependency) error { return r.provision(ctx, d) }); err != nil {
			return err
		}
		left = slices.DeleteFunc(left, func(d Dependency) bool {
			return slices.ContainsFunc(next, func(o Dependency) bool { return o.Type == d.Type })
		})
	}
	return nil
}

// provision gives one dependency its inputs, when its suppliers and itself are complete.
func (r *Resolver) provision(ctx context.Context, d Dependency) error {
	var given occi.Attributes
	for _, in := range d.Inputs {
		x, err := r.await(ctx, in.Supplier)
		if err != nil {
			return err
		}
		value, ok := x.Attributes[in.Attribute]
		if !ok {
			return fmt.Errorf("the supplier %s has no attribute %s", in.Supplier, in.Attribute)
		}
		given.Set(in.Attribute, value)
	}
	if _, err := r.await(ctx, d.Type); err != nil {
		return err
	}
	client, path, err := r.at(r.instance.Value(locationKey(d.Type)))
	if err != nil {
		return err
	}
	_, err = client.Update(ctx, path, d.Type, occi.Change{Attributes: given})
	return err
}

// await waits until a dependency is complete, and fails when it does.
func (r *Resolver) await(ctx context.Context, t occi.TypeID) (Dependent, error) {
	poll := r.Poll
	if poll == 0 {
		poll = 500 * time.Millisecond
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		location := r.instance.Value(locationKey(t))
		if location == "" {
			return Dependent{}, fmt.Errorf("%s has not been made", t)
		}
		x, err := r.show(ctx, location)
		switch {
		case err != nil:
			return x, err
		case strings.HasSuffix(x.Stack, "_COMPLETE"):
			return x, nil
		case strings.HasSuffix(x.Stack, "_FAILED"):
			return x, fmt.Errorf("%s is %s", location, x.Stack)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return x, fmt.Errorf("%s is still %s: %w", location, x.Stack, context.Cause(ctx))
		}
	}
}

// Dispose removes all dependencies, those that are supplied before their suppliers. It goes on where one fails, and tells of
// all that did.
func (r *Resolver) Dispose(ctx context.Context) error {
	left := slices.Clone(r.needs)
	var errs []error
	for len(left) > 0 {
		n := slices.IndexFunc(left, func(d Dependency) bool {
			return !slices.ContainsFunc(left, func(o Dependency) bool {
				return slices.ContainsFunc(o.Inputs, func(in Input) bool { return in.Supplier == d.Type })
			})
		})
		n = max(n, 0) // where they supply each other any is as good
		if err := r.remove(ctx, left[n]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", left[n].Type, err))
		}
		left = slices.Delete(left, n, n+1)
	}
	return errors.Join(errs...)
}

func (r *Resolver) remove(ctx context.Context, d Dependency) error {
	location := r.instance.Value(locationKey(d.Type))
	if location == "" {
		at, err := r.unanswered(ctx, d)
		if err != nil {
			return err
		}
		if at == "" {
			return r.instance.Keep(beforeKey(d.Type), "")
		}
		root, err := r.endpoint(ctx, d)
		if err != nil {
			return err
		}
		location = absolute(root, at)
	}
	client, path, err := r.at(location)
	if err != nil {
		return err
	}
	if err := client.Delete(ctx, path); err != nil && occi.StatusOf(err) != http.StatusNotFound {
		return err
	}
	return errors.Join(r.instance.Keep(locationKey(d.Type), ""), r.instance.Keep(beforeKey(d.Type), ""))
}
