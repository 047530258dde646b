package service

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// Limits of a specification. They keep a mistake from becoming a flood of machines.
const (
	MaxRoles       = 1000      // roles of a service
	MaxCardinality = 1_000_000 // instances of a role
	MaxPolicies    = 50        // of a role
	MaxName        = 63        // characters of a role's or machine definition's name: it becomes part of host names
	MaxServiceName = 128       // characters of a service's name
	MaxText        = 8 << 20   // bytes of one file or of the user data
	MaxProblems    = 20        // problems that are reported at a time
)

// A Problem is one thing that is wrong with a specification. Path says where, in the words of the
// specification's JSON: "roles[1].parents[0]". Formats turn it into a place in the user's file.
type Problem struct {
	Path string
	Text string
}

func (p *Problem) Error() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// Problems are what is wrong with a specification, in its order.
type Problems []*Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, x := range p {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// Validate checks what every format must keep: names, bounds, references between roles and the
// absence of circles. The error, if any, is of type Problems.
func Validate(s *Spec) error {
	v := &validator{}
	v.spec(s)
	return v.err()
}

// ValidateMachine checks a machine definition that stands alone. The error, if any, is of type Problems.
func ValidateMachine(m *Machine) error {
	v := &validator{}
	v.machine("", m)
	return v.err()
}

type validator struct {
	found  Problems
	strict bool // OneFlow's rules
	depth  int  // of services that are made for services
}

func (v *validator) err() error {
	if len(v.found) == 0 {
		return nil
	}
	return v.found
}

func (v *validator) fail(path, format string, args ...any) {
	if len(v.found) < MaxProblems {
		v.found = append(v.found, &Problem{Path: path, Text: fmt.Sprintf(format, args...)})
	}
}

// full: no more problems are reported, so that looking for them is a waste.
func (v *validator) full() bool { return len(v.found) == MaxProblems }

// least demands that a number or duration is no less than low.
func least[N ~int | ~int64 | float64](v *validator, path string, n, low N) {
	if !(n >= low) {
		v.fail(path, "%v is less than %v", n, low)
	}
}

func one[S ~string](v *validator, path string, given S, known ...S) {
	if slices.Contains(known, given) {
		return
	}
	var names []string
	for _, k := range known {
		if k != "" {
			names = append(names, string(k))
		}
	}
	v.fail(path, "%q is none of %s%s", given, strings.Join(names, ", "), nearest.Hint(string(given), names))
}

// ValidateName says what is wrong with the name of a service.
func ValidateName(name string) error {
	switch n := utf8.RuneCountInString(name); {
	case strings.TrimSpace(name) == "":
		return errors.New("a service needs a name")
	case n > MaxServiceName:
		return fmt.Errorf("the name has %d characters; %d is the most", n, MaxServiceName)
	case !printable(name):
		return errors.New("the name holds a character that cannot be printed")
	}
	return nil
}

// ValidateAlias says what is wrong with the id that a client gives a service.
func ValidateAlias(alias string) error {
	switch {
	case len(alias) > MaxServiceName || !printable(alias) || strings.TrimSpace(alias) != alias || alias == "":
		return fmt.Errorf("the alias %q is none: take 1 to %d printable characters, without blanks around them", alias, MaxServiceName)
	case strings.Contains(alias, "/"):
		return fmt.Errorf("the alias %q holds a /, which stands between a project and a service", alias)
	case strings.Trim(alias, "0123456789") == "":
		return fmt.Errorf("the alias %q is a number, as the server's own ids are", alias)
	}
	return nil
}

func (v *validator) spec(s *Spec) {
	v.strict = s.Strict
	if err := ValidateName(s.Name); err != nil {
		v.fail("name", "%v", err)
	}
	one(v, "strategy", s.Strategy, Straight, NoOrder)
	one(v, "on_failure", s.OnFailure, Keep, Rollback, Abort, "")
	if s.AtATime < 0 {
		v.fail("at_a_time", "must not be negative")
	}
	one(v, "managed", s.Managed, UntilDetached, UntilBuilt, "")
	least(v, "retain", s.Retain, 0)
	v.update("update", s.Update)
	for i, name := range s.Secrets {
		if v.full() {
			return
		}
		if !s.isInput(name) {
			v.fail(indexed("secrets", i), "no input %q%s", name, nearest.Hint(name, s.inputNames()))
		}
	}
	if len(s.Roles) > MaxRoles {
		v.fail("roles", "the service has %d roles; %d is the most", len(s.Roles), MaxRoles)
		return
	}
	known := make(map[string]int, len(s.Roles))
	for i := range s.Roles {
		at := indexed("roles", i)
		if first, twice := known[s.Roles[i].Name]; twice {
			v.fail(at+".name", "%q is already the name of roles[%d]", s.Roles[i].Name, first)
		} else {
			known[s.Roles[i].Name] = i
		}
		v.role(at+".", &s.Roles[i])
		m := &s.Roles[i].Machine
		v.commands(at+".machine.checks", s, m.Checks)
		for k := range m.Implementations {
			v.commands(indexed(at+".machine.implementations", k)+".checks", s, m.Implementations[k].Checks)
		}
	}
	v.alarms(s.Alarms, s)
	v.outputs(s)
	if g := v.graph(s, known); g != nil {
		v.circle(g)
	}
}

var (
	roleName    = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	machineName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
)

func (v *validator) name(path, what, name string) {
	switch {
	case name == "":
		v.fail(path, "a %s needs a name", what)
	case len(name) > MaxName:
		v.fail(path, "the name has %d characters; %d is the most", utf8.RuneCountInString(name), MaxName)
	case !roleName.MatchString(name):
		v.fail(path, "%q is no name for a %s: use letters, digits, _ and -", name, what)
	}
}

func (v *validator) role(at string, r *RoleSpec) {
	v.name(at+"name", "role", r.Name)
	least(v, at+"cardinality", r.Cardinality, 0)
	least(v, at+"min", r.MinOf(), 0)
	if r.Max != nil {
		least(v, at+"max", *r.Max, 0)
	}
	switch {
	case r.Cardinality > MaxCardinality:
		v.fail(at+"cardinality", "%d instances; %d is the most", r.Cardinality, MaxCardinality)
	case r.Max != nil && *r.Max < r.MinOf():
		v.fail(at+"max", "the most (%d) is less than the least (%d)", *r.Max, r.MinOf())
	case r.Cardinality >= 0 && r.Cardinality < r.MinOf():
		v.fail(at+"cardinality", "%d is less than the least (%d)", r.Cardinality, r.MinOf())
	case r.Max != nil && *r.Max >= 0 && r.Cardinality > *r.Max:
		v.fail(at+"cardinality", "%d is more than the most (%d)", r.Cardinality, *r.Max)
	}
	one(v, at+"heal", r.Heal, HealAuto, HealManual)
	one(v, at+"on_gone", r.OnGone, Replace, Forget, "")
	one(v, at+"identity", r.Identity, New, Stable)
	one(v, at+"scale_in", r.ScaleIn, Oldest, Youngest, "")
	one(v, at+"restart", r.Restart, Always, OnFailureExit, Never, "")
	least(v, at+"restarts", r.Restarts, 0)
	least(v, at+"stable", r.Stable, 0)
	least(v, at+"cooldown", r.Cooldown, 0)
	least(v, at+"start_timeout", r.StartTimeout, 0)
	least(v, at+"stop_timeout", r.StopTimeout, 0)
	least(v, at+"action_period", r.ActionPeriod, 0)
	least(v, at+"action_number", r.ActionNumber, 0)
	v.update(at+"update", r.Update)
	v.policies(at+"policies", r)
	v.machine(at+"machine.", &r.Machine)
	v.filter(at+"filter", r)
}

func (v *validator) update(at string, u UpdatePolicy) {
	one(v, at+".existing", u.Existing, ReplaceExisting, KeepExisting, "")
	least(v, at+".batch", u.Batch, 0)
	if u.Settle != nil {
		least(v, at+".settle", *u.Settle, 0)
	}
	if u.Surge != nil {
		least(v, at+".surge", *u.Surge, 0)
	}
}

func (v *validator) machine(at string, m *Machine) {
	if m.Name != "" && (len(m.Name) > MaxName || !machineName.MatchString(m.Name)) {
		v.fail(at+"name", "%q is no name for a machine definition: use letters, digits, _, - and ., %d at most", m.Name, MaxName)
	}
	least(v, at+"id", m.ID, 0)
	least(v, at+"cpus", m.CPUs, 0)
	least(v, at+"memory", m.Memory, 0)
	if len(m.Implementations) == 0 {
		v.fail(at+"implementations", "nothing says how the machine is made; name a driver")
	}
	v.choice(at, m)
	v.contents(at, m.Env, m.Files, m.UserData, m.Checks)
}

// contents checks what a machine, or one of its implementations, puts into it.
func (v *validator) contents(at string, env map[string]string, files []File, userData string, checks []Check) {
	for name := range env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			v.fail(at+"env", "%q is no name of an environment variable", name)
		}
	}
	seen := map[string]bool{}
	for i, f := range files {
		v.file(indexed(at+"files", i), f)
		if seen[f.Path] {
			v.fail(indexed(at+"files", i)+".path", "%q is written twice", f.Path)
		}
		seen[f.Path] = true
	}
	if len(userData) > MaxText {
		v.fail(at+"user_data", "the user data has %d bytes; %d is the most", len(userData), MaxText)
	}
	if len(checks) > MaxChecks {
		v.fail(at+"checks", "%d checks; %d is the most", len(checks), MaxChecks)
		return
	}
	for i := range checks {
		v.check(indexed(at+"checks", i), &checks[i])
	}
}

func (v *validator) file(at string, f File) {
	switch {
	case f.Path == "" || !printable(f.Path):
		v.fail(at+".path", "%q is no path of a file", f.Path)
	case strings.HasPrefix(f.Path, "/"):
		v.fail(at+".path", "%q begins with /; paths are relative to the machine's root or working folder: write %q", f.Path, strings.TrimLeft(f.Path, "/"))
	case path.Clean(f.Path) != f.Path || f.Path == "." || f.Path == ".." || strings.HasPrefix(f.Path, "../"):
		v.fail(at+".path", "%q must name a file below the machine's folder, without . and ..", f.Path)
	}
	if f.Mode > 0o7777 {
		v.fail(at+".mode", "%o is no file mode: write one such as 0640", f.Mode)
	}
	if len(f.Content) > MaxText {
		v.fail(at+".content", "the file has %d bytes; %d is the most", len(f.Content), MaxText)
	}
}

// AsProblems returns the problems that err holds.
func AsProblems(err error) (Problems, bool) {
	var p Problems
	ok := errors.As(err, &p)
	return p, ok
}

func indexed(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]" }

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func keysOf[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}
