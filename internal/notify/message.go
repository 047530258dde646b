package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/metric"
)

// States of an alarm, as receivers read them.
const (
	OK           = "OK"
	Alarm        = "ALARM"
	Undetermined = "UNDETERMINED"
)

// Bounds of a message, so that a delivery's record stays small. Bound cuts what goes beyond.
const (
	maxReason       = 4 << 10  // bytes
	maxMetricsBytes = 16 << 10 // of all names and dimensions
)

// A Message is what is told: that an alarm changed its state. It is never changed once made.
type Message struct {
	// Event is the same for every try and every receiver of this change, see EventID.
	Event string `json:"event"`
	// Sequence counts the changes of the alarm.
	Sequence uint64 `json:"sequence"`
	// Repeat counts the repetitions that an alarm orders (every: 5m); those of the method are the delivery's.
	Repeat int `json:"repeat,omitempty"`
	// Test marks a message that was asked for to try the way.
	Test bool `json:"test,omitempty"`

	Alarm       string    `json:"alarm"`      // its id
	Definition  string    `json:"definition"` // its id
	Name        string    `json:"name"`       // of the definition
	Description string    `json:"description,omitempty"`
	Time        time.Time `json:"time"` // of the change
	State       string    `json:"state"`
	OldState    string    `json:"old_state"`
	Reason      string    `json:"reason"`
	Severity    string    `json:"severity,omitempty"`
	Link        string    `json:"link,omitempty"`
	Lifecycle   string    `json:"lifecycle,omitempty"` // lifecycle_state, free text of the users'
	Project     string    `json:"project"`             // tenant_id, as the Monasca and Keystone faces show it
	ProjectName string    `json:"project_name,omitempty"`
	Metrics     []Metric  `json:"metrics"`
	// Origin is what the alarm is about; ServiceName is the name of Origin.Service.
	Origin      metric.Origin `json:"origin,omitzero"`
	ServiceName string        `json:"service_name,omitempty"`
	// News is set in a message that tells of a service's life, and of no alarm: Alarm and Definition only sort it then.
	News *News `json:"news,omitempty"`
}

// A Metric is a series that an alarm looks at.
type Metric struct {
	Name       string            `json:"name"`
	Dimensions metric.Dimensions `json:"dimensions"`
}

// EventID names a change of an alarm. It depends on nothing else, so that a change that is decided again
// after a crash keeps its name.
func EventID(alarm string, sequence uint64) string {
	return alarm + "-" + strconv.FormatUint(sequence, 10)
}

// Bound cuts the reason and leaves out metrics that are too many for a record.
func (m *Message) Bound() {
	if len(m.Reason) > maxReason {
		m.Reason = strings.ToValidUTF8(m.Reason[:maxReason], "") + "…"
	}
	size := 0
	for i := range m.Metrics {
		size += len(m.Metrics[i].Name)
		for _, d := range m.Metrics[i].Dimensions {
			size += len(d.Name) + len(d.Value)
		}
		if size > maxMetricsBytes {
			m.Metrics = slices.Clone(m.Metrics[:i])
			return
		}
	}
}

// text is the reason as receivers read it.
func (m *Message) text() string {
	if m.Test {
		return "TEST: " + m.Reason
	}
	return m.Reason
}

// Keys of Monasca's webhook, in its order: a JSON object has exactly these.
type webhookBody struct {
	AlarmID      string       `json:"alarm_id"`
	DefinitionID string       `json:"alarm_definition_id"`
	Name         string       `json:"alarm_name"`
	Description  string       `json:"alarm_description"`
	Timestamp    int64        `json:"alarm_timestamp"` // whole seconds, cut
	State        string       `json:"state"`
	OldState     string       `json:"old_state"`
	Message      string       `json:"message"`
	TenantID     string       `json:"tenant_id"`
	Metrics      []metricBody `json:"metrics"`
}

type metricBody struct {
	ID         *string           `json:"id"` // always null
	Name       string            `json:"name"`
	Dimensions map[string]string `json:"dimensions"`
}

// extraBody is what Troupe knows besides.
type extraBody struct {
	webhookBody
	Project   string      `json:"project"` // its name
	Severity  string      `json:"severity"`
	Link      string      `json:"link"`
	Lifecycle string      `json:"lifecycle_state"`
	Millis    int64       `json:"alarm_timestamp_ms"`
	Event     string      `json:"event_id"`
	Sequence  uint64      `json:"sequence"`
	Test      bool        `json:"test"`
	Repeat    int         `json:"repeat"` // which repetition; 0: the first telling
	Origin    *originBody `json:"origin"` // null when the alarm is about no service
}

type originBody struct {
	ServiceID string `json:"service_id"`
	Service   string `json:"service"`
	Role      string `json:"role"`
	Instance  uint32 `json:"instance"` // 0: the role as a whole
}

func (m *Message) webhook() webhookBody {
	b := webhookBody{
		AlarmID: m.Alarm, DefinitionID: m.Definition, Name: m.Name, Description: m.Description,
		Timestamp: m.Time.Unix(), State: m.State, OldState: m.OldState, Message: m.text(), TenantID: m.Project,
		Metrics: make([]metricBody, len(m.Metrics)),
	}
	for i, x := range m.Metrics {
		b.Metrics[i] = metricBody{Name: x.Name, Dimensions: x.Dimensions.Map()}
	}
	return b
}

func (d *Delivery) extra() extraBody {
	m := d.Message
	b := extraBody{
		webhookBody: m.webhook(), Project: m.ProjectName, Severity: m.Severity, Link: m.Link, Lifecycle: m.Lifecycle, Millis: m.Time.UnixMilli(),
		Event: d.EventID(), Sequence: m.Sequence, Test: m.Test, Repeat: m.Repeat + d.Repeat,
	}
	if m.Origin != (metric.Origin{}) {
		b.Origin = &originBody{strconv.FormatUint(m.Origin.Service, 10), m.ServiceName, m.Origin.Role, m.Origin.Serial}
	}
	return b
}

// webhookJSON returns the body of a webhook: Monasca's ten keys, and ours after them if extra.
func webhookJSON(d *Delivery, extra bool, indent string) []byte {
	var body any = d.Message.webhook()
	switch {
	case d.Message.News != nil:
		body = d.news()
	case extra:
		body = d.extra()
	}
	return encode(body, indent)
}

// encode cannot fail: what it is given holds texts and numbers only.
func encode(body any, indent string) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(body); err != nil {
		panic(fmt.Sprintf("notify: encode %T: %v", body, err))
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// Values are what a template sees: all keys of the webhook, with the extra ones, and method_name; news where the message holds some.
func (d *Delivery) values(m *Method) map[string]any {
	b := d.extra()
	metrics := make([]any, len(b.Metrics))
	for i, x := range b.Metrics {
		dimensions := make(map[string]any, len(x.Dimensions))
		for k, v := range x.Dimensions {
			dimensions[k] = v
		}
		metrics[i] = map[string]any{"name": x.Name, "dimensions": dimensions}
	}
	v := map[string]any{
		"alarm_id": b.AlarmID, "alarm_definition_id": b.DefinitionID, "alarm_name": b.Name,
		"alarm_description": b.Description, "alarm_timestamp": b.Timestamp, "alarm_timestamp_ms": b.Millis,
		"state": b.State, "old_state": b.OldState, "message": b.Message, "tenant_id": b.TenantID, "project": b.Project, "metrics": metrics,
		"severity": b.Severity, "link": b.Link, "lifecycle_state": b.Lifecycle, "event_id": b.Event,
		"sequence": int(b.Sequence), "test": b.Test, "repeat": b.Repeat, "method_name": m.Name,
	}
	origin := map[string]any{"service_id": "", "service": "", "role": "", "instance": 0}
	if o := b.Origin; o != nil {
		origin = map[string]any{"service_id": o.ServiceID, "service": o.Service, "role": o.Role, "instance": int(o.Instance)}
	}
	v["origin"] = origin
	if m := d.Message; m.News != nil {
		v["news"] = m.News.values(m)
	}
	return v
}

// slackJSON is a message whose text is the template's, or the webhook's fields as indented JSON.
func slackJSON(text string) []byte {
	return encode(struct {
		Text string `json:"text"`
	}{text}, "")
}

// pagerDutyJSON is an event of PagerDuty's API v1. Monasca only ever triggers; with the method's Extra
// the events of one alarm are one incident, which OK resolves.
func pagerDutyJSON(d *Delivery, m *Method) []byte {
	x := d.Message
	type details struct {
		AlarmID string `json:"alarm_id"`
		Name    string `json:"alarm_name"`
		Current string `json:"current"`
		Message string `json:"message"`
	}
	event := struct {
		ServiceKey  string  `json:"service_key"`
		EventType   string  `json:"event_type"`
		IncidentKey string  `json:"incident_key,omitempty"`
		Description string  `json:"description"`
		Client      string  `json:"client"`
		ClientURL   string  `json:"client_url,omitempty"`
		Details     details `json:"details"`
	}{m.Address, "trigger", "", pagerDutyText(x.text()), "Monasca", "", details{x.Alarm, x.Name, x.State, x.text()}}
	if m.Extra {
		event.IncidentKey, event.ClientURL = x.Alarm, x.Link
		if x.State == OK {
			event.EventType = "resolve"
		}
	}
	return encode(event, "")
}

// pagerDutyText cuts to the 1024 characters that PagerDuty accepts.
func pagerDutyText(s string) string {
	const most = 1024
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
