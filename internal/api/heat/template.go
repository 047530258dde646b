package heat

import (
	"net/http"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/hot"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

func (h *Heat) versions(r *request) error {
	base, _ := r.Context().Value(baseKey{}).(string)
	return r.answer(http.StatusMultipleChoices, object{"versions": []object{{"id": "v1.0", "status": "CURRENT", "links": []object{shownLink("self", base+"/v1/")}}}})
}

func (h *Heat) buildInfo(r *request) error {
	return r.answer(http.StatusOK, object{"api": object{"revision": "troupe"}, "engine": object{"revision": "troupe"}})
}

// validate says what a template asks of its user, or what is wrong with it.
func (h *Heat) validate(r *request) error {
	d, err := describe(r)
	if err != nil {
		return err
	}
	t, err := d.parse()
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, object{"Description": t.Description, "Parameters": parametersOf(t), "ParameterGroups": t.Groups,
		"Environment": object{"parameter_defaults": object{}, "parameters": d.Parameters, "resource_registry": object{"resources": object{}}, "encrypted_param_names": []string{}, "event_sinks": []string{}}})
}

// parametersOf are the parameters of a template as validations show them.
func parametersOf(t *hot.Template) object {
	out := object{}
	kinds := map[string]string{"string": "String", "number": "Number", "json": "Json", "comma_delimited_list": "CommaDelimitedList", "boolean": "Boolean"}
	for i := range t.Parameters {
		p := &t.Parameters[i]
		label := p.Label
		if label == "" {
			label = p.Name
		}
		o := object{"Type": kinds[p.Type], "Label": label, "Description": p.Description, "NoEcho": "false"}
		if p.Hidden {
			o["NoEcho"] = "true"
		}
		if p.HasDefault {
			o["Default"] = p.Default
		}
		if len(p.Tags) > 0 {
			o["Tags"] = p.Tags
		}
		for _, c := range p.Constraints {
			bound := func(b *hot.Bounds, least, most string) {
				if b == nil {
					return
				}
				if b.Min != nil {
					o[least] = *b.Min
				}
				if b.Max != nil {
					o[most] = *b.Max
				}
			}
			bound(c.Length, "MinLength", "MaxLength")
			bound(c.Range, "MinValue", "MaxValue")
			if c.Allowed != nil {
				o["AllowedValues"] = c.Allowed
			}
			if c.Pattern != "" {
				o["AllowedPattern"] = c.Pattern
			}
			if c.Custom != "" {
				o["CustomConstraint"] = c.Custom
			}
		}
		out[p.Name] = o
	}
	return out
}

// preview says what a stack would be, and changes nothing.
func (h *Heat) preview(r *request) error {
	d, spec, _, err := h.described(r)
	if err != nil {
		return err
	}
	if err := h.Control.Check(r.who, spec); err != nil {
		return err
	}
	b, err := hot.DecodeBundle(spec.Document)
	if err != nil {
		return err
	}
	all, err := b.Listing()
	if err != nil {
		return err
	}
	list := make([]object, 0, len(all))
	for _, l := range all {
		list = append(list, object{"resource_name": l.Name, "resource_type": l.Type, "resource_action": "INIT", "resource_status": complete, "physical_resource_id": "",
			"required_by": []string{}, "stack_name": d.Name, "properties": object{}, "attributes": object{}, "metadata": object{}, "resource_status_reason": ""})
	}
	return r.answer(http.StatusOK, object{"stack": object{"stack_name": d.Name, "id": "None", "description": spec.Description, "parameters": d.Parameters, "resources": list,
		"template_description": spec.Description, "disable_rollback": true, "timeout_mins": nil, "links": []object{}, "capabilities": []string{}, "notification_topics": []string{}}})
}

func (h *Heat) previewUpdate(r *request) error { return h.previewChange(r, false) }
func (h *Heat) previewPatch(r *request) error  { return h.previewChange(r, true) }

// previewChange says which resources a change would add, replace, delete or leave.
func (h *Heat) previewChange(r *request, patch bool) error {
	s, spec, err := h.changed(r, patch)
	if err != nil {
		return err
	}
	plan, err := h.Control.Plan(r.who, s.service, service.Command{Update: &service.Update{Spec: spec}})
	if err != nil {
		return err
	}
	before, err := s.bundle.Listing()
	if err != nil {
		return err
	}
	next, err := hot.DecodeBundle(spec.Document)
	if err != nil {
		return err
	}
	after, err := next.Listing()
	if err != nil {
		return err
	}
	touched := make(map[string]bool)
	for _, step := range plan.Steps {
		touched[step.Role], touched[step.Resource] = true, true
	}
	changes := map[string][]object{"unchanged": {}, "updated": {}, "replaced": {}, "added": {}, "deleted": {}}
	has := func(list []hot.Listed, l *hot.Listed) bool {
		return slices.ContainsFunc(list, func(o hot.Listed) bool { return o.Name == l.Name && o.Type == l.Type })
	}
	note := func(what string, l *hot.Listed) {
		changes[what] = append(changes[what], object{"resource_name": l.Name, "resource_type": l.Type, "physical_resource_id": s.nodes[l.Node].id})
	}
	for i := range after {
		switch l := &after[i]; {
		case !has(before, l):
			note("added", l)
		case l.Node != "" && touched[l.Node]:
			note("replaced", l)
		default:
			note("unchanged", l)
		}
	}
	for i := range before {
		if !has(after, &before[i]) {
			note("deleted", &before[i])
		}
	}
	return r.answer(http.StatusOK, object{"resource_changes": changes})
}

// template shows the template as JSON.
func (h *Heat) template(r *request) error {
	s, err := h.named(r)
	if err != nil {
		return err
	}
	root, err := new(tree.Reader).Read(s.bundle.Template.Name, s.bundle.Template.Text)
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, root.Any())
}

func (h *Heat) environment(r *request) error {
	s, err := h.named(r)
	if err != nil {
		return err
	}
	parameters := object{}
	shown, err := s.bundle.ParameterValues()
	if err != nil {
		return err
	}
	for name := range s.bundle.Parameters {
		parameters[name] = shown[name]
	}
	return r.answer(http.StatusOK, object{"parameters": parameters, "parameter_defaults": object{}, "resource_registry": object{"resources": object{}}, "encrypted_param_names": []string{}, "event_sinks": []string{}})
}

func (h *Heat) files(r *request) error {
	s, err := h.named(r)
	if err != nil {
		return err
	}
	files := s.bundle.Files
	if files == nil {
		files = map[string]string{}
	}
	return r.answer(http.StatusOK, files)
}

func (h *Heat) listTypes(r *request) error {
	types := slices.DeleteFunc(hot.Types(), func(name string) bool { return !strings.Contains(name, r.URL.Query().Get("name")) })
	if strings.EqualFold(r.URL.Query().Get("with_description"), "true") {
		list := make([]object, len(types))
		for i, name := range types {
			list[i] = object{"resource_type": name, "description": ""}
		}
		return r.answer(http.StatusOK, object{"resource_types": list})
	}
	return r.answer(http.StatusOK, object{"resource_types": types})
}

// typeOf finds the type that a path names.
func typeOf(r *request) (string, map[string]hot.PropertyInfo, []string, error) {
	name := r.PathValue("type")
	properties, attributes, ok := hot.Properties(name)
	if !ok {
		return "", nil, nil, &fault{http.StatusNotFound, "EntityNotFound", "The Resource Type (" + name + ") could not be found.", nil}
	}
	return name, properties, attributes, nil
}

func (h *Heat) showType(r *request) error {
	name, properties, attributes, err := typeOf(r)
	if err != nil {
		return err
	}
	shown, has := object{}, object{}
	for p, info := range properties {
		shown[p] = object{"type": info.Sort, "required": info.Required, "update_allowed": false, "immutable": false}
	}
	for _, a := range attributes {
		has[a] = object{"description": "", "type": "string"}
	}
	return r.answer(http.StatusOK, object{"resource_type": name, "properties": shown, "attributes": has, "description": "",
		"support_status": object{"status": "SUPPORTED", "message": nil, "version": nil, "previous_status": nil}})
}

// typeTemplate is a template with one resource of the type, whose properties are parameters.
func (h *Heat) typeTemplate(r *request) error {
	name, properties, attributes, err := typeOf(r)
	if err != nil {
		return err
	}
	_, short, _ := strings.Cut(name, "::")
	kinds := map[string]string{"string": "string", "list": "comma_delimited_list", "map": "json", "any": "json"}
	parameters, values, outputs := object{}, object{}, object{}
	for p, info := range properties {
		parameters[p] = object{"type": kinds[info.Sort]}
		values[p] = object{"get_param": p}
	}
	for _, a := range attributes {
		outputs[a] = object{"value": object{"get_attr": []string{short, a}}}
	}
	return r.answer(http.StatusOK, object{"heat_template_version": "2016-10-14", "description": "Initial template of " + name, "parameters": parameters,
		"resources": object{short: object{"type": name, "properties": values}}, "outputs": outputs})
}

func (h *Heat) templateVersions(r *request) error {
	var list []object
	for _, v := range hot.Versions() {
		list = append(list, object{"version": "heat_template_version." + v, "type": "hot", "aliases": []string{}})
	}
	return r.answer(http.StatusOK, object{"template_versions": list})
}

func (h *Heat) templateFunctions(r *request) error {
	version := strings.TrimPrefix(r.PathValue("version"), "heat_template_version.")
	names, ok := hot.Functions(version)
	if !ok {
		return &fault{http.StatusNotFound, "NotFound", "Template with version " + version + " not found", nil}
	}
	list := make([]object, len(names))
	for i, name := range names {
		list[i] = object{"functions": name, "description": ""}
	}
	return r.answer(http.StatusOK, object{"template_functions": list})
}
