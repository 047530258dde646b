package occopus

import (
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// Text writes a definition as a file of node definitions.
func (def *Definition) Text() ([]byte, error) {
	list := make([]any, len(def.Implementations))
	for n := range def.Implementations {
		x := &def.Implementations[n]
		var item yaml.MapSlice
		for k, section := range [...]service.Values{x.Resource, x.Contextualisation, x.ConfigManagement, x.HealthCheck} {
			if section != nil {
				item = append(item, yaml.MapItem{Key: sections[k], Value: map[string]any(section)})
			}
		}
		list[n] = item
	}
	out, err := tree.Emit(yaml.MapSlice{{Key: definitionPrefix + def.Name, Value: list}})
	if err != nil {
		return nil, fmt.Errorf("write node definition %s: %w", def.Name, err)
	}
	return out, nil
}

// Redacted returns a copy for showing: secrets read driver.Redacted.
func (def *Definition) Redacted() *Definition {
	out := &Definition{Name: def.Name, Implementations: slices.Clone(def.Implementations)}
	for n := range out.Implementations {
		out.Implementations[n] = out.Implementations[n].redacted()
	}
	return out
}

func (x Implementation) redacted() Implementation {
	name, _ := x.Resource["type"].(string)
	if t := typeOf(name); t != nil {
		x.Resource = hideSecrets(t, x.Resource)
	}
	if list, ok := x.HealthCheck["mysqldbs"].([]any); ok {
		list = slices.Clone(list)
		for n, item := range list {
			if db, ok := item.(map[string]any); ok && db["pass"] != nil {
				db = maps.Clone(db)
				db["pass"] = driver.Redacted
				list[n] = db
			}
		}
		x.HealthCheck = maps.Clone(x.HealthCheck)
		x.HealthCheck["mysqldbs"] = list
	}
	return x
}

// RestoreSecrets puts the secrets of old, nil for none, where a definition that was shown and comes back reads
// driver.Redacted. What stays so is refused.
func (def *Definition) RestoreSecrets(old *Definition) error {
	for n := range def.Implementations {
		var was Implementation
		if old != nil && n < len(old.Implementations) {
			was = old.Implementations[n]
		}
		x := &def.Implementations[n]
		for _, pair := range [...][2]service.Values{{x.Resource, was.Resource}, {x.HealthCheck, was.HealthCheck}} {
			if err := restore(fmt.Sprintf("%s%s[%d]", definitionPrefix, def.Name, n), map[string]any(pair[0]), map[string]any(pair[1])); err != nil {
				return err
			}
		}
	}
	return nil
}

// restore looks into the mappings and lists of v.
func restore(path string, v, old any) error {
	switch v := v.(type) {
	case map[string]any:
		was, _ := old.(map[string]any)
		for key, x := range v {
			at := path + "." + key
			if x != driver.Redacted {
				if err := restore(at, x, was[key]); err != nil {
					return err
				}
				continue
			}
			secret, ok := was[key].(string)
			if !ok {
				return fmt.Errorf("%s: %q stands for a secret that is not shown, and there is none to put in its place: give the value", at, driver.Redacted)
			}
			v[key] = secret
		}
	case []any:
		was, _ := old.([]any)
		for n, x := range v {
			var before any
			if n < len(was) {
				before = was[n]
			}
			if err := restore(fmt.Sprintf("%s[%d]", path, n), x, before); err != nil {
				return err
			}
		}
	}
	return nil
}

// Machine returns what is known of a definition's machines without a description: their drivers and options.
func (def *Definition) Machine() service.Machine {
	infra := &Infrastructure{Name: def.Name, Nodes: []Node{{Name: def.Name, Type: def.Name}}}
	c := &compiler{decoder: newDecoder(Options{}), infra: infra}
	var m service.Machine
	for n := range def.Implementations {
		b := &builder{compiler: c, index: n, in: &def.Implementations[n]}
		name, _ := b.in.Resource["type"].(string)
		t := typeOf(name)
		if t == nil {
			continue
		}
		x := service.Implementation{Name: b.title(def, t), Driver: t.driver, Options: b.options(t)}
		b.command(t, b.in.Contextualisation["command"], &x)
		m.Implementations = append(m.Implementations, x)
	}
	return m
}
