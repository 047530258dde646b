package service

import (
	"strconv"
	"strings"
)

// ofTemplate are the attributes of a machine that are its back end's; all others are the user's (spec: OneFlow section 8).
var ofTemplate = map[string]bool{"CPU": true, "VCPU": true, "MEMORY": true, "CONTEXT": true, "DISK": true, "NIC": true, "NIC_ALIAS": true,
	"OS": true, "GRAPHICS": true, "FEATURES": true, "INPUT": true, "PCI": true, "RAW": true, "TOPOLOGY": true, "NUMA_NODE": true,
	"CPU_MODEL": true, "VMGROUP": true}

// OfTemplate reports whether an attribute of that name is the back end's, and not the user's.
func OfTemplate(name string) bool { return ofTemplate[name] }

// Attribute returns what OneFlow's expressions find of an instance under a name in upper case: what the instance reported,
// or the user's attributes of its definition; else what is measured; else the back end's attributes of its definition;
// else what is known of the machine. ok is false for what is not there, is empty, or is a vector.
func (s *Service) Attribute(i *Instance, name string, measured func() (string, bool)) (value string, ok bool) {
	m := &i.role.Spec.Machine
	declared, has := m.Attributes[name]
	if value, ok = i.Attributes[name]; !ok && has && !ofTemplate[name] {
		value, ok = declared, true
	}
	if !ok {
		value, ok = measured()
	}
	if !ok && has {
		value, ok = declared, true
	}
	if !ok {
		value = s.known(i, m, name)
	}
	return value, value != "" && !strings.HasPrefix(value, "[")
}

// known is what is known of a machine that runs; "" for nothing.
func (s *Service) known(i *Instance, m *Machine, name string) string {
	switch name {
	case "CPU":
		if m.CPUs > 0 {
			return strconv.FormatFloat(m.CPUs, 'f', -1, 64)
		}
	case "MEMORY":
		if m.Memory > 0 {
			return strconv.FormatInt(m.Memory>>20, 10)
		}
	case "ID":
		return strconv.FormatInt(NumericID(s.ID, i.Serial), 10)
	case "UID":
		return strconv.Itoa(s.Meta.Owner)
	case "GID":
		return strconv.Itoa(s.Meta.Group)
	case "STATE", "LCM_STATE": // active, and running
		return "3"
	case "STIME":
		return strconv.FormatInt(i.Created.Time().Unix(), 10)
	case "NAME":
		return s.InstanceName(i)
	case "DEPLOY_ID":
		return i.Native
	}
	return ""
}
