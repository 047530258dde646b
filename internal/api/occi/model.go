package occi

import (
	"context"
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/occi"
)

// osScheme is that of the mixins which stand for machine definitions.
const osScheme = "http://schemas.troupe.dev/occi/infrastructure/os_tpl#"

// mostModels is how many models are kept, one for each set of definitions that somebody may use.
const mostModels = 256

// Model implements [occi.Backend]: the infrastructure, and an OS template for each machine definition that the caller
// may use.
func (f *OCCI) Model(ctx context.Context) (*occi.Model, error) {
	who := caller(ctx)
	changed := f.Control.MachinesChanged()
	key := rights(who)
	f.mu.Lock()
	if changed != f.made {
		clear(f.models)
		f.made = changed
	}
	m := f.models[key]
	f.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := occi.NewModel(f.categories(who)...)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made == changed {
		if len(f.models) >= mostModels {
			clear(f.models)
		}
		f.models[key] = m
	}
	return m, nil
}

// rights is what decides which definitions a caller may use.
func rights(who *identity.Caller) string {
	var b strings.Builder
	fmt.Fprint(&b, who.User, " ", who.Admin, " ", who.Scopes, who.Groups)
	return b.String()
}

// categories returns the model of a caller. What cannot be changed while a machine exists may be set at its creation. Actions that
// no back end carries out, such as up and down of networks, are there, but no entity offers them.
func (f *OCCI) categories(who *identity.Caller) []occi.Category {
	all := append(occi.Core(), occi.Infrastructure()...)
	for i := range all {
		c := &all[i]
		for n := range c.Attributes {
			d := &c.Attributes[n]
			if fixed[d.Name] || c.Class == occi.Mixin {
				d.Immutable, d.Initial = true, true
			}
		}
	}
	for _, d := range f.Control.Machines(who) {
		if d.Format != "" {
			continue // it is a document of another face
		}
		all = append(all, occi.Category{ID: occi.TypeID(osScheme + d.Name), Class: occi.Mixin, Title: "machine definition " + d.Name,
			Location: "/mixins/os_tpl/" + d.Name + "/", Depends: []occi.TypeID{occi.OSTemplate}, Applies: []occi.TypeID{occi.Compute}})
	}
	return all
}

// fixed are the attributes that are settled when an entity is created.
var fixed = map[string]bool{
	"occi.compute.architecture": true, "occi.compute.cores": true, "occi.compute.memory": true, "occi.compute.speed": true, "occi.compute.share": true,
	"occi.storage.size": true,
}
