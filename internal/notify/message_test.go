package notify

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/render"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}

func example() *Message {
	return &Message{
		Event: EventID("5f0c", 7), Sequence: 7, Alarm: "5f0c", Definition: "9a1b", Name: "cpu <high> & rising", Description: "",
		Time: time.UnixMilli(1_893_456_000_999).UTC(), State: Alarm, OldState: OK,
		Reason:   "Thresholds were exceeded for the sub-alarms: max(cpu.user_perc) > 90.0 with the values: [97.0]",
		Severity: "HIGH", Link: "https://wiki.test/cpu", Lifecycle: "OPEN", Project: "0a", ProjectName: "mini-mon",
		Metrics: []Metric{
			{"cpu.user_perc", metric.NewDimensions(map[string]string{"hostname": "web01", "role": "web"})},
			{"cpu.wait_perc", nil},
		},
		Origin: metric.Origin{Service: 12, Role: "web", Serial: 3}, ServiceName: "shop",
	}
}

func delivery(m *Message, method string) *Delivery {
	d := NewDelivery(m, 1, method, m.Time)
	return &d
}

func TestEncoders(t *testing.T) {
	d := delivery(example(), "hook")
	golden(t, "webhook.json", append(webhookJSON(d, false, ""), '\n'))
	golden(t, "webhook-extra.json", append(webhookJSON(d, true, "  "), '\n'))
	golden(t, "slack.json", append(slackJSON(string(webhookJSON(d, false, "    "))), '\n'))
	golden(t, "pagerduty.json", append(pagerDutyJSON(d, &Method{Address: "key"}), '\n'))
	d.Message.State, d.Message.OldState = OK, Alarm
	golden(t, "pagerduty-resolve.json", append(pagerDutyJSON(d, &Method{Address: "key", Extra: true}), '\n'))
	golden(t, "mail.txt", []byte(mailSubject(example())+"\n\n"+mailText(example())))
}

// TestWebhookKeys: Monasca's receivers get exactly its ten keys.
func TestWebhookKeys(t *testing.T) {
	var body map[string]any
	if err := json.Unmarshal(webhookJSON(delivery(example(), "hook"), false, ""), &body); err != nil {
		t.Fatal(err)
	}
	want := []string{"alarm_definition_id", "alarm_description", "alarm_id", "alarm_name", "alarm_timestamp", "message", "metrics", "old_state", "state", "tenant_id"}
	if got := slices.Sorted(maps.Keys(body)); !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
	if body["alarm_timestamp"] != float64(1_893_456_000) {
		t.Errorf("time %v: whole seconds, cut", body["alarm_timestamp"])
	}
	m := example()
	m.Metrics, m.Test = nil, true
	if s := string(webhookJSON(delivery(m, "hook"), false, "")); !strings.Contains(s, `"metrics":[]`) || !strings.Contains(s, `"message":"TEST: Thresholds`) {
		t.Error(s)
	}
}

// TestValues: a template sees every key of the extended webhook.
func TestValues(t *testing.T) {
	d := delivery(example(), "hook")
	var keys map[string]any
	if err := json.Unmarshal(webhookJSON(d, true, ""), &keys); err != nil {
		t.Fatal(err)
	}
	keys["method_name"] = nil
	v := d.values(&Method{Name: "hook"})
	if got, want := slices.Sorted(maps.Keys(v)), slices.Sorted(maps.Keys(keys)); !slices.Equal(got, want) {
		t.Errorf("values %v, want %v", got, want)
	}
}

// TestTemplate: the example of docs/notifications.md, through the real renderer.
func TestTemplate(t *testing.T) {
	text := `{"text": {{ (alarm_name ~ ": " ~ state) | tojson }}, "host": "{{ metrics[0].dimensions.hostname }}", "role": "{{ origin.role }}"}`
	if doc, err := os.ReadFile("../../docs/notifications.md"); err != nil || !strings.Contains(string(doc), text) {
		t.Errorf("not the example of the documentation: %v", err)
	}
	jinja := func(ctx context.Context, name, template string, values map[string]any) (string, error) {
		return render.Text(ctx, name, template, &render.Scope{Keys: values})
	}
	m := &Method{Type: Webhook, Name: "hook", Template: text}
	got, err := rendered(t.Context(), jinja, m, delivery(example(), "hook"))
	var body map[string]string
	if err != nil || json.Unmarshal([]byte(got), &body) != nil || body["text"] != "cpu <high> & rising: ALARM" || body["host"] != "web01" || body["role"] != "web" {
		t.Errorf("%v: %s", err, got)
	}
	if err := (&Rules{Types: Types, CheckTemplate: render.Check}).Validate(&Method{Name: "x", Type: Webhook, Address: "http://x/", Template: "{{ a"}); err == nil || !strings.HasPrefix(err.Error(), "template: ") {
		t.Error(err)
	}
	m.Template = "{{ metrics[0].name.x.y }}"
	if _, err := rendered(t.Context(), jinja, m, delivery(example(), "hook")); err == nil || strings.Contains(err.Error(), "template: template") {
		t.Error(err)
	}
}

func TestBound(t *testing.T) {
	m := example()
	m.Reason = strings.Repeat("é", 5000)
	for range 2000 {
		m.Metrics = append(m.Metrics, Metric{"load.avg_1_min", metric.NewDimensions(map[string]string{"hostname": "host"})})
	}
	m.Bound()
	if len(m.Metrics) < 500 || len(m.Metrics) > 1000 || len(m.Reason) > maxReason+3 || strings.ContainsRune(m.Reason, unicode.ReplacementChar) {
		t.Errorf("%d metrics, reason of %d bytes", len(m.Metrics), len(m.Reason))
	}
	if n := len(Put(delivery(m, "x")).Value); n > 64<<10 {
		t.Errorf("record of %d bytes", n)
	}
}

func TestCallback(t *testing.T) {
	h := NewHTTP(HTTPOptions{Token: func(_ context.Context, tenant int) (string, string, error) {
		return fmt.Sprint("token-", tenant), "mini-mon", nil
	}})
	defer h.Close()
	r, err := h.request(t.Context(), &Method{Type: OCCI, Name: "alarm-0001", Address: "http://so.test:8080/orchestrator/default"}, delivery(example(), "so"))
	if err != nil {
		t.Fatal(err)
	}
	// As on the wire, in the order of names.
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\n", r.Method, r.URL.RequestURI())
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", name, r.Header.Get(name))
	}
	golden(t, "callback.txt", []byte(b.String()))
	if r.Body != nil && r.Body != http.NoBody || r.ContentLength != 0 {
		t.Error("the body must be empty")
	}
	for address, want := range map[string]string{
		"http://so.test/o?action=notify": "/o?action=notify",
		"http://so.test/o?a=b":           "/o?a=b&action=notify",
		"http://so.test":                 "/?action=notify",
	} {
		r, err := h.request(t.Context(), &Method{Type: OCCI, Name: "n", Address: address}, delivery(example(), "so"))
		if err != nil || r.URL.RequestURI() != want {
			t.Errorf("%s: %v, %v", address, r.URL, err)
		}
	}
	for name, want := range map[string]string{"alarm-0001": "alarm-0001", "a b=c": "a b=c", "a,b": `"a,b"`, `a"b\`: `"a\"b\\"`, " a": `" a"`} {
		if got := attributeValue(name); got != want {
			t.Errorf("%q became %s, want %s", name, got, want)
		}
	}
}

// FuzzMailSubject: nothing of a user's text begins a new header.
func FuzzMailSubject(f *testing.F) {
	f.Add("a\r\nBcc: x@y.z", "h\u2028")
	f.Fuzz(func(t *testing.T, name, host string) {
		m := example()
		m.Name, m.Metrics = name, []Metric{{"m", metric.Dimensions{{Name: "hostname", Value: host}}}}
		if s := mailSubject(m); strings.ContainsFunc(s, unicode.IsControl) || len([]rune(s)) > 500 {
			t.Errorf("%q", s)
		}
	})
}
