package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
)

// resourceLine keeps the turns of resources apart from those of instances.
const resourceLine = 1 << 31

// line is whose turn the job takes: calls on one machine or resource follow each other.
func (j job) line() uint32 {
	switch {
	case concernsSupplier(j.effect):
		return j.effect.Serial | supplierLine
	case j.effect.Kind == service.DoEvaluate:
		return outputLine
	}
	if concernsResource(j.effect) {
		return j.effect.Serial | resourceLine
	}
	return j.effect.Serial
}

func concernsResource(eff service.Effect) bool {
	return eff.Kind == service.DoMake || eff.Kind == service.DoUnmake
}

// resource carries out a DoMake or DoUnmake, if the service still wants it.
func (b *Backend) resource(ctx context.Context, j job) {
	r, ok := driver.As[driver.Resourcer](b.Driver)
	if !ok {
		b.engine.answerMissing(j.actor, j.effect, b.Key()+" that makes resources")
		return
	}
	if j.effect.Kind == service.DoUnmake {
		b.unmake(ctx, j, r)
		return
	}
	req, ok, err := b.resourceRequest(j)
	if !ok {
		return
	}
	fact := service.Fact{Kind: service.Made, Serial: j.effect.Serial, Action: j.effect.Token}
	if err != nil {
		fact.Err, fact.Class, fact.Definite = err.Error(), driver.Class(err), true
		b.engine.post(j.actor, message{fact: fact})
		return
	}
	failpoint("make")
	made, err := r.MakeResource(ctx, req)
	failpoint("made")
	if ctx.Err() != nil {
		return // the server stops: the state knows what to do
	}
	fact.Resource = &made
	b.judge(&fact, err)
	b.engine.post(j.actor, message{fact: fact})
}

func (b *Backend) unmake(ctx context.Context, j job, r driver.Resourcer) {
	still := false
	b.engine.read(j.actor, func(svc *service.Service) {
		x := svc.ResourceOf(j.effect)
		still = x != nil && x.Phase == service.ResourceRemoving
	})
	if !still {
		return
	}
	limit, cancel := context.WithTimeout(ctx, destroyTime)
	defer cancel()
	failpoint("unmake")
	err := r.RemoveResource(limit, driver.Ref{ID: service.ResourceID(j.actor.id, j.effect.Serial), Native: j.effect.Native})
	failpoint("unmade")
	if ctx.Err() != nil {
		return
	}
	fact := service.Fact{Kind: service.Unmade, Serial: j.effect.Serial, Action: j.effect.Token}
	b.judge(&fact, err)
	b.engine.post(j.actor, message{fact: fact})
}

// resourceRequest makes the request for a resource; false when it is not to be made any more.
func (b *Backend) resourceRequest(j job) (req driver.ResourceRequest, ok bool, err error) {
	b.engine.read(j.actor, func(svc *service.Service) {
		x := svc.ResourceOf(j.effect)
		if ok = x != nil && x.Spec != nil && x.Phase == service.ResourceCreating && !svc.Leaving; !ok {
			return
		}
		req = driver.ResourceRequest{ID: service.ResourceID(svc.ID, x.Serial), Kind: x.Kind, Key: x.Name, Name: fmt.Sprintf("%s-%d", x.Name, svc.ID),
			Service: idText(svc.ID), Options: x.Spec.Options, Generation: b.engine.store.Installation().Generation}
	})
	if !ok {
		return req, false, nil
	}
	kind, err := b.Kind.Resource(req.Kind)
	if err == nil {
		req.Options, err = kind.Check(req.Options)
	}
	return req, true, err
}

// listing is how long a list of resources may take.
const listing = time.Minute

// strangeResources adds the resources that no record knows to what was found. A list that erred adds none.
func (b *Backend) strangeResources(ctx context.Context, found map[driver.MachineID]driver.Machine) {
	r, ok := driver.As[driver.Resourcer](b.Driver)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, listing)
	defer cancel()
	var strange []driver.Resource
	for x, err := range r.ListResources(ctx) {
		if err != nil {
			if ctx.Err() == nil {
				b.engine.log.Warn("list of a back end's resources failed", "backend", b.Key(), "error", err)
			}
			return
		}
		id, serial, ok := service.ParseResourceID(x.ID)
		if !ok || x.Generation > b.engine.store.Installation().Generation {
			continue // not by this program, or by a newer one: left alone
		}
		known := false
		if a := b.engine.actor(id); a != nil {
			b.engine.read(a, func(svc *service.Service) { known = svc.Makes(serial) })
		}
		if !known {
			strange = append(strange, x)
		}
	}
	for _, x := range strange {
		found[x.ID] = driver.Machine{ID: x.ID, Native: x.Native}
	}
}

// recordedResource reads, linearizably, whether a resource belongs to a service.
func (e *Engine) recordedResource(ctx context.Context, id uint64, serial uint32) (bool, error) {
	kv, err := e.store.Get(ctx, headKey(id))
	if err != nil {
		return false, fmt.Errorf("look for the record of service %d: %w", id, err)
	}
	if kv.Revision == 0 {
		return false, nil
	}
	svc, err := service.Decode(kv.Value)
	if err != nil {
		return true, err
	}
	return svc.Makes(serial), nil
}

// removeStranger removes a resource that no record knows.
func (b *Backend) removeStranger(ctx context.Context, ref driver.Ref) error {
	r, ok := driver.As[driver.Resourcer](b.Driver)
	if !ok {
		return driver.ErrUnsupported
	}
	return r.RemoveResource(ctx, ref)
}
