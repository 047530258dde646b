package drivertest

import (
	"context"
	"fmt"

	"github.com/troupe-dev/troupe/driver"
)

// resources sees each kind of resource made, made again, listed and removed.
func resources(a *account) {
	r := skip[driver.Resourcer](a)
	for i := range a.Kind.Resources {
		kind := &a.Kind.Resources[i]
		req := a.resource(kind)
		first := a.makeResource(r, req)
		if first.ID != req.ID || first.Native == "" {
			a.Errorf("%s %s: it says that it is %q, the back end's id is %q", kind.Name, req.ID, first.ID, first.Native)
		}
		if again := a.makeResource(r, req); again.Native != first.Native {
			a.Errorf("%s made twice: first %s, then %s", kind.Name, first.Native, again.Native)
		}
		other := a.makeResource(r, a.resource(kind))
		if other.Native == first.Native {
			a.Errorf("two %ss are one: %s", kind.Name, other.Native)
		}
		if listed := a.listResources(r); listed[first.ID].Native != first.Native || listed[other.ID].Native != other.Native {
			a.Errorf("the list shows %v; it lacks %s or %s", listed, first.ID, other.ID)
		}
		for range 2 { // removing what is gone is no error
			if err := r.RemoveResource(a.ctx(), driver.Ref{ID: first.ID, Native: first.Native}); err != nil {
				a.Fatalf("remove %s: %v", first.ID, err)
			}
		}
		if err := r.RemoveResource(a.ctx(), driver.Ref{ID: other.ID}); err != nil {
			a.Fatalf("remove %s without the back end's id: %v", other.ID, err)
		}
		listed := a.listResources(r)
		for _, gone := range []driver.Resource{first, other} {
			if _, there := listed[gone.ID]; there {
				a.Errorf("%s %s is removed, and listed", kind.Name, gone.ID)
			}
		}
	}
}

// resourcesRefused: what cannot be made is refused for good, and a call that came too late makes nothing.
func resourcesRefused(a *account) {
	r := skip[driver.Resourcer](a)
	req := a.resource(&a.Kind.Resources[0])
	req.Kind = "perpetuum-mobile"
	_, err := r.MakeResource(a.ctx(), req)
	a.wantClass(err, driver.ErrUnsupported, "a resource of an unknown kind")
	req = a.resource(&a.Kind.Resources[0])
	ctx, cancel := context.WithCancel(a.ctx())
	cancel()
	if _, err := r.MakeResource(ctx, req); err == nil {
		a.Error("a resource is made with a context that has ended")
	}
	if _, there := a.listResources(r)[req.ID]; there {
		a.Error("a call with a context that has ended left a resource")
	}
}

func (a *account) resource(kind *driver.ResourceKind) driver.ResourceRequest {
	a.Helper()
	options, err := kind.Check(a.Resources[kind.Name])
	if err != nil {
		a.Fatalf("options of the harness for a %s: %v", kind.Name, err)
	}
	n := serial.Add(1)
	return driver.ResourceRequest{ID: driver.MachineID(fmt.Sprintf("1-r%d", n)), Kind: kind.Name, Key: kind.Name, Name: fmt.Sprintf("%s-%d", kind.Name, n),
		Service: "1", Options: options, Generation: a.cfg.Generation}
}

// makeResource makes a resource and waits until machines may use it.
func (a *account) makeResource(r driver.Resourcer, req driver.ResourceRequest) (made driver.Resource) {
	a.Helper()
	a.until(func() (err error) {
		if made, err = r.MakeResource(a.ctx(), req); err != nil {
			a.Fatalf("make %s: %v", req.ID, err)
		}
		if made.State != driver.Running {
			return fmt.Errorf("%s is %s: %s", req.ID, made.State, made.Reason)
		}
		return nil
	})
	a.Cleanup(func() {
		if err := r.RemoveResource(context.Background(), driver.Ref{ID: made.ID, Native: made.Native}); err != nil {
			a.Errorf("clean up %s: %v", made.ID, err)
		}
	})
	return made
}

func (a *account) listResources(r driver.Resourcer) map[driver.MachineID]driver.Resource {
	a.Helper()
	found := map[driver.MachineID]driver.Resource{}
	for x, err := range r.ListResources(a.ctx()) {
		if err != nil {
			a.Fatalf("list resources: %v", err)
		}
		found[x.ID] = x
	}
	return found
}
