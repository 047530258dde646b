package oneflow

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/service"
)

// Attributes of which a machine has several; one given replaces all that the definition has. Other
// vectors are laid over the definition's key by key.
var several = []string{"NIC", "NIC_ALIAS", "DISK", "PCI", "INPUT", "SCHED_ACTION"}

// machine lays the contents of the role over its machine definition: attributes by dotted names
// (CPU, CONTEXT.HOST, NIC.0.NETWORK_ID), capacity, and CONTEXT as environment. Every input is an
// attribute and a variable of the context too. $NAME is filled in from inputs, networks and, in the
// context, attributes. The networks that the service makes for itself and ${role.PATH} of parents are known when
// they run: the attributes keep those words, and the environment has a template in their place.
func (s *roleBuilder) machine(m service.Machine, parents []string) (service.Machine, error) {
	contents := s.role.Object("template_contents").Clone()
	vars := s.variables()
	context := new(Object)
	for _, v := range elements(contents.Get("CONTEXT")) {
		if o, ok := v.(*Object); ok {
			mergeObject(context, o, New)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.values())) {
		contents.Set(name, vars[name])
		context.Set(name, "$"+name)
	}
	if contents.Delete("CONTEXT"); len(context.Keys()) > 0 {
		contents.Set("CONTEXT", context) // last: it may refer to all others
	}
	appended := strings.Split(contents.Text("APPEND"), ",")
	contents.Delete("APPEND")
	m.Attributes = maps.Clone(m.Attributes)
	m.Env = maps.Clone(m.Env)
	if m.Attributes == nil {
		m.Attributes = make(map[string]string)
	}
	for _, key := range contents.Keys() {
		fill := func(name string) (string, bool) {
			v, ok := vars[name]
			if !ok && key == "CONTEXT" {
				v, ok = m.Attributes[name]
			}
			return v, ok
		}
		flat, err := s.flatten(key, contents.Get(key), fill, parents)
		if err != nil {
			return m, err
		}
		keep := slices.ContainsFunc(appended, func(a string) bool { return strings.TrimSpace(a) == key })
		overlay(m.Attributes, key, flat, keep)
		if key == "CONTEXT" {
			if m.Env == nil {
				m.Env = make(map[string]string)
			}
			for name, v := range flat {
				if name = strings.TrimPrefix(name, "CONTEXT."); !strings.Contains(name, ".") {
					m.Env[name] = v
					s.context = append(s.context, name)
				}
			}
		}
	}
	if len(m.Attributes) == 0 {
		m.Attributes = nil
	}
	return s.capacity(m, contents)
}

// values returns the inputs of the role over those of the service.
func (s *roleBuilder) values() map[string]string {
	v := texts(inputs(s.root, "_values"))
	own := texts(inputs(s.role, "_values"))
	if v == nil {
		return own
	}
	maps.Copy(v, own)
	return v
}

// variables returns what $NAME stands for: inputs and the ids of networks.
func (s *roleBuilder) variables() map[string]string {
	vars := make(map[string]string)
	for _, v := range s.root.Array("networks_values") {
		entry := v.(*Object)
		for _, name := range entry.Keys() {
			if id := entry.Object(name).Get("id"); id != nil && originOf(entry.Object(name)) == "" {
				vars[name] = scalar(id)
			}
		}
	}
	maps.Copy(vars, s.values())
	return vars
}

// flatten returns the attributes that one key of the contents makes, variables filled in.
func (s *roleBuilder) flatten(key string, v any, fill func(string) (string, bool), parents []string) (map[string]string, error) {
	flat := make(map[string]string)
	var walk func(name string, v any) error
	walk = func(name string, v any) error {
		switch v := v.(type) {
		case *Object:
			for _, k := range v.Keys() {
				if err := walk(name+"."+k, v.Get(k)); err != nil {
					return err
				}
			}
			return nil
		case []any:
			// Template text cannot tell one vector from an array of one.
			if _, ok := first(v).(*Object); ok && len(v) == 1 && !slices.Contains(several, name) {
				return walk(name, v[0])
			}
			for i, x := range v {
				if err := walk(name+"."+strconv.Itoa(i), x); err != nil {
					return err
				}
			}
			return nil
		}
		text, err := Expand(scalar(v), fill)
		if err != nil {
			return s.body.fail(Invalid, s.path.with("template_contents"), "Role '%s' %s: %v", s.role.Text("name"), shorten(name), err)
		}
		flat[name] = s.dropStrangers(text, parents)
		return nil
	}
	if o, ok := v.(*Object); ok && slices.Contains(several, key) {
		v = []any{o}
	}
	return flat, walk(key, v)
}

func first(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// dropStrangers empties references to roles that are no parents: nothing could ever fill them.
func (s *roleBuilder) dropStrangers(text string, parents []string) string {
	if !strings.Contains(text, "${") {
		return text
	}
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		role := References(found)[0].Role
		if slices.Contains(parents, role) {
			return found
		}
		s.warnings = append(s.warnings, Warning{
			Path:    s.path.String(),
			Message: "the reference " + shorten(found) + " is empty: '" + role + "' is no parent of the role",
		})
		return ""
	})
}

// overlay puts the attributes of one key into those of the definition.
func overlay(attributes map[string]string, key string, flat map[string]string, keep bool) {
	_, scalar := flat[key]
	if scalar || slices.Contains(several, key) {
		next := 0
		for name := range attributes {
			rest, ok := strings.CutPrefix(name, key+".")
			if name != key && !ok {
				continue
			}
			if !keep {
				delete(attributes, name)
				continue
			}
			index, _, _ := strings.Cut(rest, ".")
			if n, err := strconv.Atoi(index); err == nil {
				next = max(next, n+1)
			}
		}
		if next > 0 {
			flat = shifted(key, flat, next)
		}
	}
	maps.Copy(attributes, flat)
}

// shifted counts the vectors of key on from next.
func shifted(key string, flat map[string]string, next int) map[string]string {
	moved := make(map[string]string, len(flat))
	for name, v := range flat {
		index, rest, _ := strings.Cut(strings.TrimPrefix(name, key+"."), ".")
		if n, err := strconv.Atoi(index); err == nil {
			name = key + "." + strconv.Itoa(n+next)
			if rest != "" {
				name += "." + rest
			}
		}
		moved[name] = v
	}
	return moved
}

var memorySize = regexp.MustCompile(`^(\d+(?:\.\d+)?) *(?:([MGT])B?)?$`)

// capacity takes CPU (cores, else VCPU) and MEMORY (MiB, or with a suffix M, G or T) of the contents.
func (s *roleBuilder) capacity(m service.Machine, contents *Object) (service.Machine, error) {
	for _, key := range []string{"VCPU", "CPU"} {
		if !contents.Has(key) {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(m.Attributes[key]), 64)
		if err != nil || !(n > 0) || n > 1<<20 {
			return m, s.badCapacity(key, m.Attributes[key], "a number of cores")
		}
		m.CPUs = n
	}
	if !contents.Has("MEMORY") {
		return m, nil
	}
	size := memorySize.FindStringSubmatch(strings.ToUpper(strings.TrimSpace(m.Attributes["MEMORY"])))
	n := 0.0
	if size != nil {
		n, _ = strconv.ParseFloat(size[1], 64) // digits: at worst infinite
		n *= map[string]float64{"": 1, "M": 1, "G": 1 << 10, "T": 1 << 20}[size[2]]
	}
	if n <= 0 || n > math.MaxInt64>>21 {
		return m, s.badCapacity("MEMORY", m.Attributes["MEMORY"], "a number of MiB")
	}
	m.Memory = int64(n * (1 << 20))
	return m, nil
}

func (s *roleBuilder) badCapacity(key, value, want string) error {
	return s.body.fail(Invalid, s.path.with("template_contents", key), "Role '%s' %s: '%s' is not %s", s.role.Text("name"), key, shorten(value), want)
}
