package service

import "slices"

// A KeptData says where the stable instances of a role may have left data, which outlives them: under the names
// DataName(service, Role, n) for each n below Numbers, on each of the back ends.
type KeptData struct {
	Role     string    `json:"role"`
	Numbers  uint32    `json:"numbers"`
	Backends []Account `json:"backends"`
}

// An Account names a back end: an account of a driver, "" for its default.
type Account struct {
	Driver  string `json:"driver"`
	Account string `json:"account,omitempty"`
}

// KeptData returns where the service's instances, those of roles that have left among them, may have left data.
func (s *Service) KeptData() []KeptData {
	kept := slices.Clone(s.Kept)
	for _, r := range s.Roles {
		if k, ok := keptBy(r, r.Spec); ok {
			kept = append(kept, k)
		}
	}
	return kept
}

func keptBy(r *Role, spec *RoleSpec) (KeptData, bool) {
	if spec.Identity != Stable || r.NextNumber == 0 {
		return KeptData{}, false
	}
	k := KeptData{Role: r.Name, Numbers: r.NextNumber}
	for _, x := range spec.Machine.Implementations {
		if a := (Account{x.Driver, x.Account}); !slices.Contains(k.Backends, a) {
			k.Backends = append(k.Backends, a)
		}
	}
	return k, true
}

// keep notes the data of a role that leaves, or that will be made elsewhere or without data from now on.
func (s *Service) keep(r *Role, old, fresh *RoleSpec) {
	k, ok := keptBy(r, old)
	if !ok {
		return
	}
	if fresh != nil {
		if now, stable := keptBy(r, fresh); stable && slices.Equal(now.Backends, k.Backends) {
			return
		}
	}
	for n := range s.Kept {
		if s.Kept[n].Role == k.Role && slices.Equal(s.Kept[n].Backends, k.Backends) {
			s.Kept[n].Numbers = max(s.Kept[n].Numbers, k.Numbers)
			return
		}
	}
	s.Kept = append(s.Kept, k)
}
