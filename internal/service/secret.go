package service

import (
	"net/url"
	"regexp"
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
	if i := s.instances.find(f.Serial); i != nil && f.Kind != Made && f.Kind != Unmade && f.Kind != Supplied {
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

// isInput reports whether the service or any of its roles has an input of that name.
func (s *Spec) isInput(name string) bool {
	if _, ok := s.Inputs[name]; ok {
		return true
	}
	return slices.ContainsFunc(s.Roles, func(r RoleSpec) bool { _, ok := r.Inputs[name]; return ok })
}

// inputNames returns the names of all inputs, in order.
func (s *Spec) inputNames() []string {
	names := keysOf(s.Inputs)
	for i := range s.Roles {
		names = append(names, keysOf(s.Roles[i].Inputs)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var (
	templated = regexp.MustCompile(`(?s)\{\{.*?\}\}|\{%.*?%\}`)
	word      = regexp.MustCompile(`[\pL_][\pL\pN_]*`)
)

// secretIn returns the first secret input that a template refers to, or "".
func (s *Spec) secretIn(template string) string {
	if len(s.Secrets) == 0 {
		return ""
	}
	for _, part := range templated.FindAllString(template, -1) {
		for _, name := range word.FindAllString(part, -1) {
			if slices.Contains(s.Secrets, name) {
				return name
			}
		}
	}
	return ""
}

// commands refuses commands of checks that show secrets: everyone on a machine sees its processes.
func (v *validator) commands(at string, s *Spec, checks []Check) {
	for i := range checks {
		for j, arg := range checks[i].Exec {
			if name := s.secretIn(arg); name != "" {
				v.fail(indexed(indexed(at, i)+".exec", j), "the secret input %q would show in the list of processes; let the command read it from a file or the environment", name)
			}
		}
	}
}
