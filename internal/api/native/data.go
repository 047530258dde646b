package native

import (
	"context"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

func (f *face) listData(_ context.Context, who *identity.Caller, in *Paging) (*answer[client.Page[client.KeptData]], error) {
	return answered(part(f.control.Kept(who), in, func(k control.Kept) string { return numberKey(k.Service) }, f.keptData))
}

func (f *face) keptData(k control.Kept) client.KeptData {
	out := client.KeptData{Service: k.Service, Name: k.Meta.Name, Project: k.Meta.Project, Owner: f.user(k.Meta.Owner), Removed: k.Removed.UTC()}
	for _, d := range k.Data {
		r := client.RoleData{Role: d.Role}
		for n := range min(d.Numbers, 100) {
			r.Names = append(r.Names, service.DataName(k.Service, d.Role, n))
		}
		for _, a := range d.Backends {
			key := a.Driver
			if a.Account != "" {
				key += ":" + a.Account
			}
			r.Backends = append(r.Backends, key)
		}
		out.Roles = append(out.Roles, r)
	}
	return out
}

func (f *face) removeData(ctx context.Context, who *identity.Caller, in *Named) (*none, error) {
	return nil, f.control.RemoveKept(ctx, who, in.Service)
}
