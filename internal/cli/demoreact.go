package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/client"
)

// alarm lets an instance say that it is stuck; the service's own alarm has it replaced.
func (d *demo) alarm(ctx context.Context) error {
	instances, err := d.instances(ctx)
	if err != nil {
		return err
	}
	victim := instances["app"][0]
	return d.replaced(ctx, victim, 7, func() error { return d.tell(ctx, victim, "stuck=1") })
}

// policy lets the instances of web say that they are busy; the role's policy brings more.
func (d *demo) policy(ctx context.Context) error {
	instances, err := d.instances(ctx)
	if err != nil {
		return err
	}
	const want = 6 // four that bear 90 are six that bear 60
	var began time.Time
	var decided time.Duration
	err = d.watch(ctx, func() error {
		began = time.Now()
		for _, i := range instances["web"] {
			if err := d.tell(ctx, i, "load=90"); err != nil {
				return err
			}
		}
		return nil
	}, func() (bool, error) {
		s, err := d.client.Services().Get(ctx, d.service.Ref())
		if err != nil {
			return false, err
		}
		for _, r := range s.Roles {
			if r.Name != "web" || r.Cardinality != want {
				continue
			}
			if decided == 0 {
				decided = time.Since(began)
			}
			return r.Settled == want, nil
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.t.out, "decided after %d ms, six after %d ms\n", decided.Milliseconds(), time.Since(began).Milliseconds())
	return d.running(ctx, 9)
}

// tell lets an instance tell the server of itself.
func (d *demo) tell(ctx context.Context, i client.Instance, attribute string) error {
	if _, err := fetch(ctx, "http://"+i.Addresses[0]+":"+demoPorts[i.Role]+"/tell?"+attribute); err != nil {
		return fmt.Errorf("%s cannot tell that %s: %w", i.Name, attribute, err)
	}
	fmt.Fprintf(d.t.out, "%s tells OneGate that %s\n", i.Name, attribute)
	return nil
}

// replaced measures from what befalls an instance until another runs in its place and is healthy, with so many live
// processes in all.
func (d *demo) replaced(ctx context.Context, victim client.Instance, want int, befall func() error) error {
	instances, err := d.instances(ctx)
	if err != nil {
		return err
	}
	var began time.Time
	var noticed time.Duration
	err = d.watch(ctx, func() error { began = time.Now(); return befall() }, func() (bool, error) {
		up := 0
		for i, err := range d.client.Services().Instances(ctx, d.service.Ref(), client.InstanceFilter{Role: victim.Role}) {
			switch {
			case err != nil:
				return false, err
			case i.Phase == "up" && i.Machine == victim.Machine:
				return false, nil
			case i.Phase == "up":
				up++
			}
		}
		if noticed == 0 {
			noticed = time.Since(began)
		}
		return up == len(instances[victim.Role]), nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.t.out, "noticed after %d ms, replaced and healthy after %d ms\n", noticed.Milliseconds(), time.Since(began).Milliseconds())
	return d.running(ctx, want)
}

// watch lets something happen, prints what follows from it, and ends when done says so.
func (d *demo) watch(ctx context.Context, happen func() error, done func() (bool, error)) error {
	var began time.Time
	for change, err := range d.client.Watch(ctx, client.WatchOptions{Service: d.service.Ref(), Now: true}) {
		if err != nil {
			return err
		}
		if began.IsZero() { // the watch stands: it misses nothing
			began = time.Now()
			if err := happen(); err != nil {
				return err
			}
			continue
		}
		for _, e := range change.Events {
			fmt.Fprintf(d.t.out, "%5d ms  %s\n", time.Since(began).Milliseconds(), d.t.eventLine(e))
		}
		if ok, err := done(); ok || err != nil {
			return err
		}
	}
	return errors.Join(errors.New("nothing follows from it"), ctx.Err())
}
