package oneflow

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// literal writes a value so that a Jinja template prints it as it is.
func literal(text string) string {
	return strings.NewReplacer("{{", `{{ "{{" }}`, "{%", `{{ "{%" }}`, "{#", `{{ "{#" }}`).Replace(text)
}

// fillEnvironment makes Jinja templates of the values that came from CONTEXT.
func (s *roleBuilder) fillEnvironment() error {
	for _, name := range s.context {
		text, err := s.template(s.made.Machine.Env[name], s.made.Parents)
		if err != nil {
			return s.body.fail(Invalid, s.path.with("template_contents"), "Role '%s' CONTEXT.%s: %v", s.made.Name, shorten(name), err)
		}
		s.made.Machine.Env[name] = text
	}
	return nil
}

// template writes a value as a Jinja template, which fills in what is known only when machines are made: the
// ids of the service's own networks and the references to parents.
func (s *roleBuilder) template(text string, parents []string) (string, error) {
	text, err := Expand(literal(text), func(name string) (string, bool) {
		for _, n := range s.networks {
			if n.name == name {
				return fmt.Sprintf("{{ resources[%q].id }}", n.resource), true
			}
		}
		return "", false
	})
	if err != nil || !strings.Contains(text, "${") {
		return text, err
	}
	text = reference.ReplaceAllStringFunc(text, func(found string) string {
		r := References(found)[0]
		if err != nil || !slices.Contains(parents, r.Role) {
			return ""
		}
		var value string
		value, err = s.roles[r.Role].valueOf(r)
		return value
	})
	if len(text) > maxExpanded {
		return "", errExpanded
	}
	return text, err
}

var (
	ethernet  = regexp.MustCompile(`(?:^|\.)ETH(\d+)_IP$`)
	networkIP = regexp.MustCompile(`(?:^|\.)NIC(?:\.(\d+))?\.IP$`)
	ordinal   = regexp.MustCompile(`\.\d+\b`)
)

// valueOf is a template for what a reference asks of the role: of its first machine that has it, an address,
// the name, an attribute that the machine reported, or else one of its definition and contents.
func (s *roleBuilder) valueOf(r Reference) (string, error) {
	first := func(which, value string) string {
		return fmt.Sprintf("{%% for vm in roles[%q]%s %%}{%% if loop.first %%}%s{%% endif %%}{%% endfor %%}", r.Role, which, value)
	}
	key := r.Path
	for _, top := range [...]string{"VM.", "TEMPLATE.", "USER_TEMPLATE."} {
		key = strings.TrimPrefix(key, top)
	}
	for _, address := range [...]*regexp.Regexp{ethernet, networkIP} {
		if m := address.FindStringSubmatch(key); m != nil {
			n, _ := strconv.Atoi(m[1]) // digits, or none for the first
			return first(fmt.Sprintf(" if vm.addresses | length > %d", n), fmt.Sprintf("{{ vm.addresses[%d] }}", n)), nil
		}
	}
	if key == "NAME" {
		return first("", "{{ vm.name }}"), nil
	}
	reported := fmt.Sprintf("vm.attributes[%q]", key)
	for _, name := range slices.Sorted(maps.Keys(s.made.Machine.Attributes)) {
		plain := ordinal.ReplaceAllString(strings.ToUpper(name), "")
		if plain != key && strings.ToUpper(name) != key && !strings.HasSuffix(plain, "."+key) {
			continue
		}
		declared, err := s.template(s.made.Machine.Attributes[name], nil)
		return first("", fmt.Sprintf("{%% if %s %%}{{ %s }}{%% else %%}%s{%% endif %%}", reported, reported, declared)), err
	}
	return first(" if "+reported, fmt.Sprintf("{{ %s }}", reported)), nil
}
