package driver

import (
	"context"
	"iter"
	"sync/atomic"
)

// A Call is one call of a driver, as an Around sees it.
type Call struct {
	Name   string    // "create", "destroy", "list", "act", "watch", "logs", "exec" …
	ID     MachineID // "" when it is about no single machine
	Action Action    // of an "act"
	// Stream: it lasts as long as the caller likes (watch, logs, exec).
	Stream bool
	// Patient: it waits for the machine's own programs to end (a graceful removal or power-off), so
	// that a long wait says nothing about the back end.
	Patient bool
	// Repeatable: doing it twice is the same as doing it once. A create is repeatable as far as
	// Kind.Guarantee goes, and is not marked here.
	Repeatable bool

	yielded  bool      // a list has handed over an item, so that it cannot be begun again
	progress *progress // kept up by a list, when somebody asks for it
}

// progress tells a watchdog how a list gets on.
type progress struct {
	items atomic.Int64
	busy  atomic.Bool // the consumer looks at an item: its time is not the back end's
}

// An Around runs do, the call itself, and may run it later, again, with another context or not at all.
type Around func(ctx context.Context, call *Call, do func(context.Context) error) error

// chain nests arounds: the first is the outermost.
func chain(arounds ...Around) Around {
	return func(ctx context.Context, call *Call, do func(context.Context) error) error {
		for i := len(arounds) - 1; i >= 0; i-- {
			around, inner := arounds[i], do
			do = func(ctx context.Context) error { return around(ctx, call, inner) }
		}
		return do(ctx)
	}
}

// Intercept returns a driver that makes each call of d through around: those of Driver and those of
// the optional interfaces that d has. As finds exactly the interfaces that it finds in d.
func Intercept(d Driver, around Around) Driver {
	l := &layer{inner: d, around: around, next: d}
	// As walks from driver to driver by Unwrap. So the layer unwraps first to one facet for each
	// optional interface of d, and the last of them to d.
	if t, ok := As[Watcher](d); ok {
		l.next = &watcherFacet{l.facet(), t}
	}
	if t, ok := As[Actor](d); ok {
		l.next = &actorFacet{l.facet(), t}
	}
	if t, ok := As[Logger](d); ok {
		l.next = &loggerFacet{l.facet(), t}
	}
	if t, ok := As[Prober](d); ok {
		l.next = &proberFacet{l.facet(), t}
	}
	if t, ok := As[Refresher](d); ok {
		l.next = &refresherFacet{l.facet(), t}
	}
	if t, ok := As[DataKeeper](d); ok {
		l.next = &dataKeeperFacet{l.facet(), t}
	}
	if t, ok := As[Addresser](d); ok {
		l.next = &addresserFacet{l.facet(), t}
	}
	if t, ok := As[Measurer](d); ok {
		l.next = &measurerFacet{l.facet(), t}
	}
	if t, ok := As[Stamper](d); ok {
		l.next = &stamperFacet{l.facet(), t}
	}
	if t, ok := As[Resourcer](d); ok {
		l.next = &resourcerFacet{l.facet(), t}
	}
	if t, ok := As[StackDriver](d); ok {
		l.next = &stackFacet{l.facet(), t}
	}
	return l
}

type layer struct {
	inner  Driver
	around Around
	next   Driver
}

// Unwrap returns the layer's first facet, or the inner driver.
func (l *layer) Unwrap() Driver { return l.next }

func (l *layer) Create(ctx context.Context, req Request) (Machine, error) {
	c := &createCall{Call: Call{Name: "create", ID: req.ID}, to: l.inner, req: req}
	if err := l.around(ctx, &c.Call, c.do); err != nil {
		return Machine{}, err
	}
	return c.made, nil
}

// A createCall holds all that a create needs in one piece of memory: it is the most frequent call.
type createCall struct {
	Call
	to   Driver
	req  Request
	made Machine
}

func (c *createCall) do(ctx context.Context) (err error) {
	c.made, err = c.to.Create(ctx, c.req)
	return err
}

func (l *layer) Destroy(ctx context.Context, ref Ref, mode Shutdown) error {
	call := &Call{Name: "destroy", ID: ref.ID, Patient: mode == Graceful, Repeatable: true}
	return l.around(ctx, call, func(ctx context.Context) error { return l.inner.Destroy(ctx, ref, mode) })
}

func (l *layer) List(ctx context.Context) iter.Seq2[Machine, error] {
	return each(ctx, l.around, &Call{Name: "list", Repeatable: true}, l.inner.List)
}

// each makes a call that yields items. The time that the consumer takes for an item is its own.
func each[T any](ctx context.Context, around Around, call *Call, items func(context.Context) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		call := *call // a sequence may be ranged over again
		ended := false
		err := around(ctx, &call, func(ctx context.Context) error {
			for item, err := range items(ctx) {
				if err != nil {
					return err
				}
				call.yielded = true
				p := call.progress
				if p != nil {
					p.busy.Store(true)
				}
				if !yield(item, nil) {
					ended = true
					return nil
				}
				if p != nil {
					p.items.Add(1)
					p.busy.Store(false)
				}
			}
			return nil
		})
		if err != nil && !ended {
			var none T
			yield(none, err)
		}
	}
}

// A facet is the layer seen through one optional interface.
type facet struct {
	*layer
	after Driver
}

func (l *layer) facet() facet { return facet{l, l.next} }

// Unwrap returns the next facet, or the inner driver.
func (f facet) Unwrap() Driver { return f.after }

type (
	watcherFacet struct {
		facet
		to Watcher
	}
	actorFacet struct {
		facet
		to Actor
	}
	loggerFacet struct {
		facet
		to Logger
	}
	proberFacet struct {
		facet
		to Prober
	}
	refresherFacet struct {
		facet
		to Refresher
	}
	dataKeeperFacet struct {
		facet
		to DataKeeper
	}
	addresserFacet struct {
		facet
		to Addresser
	}
	measurerFacet struct {
		facet
		to Measurer
	}
	stamperFacet struct {
		facet
		to Stamper
	}
)

func (f *watcherFacet) Watch(ctx context.Context, emit func(Machine)) error {
	return f.around(ctx, &Call{Name: "watch", Stream: true}, func(ctx context.Context) error { return f.to.Watch(ctx, emit) })
}

func (f *actorFacet) Act(ctx context.Context, ref Ref, action Action, args, token string) error {
	call := &Call{Name: "act", ID: ref.ID, Action: action, Patient: patient(action), Repeatable: token != ""}
	return f.around(ctx, call, func(ctx context.Context) error { return f.to.Act(ctx, ref, action, args, token) })
}

func patient(a Action) bool {
	return a == Stop || a == Poweroff || a == Undeploy || a == Reboot
}

func (f *loggerFacet) Logs(ctx context.Context, ref Ref, opts LogOptions) (LogReader, error) {
	var r LogReader
	err := f.around(ctx, &Call{Name: "logs", ID: ref.ID, Stream: true}, func(ctx context.Context) (err error) {
		r, err = f.to.Logs(ctx, ref, opts)
		return err
	})
	return r, err
}

func (f *proberFacet) Exec(ctx context.Context, ref Ref, cmd Command) (exit int, err error) {
	err = f.around(ctx, &Call{Name: "exec", ID: ref.ID, Stream: true}, func(ctx context.Context) (err error) {
		exit, err = f.to.Exec(ctx, ref, cmd)
		return err
	})
	return exit, err
}

func (f *refresherFacet) Refresh(ctx context.Context, ref Ref, files []File) error {
	call := &Call{Name: "refresh", ID: ref.ID, Repeatable: true}
	return f.around(ctx, call, func(ctx context.Context) error { return f.to.Refresh(ctx, ref, files) })
}

func (f *dataKeeperFacet) RemoveData(ctx context.Context, data string) error {
	call := &Call{Name: "remove-data", Repeatable: true}
	return f.around(ctx, call, func(ctx context.Context) error { return f.to.RemoveData(ctx, data) })
}

func (f *addresserFacet) Address(ctx context.Context, req Request) (address string, err error) {
	err = f.around(ctx, &Call{Name: "address", ID: req.ID, Repeatable: true}, func(ctx context.Context) (err error) {
		address, err = f.to.Address(ctx, req)
		return err
	})
	return address, err
}

func (f *measurerFacet) Measure(ctx context.Context) iter.Seq2[Figures, error] {
	return each(ctx, f.around, &Call{Name: "measure", Repeatable: true}, f.to.Measure)
}

func (f *stamperFacet) Stamp(ctx context.Context, ref Ref, generation uint64) error {
	call := &Call{Name: "stamp", ID: ref.ID, Repeatable: true}
	return f.around(ctx, call, func(ctx context.Context) error { return f.to.Stamp(ctx, ref, generation) })
}
