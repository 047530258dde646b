package monasca

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

const definitionsPath = "/v2.0/alarm-definitions"

// showsDefinition returns how definitions are shown: actions that are no notifications are not, and methods are told by their ids.
func (m *Monasca) showsDefinition(r *request) (func(*alerting.Definition) object, error) {
	methods, err := m.Control.Methods(r.who, "")
	if err != nil {
		return nil, err
	}
	ids := make(map[string]string, len(methods))
	for i := range methods {
		ids[methods[i].Name] = methods[i].ID
	}
	notified := func(actions []alarm.Action) []string {
		out := []string{}
		for _, a := range actions {
			if a.Notify != "" {
				out = append(out, cmp.Or(ids[a.Notify], a.Notify))
			}
		}
		return out
	}
	return func(d *alerting.Definition) object {
		match := d.MatchBy
		if match == nil {
			match = []string{}
		}
		return object{"id": d.ID, "links": r.link(definitionsPath + "/" + d.ID), "name": d.Name, "description": d.Description, "expression": d.Expression,
			"deterministic": d.Deterministic, "match_by": match, "severity": d.Severity, "actions_enabled": d.ActionsEnabled,
			"alarm_actions": notified(d.Actions.Alarm), "ok_actions": notified(d.Actions.OK), "undetermined_actions": notified(d.Actions.Undetermined)}
	}, nil
}

func (m *Monasca) answerDefinition(r *request, status int, d alerting.Definition) (answer, error) {
	show, err := m.showsDefinition(r)
	if err != nil {
		return answer{}, err
	}
	return answer{status, show(&d)}, nil
}

// edit changes a definition by what a body says.
func (m *Monasca) edit(f fields, d *alarm.Definition) error {
	before := d.Expression
	for key, to := range map[string]*string{"name": &d.Name, "expression": &d.Expression, "description": &d.Description, "severity": &d.Severity} {
		if err := f.text(key, to); err != nil {
			return err
		}
	}
	d.Severity = strings.ToUpper(d.Severity)
	if err := f.list("match_by", &d.MatchBy); err != nil {
		return err
	}
	for key, to := range map[string]*[]alarm.Action{"alarm_actions": &d.Actions.Alarm, "ok_actions": &d.Actions.OK, "undetermined_actions": &d.Actions.Undetermined} {
		if err := f.actions(key, to); err != nil {
			return err
		}
	}
	if d.Expression == before || m.Extended {
		return nil
	}
	if _, err := alarm.Parse(d.Expression, alarm.Monasca); err != nil {
		return &fault{http.StatusUnprocessableEntity, badExpression, "Expression " + clip(d.Expression) + ": " + err.Error()}
	}
	return nil
}

// clip keeps an answer short.
func clip(text string) string {
	const most = 1024
	if len(text) <= most {
		return text
	}
	cut := most
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// maxActionID is how long the id of a method may be.
const maxActionID = 50

// actions replaces the notifications among some actions; without the key it leaves them. Actions that Monasca does not know stay.
func (f fields) actions(key string, to *[]alarm.Action) error {
	if !f.has(key) {
		return nil
	}
	var ids []string
	if err := f.list(key, &ids); err != nil {
		return err
	}
	next := slices.DeleteFunc(slices.Clone(*to), func(a alarm.Action) bool { return a.Notify != "" })
	for i, id := range ids {
		switch at := slices.IndexFunc(*to, func(a alarm.Action) bool { return a.Notify == id }); {
		case id == "" || utf8.RuneCountInString(id) > maxActionID:
			return f.wrong("%s: an id has 1 to %d characters", key, maxActionID)
		case slices.Contains(ids[:i], id):
			return f.wrong("%s: %.50q is given twice", key, id)
		case at >= 0:
			next = append(next, (*to)[at])
		default:
			next = append(next, alarm.Action{Notify: id})
		}
	}
	*to = next
	return nil
}

func (m *Monasca) createDefinition(r *request) (answer, error) {
	f, err := r.fields(invalid)
	if err != nil {
		return answer{}, err
	}
	if err := f.require("name", "expression"); err != nil {
		return answer{}, err
	}
	d := alarm.Definition{Severity: "LOW", ActionsEnabled: true, Profile: m.Profile}
	if err := m.edit(f, &d); err != nil {
		return answer{}, err
	}
	made, err := m.Control.Define(r.Context(), r.who, "", d)
	if err != nil {
		return answer{}, err
	}
	return m.answerDefinition(r, http.StatusCreated, made)
}

func (m *Monasca) showDefinition(r *request) (answer, error) {
	d, err := m.Control.Definition(r.who, "", r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	return m.answerDefinition(r, http.StatusOK, d)
}

func (m *Monasca) putDefinition(r *request) (answer, error) {
	return m.changeDefinition(r, "name", "expression", "description", "match_by", "severity", "alarm_actions", "ok_actions", "undetermined_actions", "actions_enabled")
}

func (m *Monasca) patchDefinition(r *request) (answer, error) { return m.changeDefinition(r) }

func (m *Monasca) changeDefinition(r *request, required ...string) (answer, error) {
	f, err := r.fields(invalid)
	if err != nil {
		return answer{}, err
	}
	if err := f.require(required...); err != nil {
		return answer{}, err
	}
	changed, err := m.Control.Redefine(r.Context(), r.who, "", r.PathValue("id"), func(d *alarm.Definition) error {
		if err := m.edit(f, d); err != nil {
			return err
		}
		return f.flag("actions_enabled", &d.ActionsEnabled)
	})
	var problem *alarm.Problem
	if errors.As(err, &problem) && (problem.Place == "match_by" || problem.Place == "expression") { // it is well-formed: it may not be this one
		return answer{}, &fault{http.StatusUnprocessableEntity, badUpdate, err.Error()}
	}
	if err != nil {
		return answer{}, err
	}
	return m.answerDefinition(r, http.StatusOK, changed)
}

func (m *Monasca) deleteDefinition(r *request) (answer, error) {
	return answer{status: http.StatusNoContent}, m.Control.RemoveDefinition(r.Context(), r.who, "", r.PathValue("id"))
}

var definitionOrder = order[alerting.Definition]{
	"id":         func(a, b *alerting.Definition) int { return cmp.Compare(a.ID, b.ID) },
	"name":       func(a, b *alerting.Definition) int { return cmp.Compare(a.Name, b.Name) },
	"severity":   func(a, b *alerting.Definition) int { return alerting.CompareSeverity(a.Severity, b.Severity) },
	"created_at": func(a, b *alerting.Definition) int { return a.Created.Compare(b.Created) },
	"updated_at": func(a, b *alerting.Definition) int { return a.Updated.Compare(b.Updated) },
}

func (m *Monasca) listDefinitions(r *request) (answer, error) {
	dimensions, err := r.dimensions("dimensions")
	if err != nil {
		return answer{}, err
	}
	severities, err := r.severities()
	if err != nil {
		return answer{}, err
	}
	all, err := m.Control.Definitions(r.who, "")
	if err != nil {
		return answer{}, err
	}
	name := r.FormValue("name")
	all = slices.DeleteFunc(all, func(d alerting.Definition) bool {
		return name != "" && d.Name != name || len(severities) > 0 && !slices.Contains(severities, d.Severity) || len(dimensions) > 0 && !watches(&d, dimensions)
	})
	if err := sort(r, all, definitionOrder, "id"); err != nil {
		return answer{}, err
	}
	show, err := m.showsDefinition(r)
	if err != nil {
		return answer{}, err
	}
	return paged(r, all, show)
}

// watches reports whether one part of the expression has all the dimensions.
func watches(d *alerting.Definition, dimensions []telemetry.DimensionFilter) bool {
	e, err := alarm.Parse(d.Expression, alarm.Troupe)
	return err == nil && slices.ContainsFunc(e.Parts, func(p alarm.Part) bool { return alerting.MatchDimensions(dimensions, p.Dimensions) })
}
