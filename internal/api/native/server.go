package native

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/audit"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/format/native"
	"github.com/troupe-dev/troupe/internal/identity"
)

func backend(b control.BackendStatus) client.Backend {
	return client.Backend{Key: b.Key, Driver: b.Driver, Account: b.Account, Listed: later(b.Listed), Machines: b.Machines, Error: b.Error,
		Halted: b.Halted, Creates: b.Creates, Others: b.Others, Strange: b.Strange}
}

var guarantees = [...]string{driver.None: "none", driver.UniqueName: "unique name", driver.Token: "token"}

func (f *face) driver(who *identity.Caller, k *driver.Kind) client.Driver {
	out := client.Driver{Name: k.Name, Help: k.Help, Guarantee: guarantees[k.Guarantee], HostAccess: k.HostAccess, Options: options(k.Options),
		Account: options(k.Account), Backends: []client.Backend{}}
	for _, a := range k.Actions {
		out.Actions = append(out.Actions, string(a))
	}
	for _, b := range f.control.Backends(who) {
		if b.Driver == k.Name {
			out.Backends = append(out.Backends, backend(b))
		}
	}
	return out
}

func options(list []driver.Option) []client.DriverOption {
	out := make([]client.DriverOption, len(list))
	for n, o := range list {
		out[n] = client.DriverOption{Name: o.Name, Help: o.Help, Type: string(o.Type), Default: o.Default, Required: o.Required, Secret: o.Secret,
			Advanced: o.Advanced, HostAccess: o.HostAccess, Choices: o.Choices, Examples: o.Examples}
		if d, ok := o.Default.(time.Duration); ok {
			out[n].Default = d.String()
		}
	}
	return out
}

func (f *face) listDrivers(_ context.Context, who *identity.Caller, _ *none) (*answer[client.Page[client.Driver]], error) {
	out := client.Page[client.Driver]{Items: []client.Driver{}}
	for _, k := range f.control.Kinds() {
		out.Items = append(out.Items, f.driver(who, k))
	}
	return &answer[client.Page[client.Driver]]{out}, nil
}

type oneDriver struct {
	Driver string `path:"driver"`
}

func (f *face) getDriver(_ context.Context, who *identity.Caller, in *oneDriver) (*answer[client.Driver], error) {
	k, err := f.control.Kind(in.Driver)
	if err != nil {
		return nil, &api.Problem{Status: http.StatusNotFound, Detail: err.Error()}
	}
	return &answer[client.Driver]{f.driver(who, k)}, nil
}

type oneBackend struct {
	Backend string `path:"backend" doc:"Key of a back end: the driver's name, with the account's after a colon."`
}

func (f *face) acceptLoss(ctx context.Context, who *identity.Caller, in *oneBackend) (*none, error) {
	return nil, f.control.AcceptLoss(ctx, who, in.Backend)
}

func (f *face) status(_ context.Context, who *identity.Caller, _ *none) (*answer[client.Status], error) {
	s, figures := f.control.Status(), f.control.StoreFigures()
	out := client.Status{Version: f.options.Version, Started: f.options.Started.UTC(), Installation: s.Installation.ID, Generation: s.Installation.Generation,
		Origin: s.Installation.Origin, Paused: s.Paused, Services: s.Services, Revision: f.control.Revision(), Backends: []client.Backend{},
		Store:   client.Store{Size: figures.Size, InUse: figures.InUse, Full: figures.Full, Commits: figures.Commits, Writes: figures.Writes},
		Metrics: metricsHealth(f.control.MetricsHealth())}
	for _, b := range f.control.Backends(who) {
		out.Backends = append(out.Backends, backend(b))
	}
	return &answer[client.Status]{out}, nil
}

func (f *face) resume(ctx context.Context, who *identity.Caller, _ *none) (*none, error) {
	return nil, f.control.Resume(ctx, who)
}

// backup streams a copy of the whole state. A copy that broke off breaks the answer off.
func (f *face) backup(ctx context.Context, who *identity.Caller, _ *none) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(h huma.Context) {
		r, w := humago.Unwrap(h)
		s, err := newStream(w)
		if err != nil {
			f.fail(w, r, err)
			return
		}
		begun := false
		err = f.control.Backup(ctx, who, writer(func(p []byte) error {
			if !begun {
				begun = true
				w.Header().Set("Content-Type", "application/octet-stream")
				w.Header().Set("Content-Disposition", `attachment; filename="troupe.backup"`)
				w.WriteHeader(http.StatusOK)
			}
			_, err := s.Write(p)
			return err
		}))
		switch {
		case err != nil && !begun:
			f.fail(w, r, err)
		case err != nil:
			f.options.Log.Error("backup broke off", "request", api.RequestID(ctx), "error", err)
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

type readAudit struct {
	Limit   int       `query:"limit" minimum:"1" maximum:"10000" default:"100" doc:"The last so many."`
	User    string    `query:"user"`
	Project string    `query:"project"`
	Face    string    `query:"face"`
	Action  string    `query:"action" doc:"Such as service.scale."`
	Object  string    `query:"object" doc:"Such as service 7."`
	Outcome string    `query:"outcome" enum:"done,denied,refused,failed"`
	Request string    `query:"request"`
	Since   time.Time `query:"since"`
}

func (f *face) audit(ctx context.Context, who *identity.Caller, in *readAudit) (*answer[client.Page[client.AuditRecord]], error) {
	records, err := f.control.Trail(ctx, who, in.Limit, audit.Filter{User: in.User, Project: in.Project, Face: in.Face, Action: in.Action,
		Object: in.Object, Outcome: in.Outcome, Request: in.Request, Since: in.Since})
	out := client.Page[client.AuditRecord]{Items: make([]client.AuditRecord, len(records))}
	for n, r := range records {
		out.Items[n] = client.AuditRecord(r)
	}
	return answered(out, err)
}

type oneSchema struct {
	Kind string `path:"kind" enum:"service.json,machine.json"`
}

type schema struct {
	Type string `header:"Content-Type"`
	Body []byte
}

func (f *face) schema(_ context.Context, _ *identity.Caller, in *oneSchema) (*schema, error) {
	out := &schema{Type: "application/schema+json", Body: native.Schema()}
	if in.Kind == "machine.json" {
		out.Body = native.MachineSchema()
	}
	return out, nil
}
