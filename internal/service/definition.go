package service

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// An EarlierMachine is the definition that instances of a role were made from which an update has not replaced.
type EarlierMachine struct {
	Revision uint32 `json:"revision"` // the role's, as instances bear it
	Print    string `json:"print"`    // of all that decides what its machines are
	// Machine is the definition. Of instances that are about to be replaced it has what their removal needs.
	Machine Machine `json:"machine"`
}

// definition returns the machine definition that a revision of the role had; the present one when it is not known.
func (r *Role) definition(revision uint32) *Machine {
	if revision != r.Revision {
		for n := range r.Spec.Earlier {
			if e := &r.Spec.Earlier[n]; e.Revision == revision {
				return &e.Machine
			}
		}
	}
	return &r.Spec.Machine
}

// EachImplementation yields the implementations of the role's machine, and those by which machines were made that an
// update has not replaced.
func (r *RoleSpec) EachImplementation(yield func(*Implementation) bool) {
	for n := range r.Machine.Implementations {
		if !yield(&r.Machine.Implementations[n]) {
			return
		}
	}
	for k := range r.Earlier {
		for n := range r.Earlier[k].Machine.Implementations {
			if !yield(&r.Earlier[k].Machine.Implementations[n]) {
				return
			}
		}
	}
}

// made is what of a definition is in the machines made from it: not the checks, which are Troupe's own and change in
// place, nor what says by which implementation the next machine is made.
func (m *Machine) made() Machine {
	own := *m
	own.Checks, own.Choose, own.Variables = nil, "", nil // variables are compared as they are merged
	own.Implementations = slices.Clone(m.Implementations)
	for n := range own.Implementations {
		x := &own.Implementations[n]
		x.Name, x.Labels, x.Checks = "", nil, nil
	}
	return own
}

// printOf returns a text that two roles share if machines made for one are as good as those made for the other.
func printOf(s *Spec, r *RoleSpec) string {
	what := []any{r.Machine.made(), r.Identity, r.Needs, r.Filter, s.Inputs, r.Inputs, s.VariablesOf(r)}
	if r.Address != "" {
		what = append(what, r.Address)
	}
	text, err := json.Marshal(what)
	if err != nil {
		panic(fmt.Sprintf("role %s cannot be encoded: %v", r.Name, err)) // specs come from JSON
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// turnTo gives a role the content of the present spec, in place of that of the spec before. Instances whose machines
// are as the new content wants them are up to date: after a rollback, those that the update had not replaced. The others
// are outdated, unless they are to be kept.
func (s *Service) turnTo(r *Role, before *Spec, old, fresh *RoleSpec) {
	used := map[uint32]bool{}
	for i := range r.Instances {
		if i.Phase != Queued && i.Phase != Backoff {
			used[i.Revision] = true
		}
	}
	unused := func(revision uint32) bool { return !used[revision] }
	r.Keeps = slices.DeleteFunc(slices.Clone(r.Keeps), unused)
	fresh.Earlier = slices.Clone(old.Earlier)
	was, will := printOf(before, old), printOf(s.Spec, fresh)
	if was == will {
		fresh.Earlier = slices.DeleteFunc(fresh.Earlier, func(e EarlierMachine) bool { return unused(e.Revision) })
		return
	}
	fresh.Earlier = append(fresh.Earlier, EarlierMachine{r.Revision, was, old.Machine})
	target := s.Revision
	for _, e := range fresh.Earlier {
		if e.Print == will && used[e.Revision] {
			target = e.Revision
		}
	}
	switch {
	case !keeps(s.Spec, fresh):
		r.Keeps = nil
	case used[r.Revision] && !slices.Contains(r.Keeps, r.Revision):
		r.Keeps = append(r.Keeps, r.Revision)
	}
	fresh.Earlier = slices.DeleteFunc(fresh.Earlier, func(e EarlierMachine) bool { return unused(e.Revision) || e.Revision == target })
	for n := range fresh.Earlier {
		if e := &fresh.Earlier[n]; !slices.Contains(r.Keeps, e.Revision) {
			e.Machine = e.Machine.bare()
		}
	}
	s.revise(r, target)
}

// keeps reports whether instances that exist stay as they are when the role changes.
func keeps(s *Spec, r *RoleSpec) bool {
	if r.Update.Existing == "" {
		return s.Update.Existing == KeepExisting
	}
	return r.Update.Existing == KeepExisting
}

// bare returns what a definition must tell as long as there are machines made from it: where they are, and how it is
// seen that they are well.
func (m *Machine) bare() Machine {
	b := Machine{ID: m.ID, Name: m.Name, Checks: m.Checks, Implementations: make([]Implementation, len(m.Implementations))}
	for n, x := range m.Implementations {
		b.Implementations[n] = Implementation{Name: x.Name, Driver: x.Driver, Account: x.Account, Checks: x.Checks}
	}
	return b
}

// bare returns what a role must know of its spec to leave when the service's has it no more.
func (r *RoleSpec) bare() *RoleSpec {
	b := &RoleSpec{Name: r.Name, Address: r.Address, Heal: r.Heal, OnGone: r.OnGone, Identity: r.Identity, HardShutdown: r.HardShutdown, StopTimeout: r.StopTimeout,
		Machine: r.Machine.bare()}
	for _, e := range r.Earlier {
		b.Earlier = append(b.Earlier, EarlierMachine{e.Revision, e.Print, e.Machine.bare()})
	}
	return b
}

// plain returns the spec as it came, without what was added to it about earlier machines.
func (s *Spec) plain() *Spec {
	if !slices.ContainsFunc(s.Roles, func(r RoleSpec) bool { return len(r.Earlier) > 0 }) {
		return s
	}
	own := *s
	own.Roles = slices.Clone(s.Roles)
	for n := range own.Roles {
		own.Roles[n].Earlier = nil
	}
	return &own
}
