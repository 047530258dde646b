package oneflow

import (
	"errors"
	"maps"
	"slices"
	"strings"

	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// serviceActions are what POST /service/:id/action performs beside the actions on machines
// (specification, section 3.3).
var serviceActions = map[string]func(*OneFlow, *request, *snapshot, params) error{
	"shutdown": (*OneFlow).shutdown,
	"recover":  (*OneFlow).recover,
	"deploy":   (*OneFlow).recover, // the name of old servers
	"release":  (*OneFlow).release,
	"update":   (*OneFlow).updateByAction,
}

func (f *OneFlow) actOnService(r *request, s *snapshot, a action) (answer, error) {
	if do, ok := serviceActions[a.perform]; ok {
		return noContent, do(f, r, s, a.params)
	}
	if change, ok := metaChanges[a.perform]; ok {
		m, err := change(a.params)
		if err == nil {
			_, err = f.Control.ChangeMeta(r.Context(), r.who, s.id, m)
			err = placed(metaPlace(a.params, m), f.documentError(r.who, s.id, err))
		}
		return noContent, err
	}
	return noContent, f.act(r, s, "", a, known(serviceActions), known(metaChanges))
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
func (f *OneFlow) shutdown(r *request, s *snapshot, _ params) error {
	_, err := f.undeploy(r, s)
	return err
}

func (f *OneFlow) recover(r *request, s *snapshot, p params) error {
	remove, err := p.flag("delete")
	if err != nil {
		return err
	}
	return f.order(r, s, service.Command{Recover: &service.Recover{Delete: remove}})
}

func (f *OneFlow) release(r *request, s *snapshot, _ params) error {
	return f.order(r, s, service.Command{Release: &service.Release{}})
}

// updateByAction lays keys over the body, as old clients ask for it.
func (f *OneFlow) updateByAction(r *request, s *snapshot, p params) error {
	u, err := updateOf(p)
	if err != nil {
		return err
	}
	if !u.merge {
		return p.wrong("append", "update of a service is only supported for append")
	}
	form, err := object("append", true, "template", string(u.text)).MarshalJSON()
	if err != nil {
		return err
	}
	return u.placed(f.applyUpdate(r, s, form))
}

// An update is what the action of that name brings: JSON, to be laid over a body or put in its place.
type update struct {
	text  []byte
	merge bool
	place string
}

// updateOf reads the parameters of an update: template_json, a string that holds JSON, or
// template_raw, template text; and append.
func updateOf(p params) (update, error) {
	merge, err := p.flag("append")
	if err != nil {
		return update{}, err
	}
	const asJSON, asText = "template_json", "template_raw"
	if v := p.Get(asJSON); v != nil {
		text, ok := v.(string)
		if !ok {
			return update{}, p.wrong(asJSON, "must be a string that holds JSON")
		}
		return update{[]byte(text), merge, p.place(asJSON)}, nil
	}
	text, ok := p.Get(asText).(string)
	if !ok {
		return update{}, misusef(p.at, "you have to provide a template: template_json or template_raw")
	}
	o, err := format.ParseText(text)
	if err != nil {
		return update{}, format.At(p.place(asText), err)
	}
	u := update{merge: merge, place: p.place(asText)}
	u.text, err = o.MarshalJSON()
	return u, err
}

// placed makes a place in the text one in the request.
func (u update) placed(err error) error {
	var e *format.Error
	if !errors.As(err, &e) {
		return err
	}
	inner := *e
	if rest, ok := strings.CutPrefix(e.Path, "template"); ok { // of the form that applyUpdate takes
		inner.Path = strings.TrimPrefix(rest, ".")
	}
	return format.At(u.place, &inner)
}
