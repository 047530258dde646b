package oneflow

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// serviceActions are what POST /service/:id/action performs beside the actions on machines
// (specification, section 3.3).
var serviceActions = map[string]func(*OneFlow, *request, *snapshot, *format.Object) (answer, error){
	"shutdown": (*OneFlow).shutdown,
	"recover":  (*OneFlow).recover,
	"deploy":   (*OneFlow).recover, // the name of old servers
	"release":  (*OneFlow).release,
	"update":   (*OneFlow).updateByAction,
}

// metaChanges are the actions that services and templates share.
var metaChanges = map[string]func(params *format.Object) (control.MetaChange, error){
	"chown": chown, "chgrp": chgrp, "chmod": chmod, "rename": rename,
}

func (f *OneFlow) actOnService(r *request) (answer, error) {
	s, err := f.service(r)
	if err != nil {
		return answer{}, err
	}
	a, err := r.action()
	if err != nil {
		return answer{}, err
	}
	if do, ok := serviceActions[a.perform]; ok {
		return do(f, r, s, a.params)
	}
	if change, ok := metaChanges[a.perform]; ok {
		m, err := change(a.params)
		if err == nil {
			_, err = f.Control.ChangeMeta(r.Context(), r.who, s.id, m)
		}
		return noContent, documentError(s.id, err)
	}
	if _, _, ok := service.ActionNamed(a.perform); !ok {
		return answer{}, unknownAction(a.perform, known(serviceActions), known(metaChanges), service.ActionNames())
	}
	act, err := actOf("", a)
	if err != nil {
		return answer{}, err
	}
	return f.order(r, s, service.Command{Act: act})
}

// unknownAction says so, with a guess at what was meant.
func unknownAction(given string, names ...[]string) error {
	return misusef("action.perform", "Action %s not supported%s", clip(given), nearest.Hint(given, slices.Concat(names...)))
}

func known[V any](actions map[string]V) []string { return slices.Collect(maps.Keys(actions)) }

// clip keeps a client's text in an error short.
func clip(text string) string {
	const most = 100
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// shutdown is old servers' word for DELETE.
func (f *OneFlow) shutdown(r *request, s *snapshot, _ *format.Object) (answer, error) {
	return f.order(r, s, service.Command{Undeploy: &service.Undeploy{Remove: true}})
}

func (f *OneFlow) recover(r *request, s *snapshot, params *format.Object) (answer, error) {
	remove, err := flag(params, "delete")
	if err != nil {
		return answer{}, err
	}
	return f.order(r, s, service.Command{Recover: &service.Recover{Delete: remove}})
}

func (f *OneFlow) release(r *request, s *snapshot, _ *format.Object) (answer, error) {
	return f.order(r, s, service.Command{Release: &service.Release{}})
}

// updateByAction lays keys over the body, as old clients ask for it.
func (f *OneFlow) updateByAction(r *request, s *snapshot, params *format.Object) (answer, error) {
	given, merge, err := updateOf(params)
	if err != nil {
		return answer{}, err
	}
	if !merge {
		return answer{}, misusef("action.params.append", "update of a service is only supported for append")
	}
	form, err := object("append", true, "template", string(given)).MarshalJSON()
	if err != nil {
		return answer{}, err
	}
	return f.applyUpdate(r, s, form)
}

// updateOf reads the parameters of an update: template_json, a string that holds JSON, or
// template_raw, template text; and append. It returns JSON.
func updateOf(params *format.Object) (given []byte, merge bool, err error) {
	if merge, err = flag(params, "append"); err != nil {
		return nil, false, err
	}
	if v := params.Get("template_json"); v != nil {
		text, ok := v.(string)
		if !ok {
			return nil, false, misusef("action.params.template_json", "must be a string that holds JSON")
		}
		return []byte(text), merge, nil
	}
	text, ok := params.Get("template_raw").(string)
	if !ok {
		return nil, false, misusef("action.params", "you have to provide a template: template_json or template_raw")
	}
	o, err := format.ParseText(text)
	if err != nil {
		return nil, false, err
	}
	given, err = o.MarshalJSON()
	return given, merge, err
}

// keep is the id that leaves an owner or a group as it is.
const keep = -1

func chown(params *format.Object) (m control.MetaChange, err error) {
	if params.Get("owner_id") == nil {
		return m, misusef("action.params.owner_id", "you have to specify a UID")
	}
	owner, err := integer(params, "owner_id", "owner_id")
	if err != nil {
		return m, err
	}
	group, err := optional(params, "group_id", "group_id", keep)
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

func chgrp(params *format.Object) (m control.MetaChange, err error) {
	if params.Get("group_id") == nil {
		return m, misusef("action.params.group_id", "you have to specify a GID")
	}
	group, err := integer(params, "group_id", "group_id")
	if err == nil && group != keep {
		m.Group = &group
	}
	return m, err
}

func chmod(params *format.Object) (m control.MetaChange, err error) {
	if params.Get("octet") == nil {
		return m, misusef("action.params.octet", "you have to specify an OCTET")
	}
	bits, err := format.ParseOctet(params.Get("octet"))
	b := identity.Bits(bits)
	m.Permissions = &b
	return m, err
}

func rename(params *format.Object) (m control.MetaChange, err error) {
	name, ok := params.Get("name").(string)
	if !ok || name == "" {
		return m, misusef("action.params.name", "you have to specify a name")
	}
	m.Name = &name
	return m, nil
}

// argument reads a parameter that is passed on as text.
func argument(params *format.Object, key string) (string, error) {
	switch v := params.Get(key).(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		return string(v), nil
	}
	return "", misusef("action.params."+key, "must be a string")
}
