package oneflow

import (
	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
)

// metaChanges are the actions that services and templates share: what changes an envelope.
var metaChanges = map[string]func(params) (control.MetaChange, error){
	"chown": chown, "chgrp": chgrp, "chmod": chmod, "rename": rename,
}

// metaPlace is where a change that was refused stands among its parameters.
func metaPlace(p params, m control.MetaChange) string {
	switch {
	case m.Owner != nil && m.Group != nil:
		return p.at
	case m.Owner != nil:
		return p.place("owner_id")
	case m.Group != nil:
		return p.place("group_id")
	case m.Permissions != nil:
		return p.place("octet")
	}
	return p.place("name")
}

// keep is the id that leaves an owner or a group as it is.
const keep = -1

func chown(p params) (m control.MetaChange, err error) {
	if p.Get("owner_id") == nil {
		return m, p.wrong("owner_id", "you have to specify a UID")
	}
	owner, err := p.integer("owner_id")
	if err != nil {
		return m, err
	}
	group, err := p.optional("group_id", keep)
	if err != nil {
		return m, err
	}
	if owner != keep {
		m.Owner = &owner
	}
	if group != keep {
		m.Group = &group
	}
	return m, nil
}

func chgrp(p params) (m control.MetaChange, err error) {
	if p.Get("group_id") == nil {
		return m, p.wrong("group_id", "you have to specify a GID")
	}
	group, err := p.integer("group_id")
	if err == nil && group != keep {
		m.Group = &group
	}
	return m, err
}

func chmod(p params) (m control.MetaChange, err error) {
	if p.Get("octet") == nil {
		return m, p.wrong("octet", "you have to specify an OCTET")
	}
	bits, err := format.ParseOctet(p.Get("octet"))
	if err != nil {
		return m, format.At(p.at, err)
	}
	b := identity.Bits(bits)
	m.Permissions = &b
	return m, nil
}

func rename(p params) (m control.MetaChange, err error) {
	name, ok := p.Get("name").(string)
	if !ok || name == "" {
		return m, p.wrong("name", "you have to specify a name")
	}
	m.Name = &name
	return m, nil
}
