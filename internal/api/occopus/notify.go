package occopus

import (
	"encoding/json"
	"net/http"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/notify"
)

// A target is where events of an infrastructure are sent. The type webhook is ours.
type (
	target struct {
		Type    string          `json:"type"`
		Webhook json.RawMessage `json:"webhook"` // a webhook
	}
	webhook struct {
		URL    string `json:"url"`
		Secret string `json:"secret"` // signs what is posted; "" for no signature
	}
)

// notify sets where the events of an infrastructure are sent. An empty body ends that, and so does what Occopus does not know,
// which it accepts as well.
func (f *Occopus) notify(r *request) (any, error) {
	ref := r.PathValue("infra")
	id, err := f.find(r.who, ref)
	if err != nil {
		return nil, err
	}
	body, err := api.ReadBody(r.Request)
	if err != nil {
		return nil, err
	}
	var t target
	var method *notify.Method
	if json.Unmarshal(body, &t) == nil {
		switch t.Type {
		case "webhook":
			var hook webhook
			if err := api.UnmarshalJSON(t.Webhook, &hook); err != nil {
				return nil, mistaken("ERROR: notification: webhook: "+err.Error(), err)
			}
			method = &notify.Method{Type: notify.Webhook, Address: hook.URL, Secret: hook.Secret, Template: eventTemplate}
		case "fcm":
			return nil, &handled{failure: failure{badRequest, "ERROR: this server sends no notifications by fcm", `use {"type":"webhook","webhook":{"url":"https://…"}}`}, status: http.StatusBadRequest}
		}
	}
	if err := f.Control.TellOf(r.Context(), r.who, id, method); err != nil {
		return nil, err
	}
	return named{ref}, nil
}

// eventTemplate makes of news what Occopus posts.
const eventTemplate = `{%- set events = {"instance.creating": "nodecreating", "instance.up": "nodecreated", "instance.failed": "nodefailed", "instance.removing": "nodedropping", "instance.gone": "nodedropped", "service.gone": "infradrop"} -%}
{%- set states = {"DEPLOYING": "infrastart", "RUNNING": "infraready"} -%}
{%- set data = {"infra_id": news.alias or news.service_id} -%}
{%- if news.instance -%}
{%- set data = {"infra_id": news.alias or news.service_id, "node_id": news.id, "node_name": news.role, "endpoint": news.addresses[0] if news.addresses else none} -%}
{%- endif -%}
{"title": "Occopus infrastructure status update event", "event_name": {{ events.get(news.kind, states.get(news.state, "infraupdated")) | tojson }}, "timestamp": {{ news.timestamp }}, "payload": {{ data | tojson | tojson }}}`
