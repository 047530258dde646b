package service

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Hidden stands in texts where the value of a secret input stood.
const Hidden = "(secret)"

// minSecret is the length, in bytes, from which a value is looked for in texts: shorter ones would
// blot out half of what a message says.
const minSecret = 4

// Mask returns a text that is shown, such as a reason or an error, without the values of the secret
// inputs: those of the service, and those of role if it is not nil. Values are also found as URLs and
// quoted texts write them.
func Mask(s *Spec, role *RoleSpec, text string) string {
	if len(s.Secrets) == 0 || len(text) < minSecret {
		return text
	}
	var values []string
	note := func(inputs map[string]string, name string) {
		value := inputs[name]
		if len(value) < minSecret {
			return
		}
		quoted := strconv.Quote(value)
		values = append(values, value, url.QueryEscape(value), url.PathEscape(value), (&url.URL{Path: value}).EscapedPath(), quoted[1:len(quoted)-1])
	}
	for _, name := range s.Secrets {
		note(s.Inputs, name)
		if role != nil {
			note(role.Inputs, name)
		}
	}
	// The longest first: one value may hold another.
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(values))
	for _, v := range values {
		pairs = append(pairs, v, Hidden)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// masked returns a fact whose texts do not show secrets.
func (s *Service) masked(f Fact) Fact {
	if s.Spec == nil || len(s.Spec.Secrets) == 0 {
		return f
	}
	var role *RoleSpec
	if i := s.instances.find(f.Serial); i != nil && f.Kind != Made && f.Kind != Unmade {
		role = i.Role().Spec
	}
	f.Err, f.Reason = Mask(s.Spec, role, f.Err), Mask(s.Spec, role, f.Reason)
	f.Machine.Reason = Mask(s.Spec, role, f.Machine.Reason)
	if f.Resource != nil {
		told := *f.Resource
		told.Reason = Mask(s.Spec, role, told.Reason)
		f.Resource = &told
	}
	return f
}
