package native

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/hurtle"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/manager"
)

// patience are the times of a manager's policy with the texts that stand for them.
func patience(o *client.ManagerOptions, p *manager.Policy) []struct {
	name string
	text *string
	time *time.Duration
} {
	return []struct {
		name string
		text *string
		time *time.Duration
	}{{"wait", &o.Wait, &p.Wait}, {"max_wait", &o.MaxWait, &p.MaxWait}, {"poll", &o.Poll, &p.Poll}, {"max_poll", &o.MaxPoll, &p.MaxPoll}, {"call", &o.Call, &p.Call},
		{"act", &o.Act, &p.Act}, {"host", &o.Host, &p.Host}, {"start", &o.Start, &p.Start}, {"build", &o.Build, &p.Build}, {"dispose", &o.Dispose, &p.Dispose}}
}

func (f *face) manager(who *identity.Caller, m *hurtle.Manager) client.Manager {
	out := client.Manager{Term: m.Term(), Type: string(m.Kind()), Description: m.Manifest.Description, Created: m.Created, Manifest: m.ManifestText,
		ManagerOptions: client.ManagerOptions{Program: m.Program, Lazy: m.Lazy, Strict: m.Strict, StaleReads: m.StaleReads, Attempts: m.Policy.Attempts}}
	for _, need := range m.Manifest.Needs {
		out.Needs = append(out.Needs, string(need.Type))
	}
	if m.Cloud != nil {
		out.CloudURL, out.CloudUser = m.Cloud.URL, m.Cloud.User
	}
	if who.Administers() { // it may hold secrets
		out.Environment = m.Environment
	}
	policy := m.Policy
	for _, x := range patience(&out.ManagerOptions, &policy) {
		if *x.time > 0 {
			*x.text = x.time.String()
		}
	}
	if list, err := f.control.ManagerInstances(who, m.Term()); err == nil {
		out.Instances = len(list)
	}
	return out
}

func (f *face) listManagers(_ context.Context, who *identity.Caller, in *Paging) (*answer[client.Page[client.Manager]], error) {
	key := func(m *hurtle.Manager) string { return m.Created.Format("2006-01-02T15:04:05.000000000Z") + m.Term() }
	return answered(part(f.control.ServiceManagers(), in, key, func(m *hurtle.Manager) client.Manager { return f.manager(who, m) }))
}

type oneManager struct {
	Manager string `path:"manager" doc:"A service manager, by the term of its type."`
}

func (f *face) getManager(_ context.Context, who *identity.Caller, in *oneManager) (*answer[client.Manager], error) {
	m, err := f.control.ServiceManager(in.Manager)
	if err != nil {
		return nil, err
	}
	return &answer[client.Manager]{f.manager(who, m)}, nil
}

type putManager struct{ Body client.PutManager }

func (f *face) putManager(ctx context.Context, who *identity.Caller, in *putManager) (*answer[client.Manager], error) {
	b := &in.Body
	if b.File == "" {
		b.File = "manifest"
	}
	if b.ParametersFile == "" {
		b.ParametersFile = "parameters"
	}
	d := control.ManagerDefinition{Bundle: b.Bundle, Definition: hurtle.Definition{ManifestText: b.Manifest, ManifestFile: b.File, ParametersText: b.Parameters, ParametersFile: b.ParametersFile,
		Program: b.Program, Environment: b.Environment, Lazy: b.Lazy, Strict: b.Strict, StaleReads: b.StaleReads, Policy: manager.Policy{Attempts: b.Attempts}}}
	switch {
	case b.CloudURL != "":
		d.Cloud = &hurtle.Cloud{URL: b.CloudURL, User: b.CloudUser, Password: b.CloudPassword}
	case b.CloudUser != "" || b.CloudPassword != "":
		return nil, invalid("body.cloud_url", "missing: user and password are for a Cloud Controller elsewhere")
	}
	for _, x := range patience(&b.ManagerOptions, &d.Policy) {
		if *x.text == "" {
			continue
		}
		var err error
		if *x.time, err = time.ParseDuration(*x.text); err != nil || *x.time <= 0 {
			return nil, invalid("body."+x.name, "a time such as 30s is wanted")
		}
	}
	m, err := f.control.PutManager(ctx, who, d)
	if err != nil {
		return nil, err
	}
	return &answer[client.Manager]{f.manager(who, m)}, nil
}

func (f *face) removeManager(ctx context.Context, who *identity.Caller, in *oneManager) (*none, error) {
	return nil, f.control.RemoveManager(ctx, who, in.Manager)
}

type listManagerInstances struct {
	Manager string `path:"manager" doc:"A service manager, by the term of its type."`
	Paging
}

func (f *face) listManagerInstances(_ context.Context, who *identity.Caller, in *listManagerInstances) (*answer[client.Page[client.ManagerInstance]], error) {
	list, err := f.control.ManagerInstances(who, in.Manager)
	if err != nil {
		return nil, err
	}
	key := func(v *hurtle.View) string { return v.Created.Format("2006-01-02T15:04:05.000000000Z") + v.ID }
	return answered(part(list, &in.Paging, key, func(v *hurtle.View) client.ManagerInstance {
		out := client.ManagerInstance{ID: v.ID, Project: f.group(v.Tenant), State: string(v.State), Step: string(v.Step), Pending: v.Pending, Message: v.Message, App: v.App, Address: v.Address,
			Services: v.Services, Created: v.Created, Since: v.Since, Attributes: map[string]string{}}
		for _, a := range v.Shown {
			out.Attributes[a.Name] = a.Value
		}
		return out
	}))
}
