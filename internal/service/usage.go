package service

// Usage is what services claim by their wishes, for quotas.
type Usage struct {
	Services  int
	Instances int
	CPUs      float64 // cores, where machines declare them
	Memory    int64   // bytes, where machines declare them
}

// Add returns u+v·times.
func (u Usage) Add(v Usage, times int) Usage {
	u.Services += times * v.Services
	u.Instances += times * v.Instances
	u.CPUs += float64(times) * v.CPUs
	u.Memory += int64(times) * v.Memory
	return u
}

// WishOf is what a spec claims when it is deployed, without the services that are made for it.
func WishOf(spec *Spec) Usage {
	u := Usage{Services: 1}
	for n := range spec.Roles {
		u = u.Add(single(&spec.Roles[n]), spec.Roles[n].Cardinality)
	}
	return u
}

// WholeWishOf is what a spec claims with all services that are made for it.
func WholeWishOf(spec *Spec) Usage {
	u := WishOf(spec)
	for n := range spec.Services {
		if inner := spec.Services[n].Spec; inner != nil {
			u = u.Add(WholeWishOf(inner), 1)
		}
	}
	return u
}

// single is what an instance of a role claims.
func single(r *RoleSpec) Usage {
	return Usage{Instances: 1, CPUs: r.Machine.CPUs, Memory: r.Machine.Memory}
}

// Usage is what the service claims now; a finished one claims nothing.
func (s *Service) Usage() Usage {
	if s.State == Done {
		return Usage{}
	}
	u := Usage{Services: 1}
	for _, r := range s.Roles {
		u = u.Add(single(r.Spec), r.Cardinality)
	}
	return u
}

// Claim is what a command would claim on top of that, and for which group.
func (s *Service) Claim(c *Command) (group int, more Usage) {
	if m := c.Meta; m != nil && m.Group != nil && *m.Group != s.Meta.Group {
		return *m.Group, s.Usage()
	}
	return s.Meta.Group, s.growth(c).positive()
}

// positive is what a usage claims: what it gives back covers nothing before it is given.
func (u Usage) positive() Usage {
	return Usage{Services: max(0, u.Services), Instances: max(0, u.Instances), CPUs: max(0, u.CPUs), Memory: max(0, u.Memory)}
}

func (s *Service) growth(c *Command) Usage {
	switch {
	case c.Scale != nil:
		if r := s.Role(c.Scale.Role); r != nil && len(c.Scale.Remove) == 0 {
			return Usage{}.Add(single(r.Spec), c.Scale.target(r, 0)-r.Cardinality)
		}
	case c.AddRole != nil:
		return Usage{}.Add(single(c.AddRole), c.AddRole.Cardinality)
	case c.Update != nil && c.Update.Spec != nil:
		return WishOf(c.Update.Spec).Add(s.Usage(), -1)
	}
	return Usage{}
}

// Name says in a word what a command wants, for the audit trail.
func (c *Command) Name() string {
	switch {
	case c.Scale != nil:
		return "scale"
	case c.Recover != nil:
		return "recover"
	case c.Undeploy != nil:
		return "undeploy"
	case c.Update != nil:
		return "update"
	case c.AddRole != nil:
		return "add-role"
	case c.RemoveRole != nil:
		return "remove-role"
	case c.Release != nil:
		return "release"
	case c.Act != nil:
		return "act"
	case c.CancelAct != nil:
		return "cancel-action"
	case c.Meta != nil:
		return "change"
	case c.PauseUpdate != nil:
		return "pause-update"
	case c.ReplaceOne != nil:
		return "replace"
	case c.Bind != nil:
		return "bind"
	case c.Unbind != nil:
		return "unbind"
	case c.Manage != nil:
		return map[Mode]string{Managed: "attach", Unmanaged: "detach", OnePass: "pass"}[c.Manage.Mode]
	}
	return "order"
}
