package monasca_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/api/monasca"
)

func TestDefinitions(t *testing.T) {
	s := newStage(t)
	hook := s.method("hook", "http://198.51.100.7/")
	r := s.must(201, "POST", "/alarm-definitions", `{"name":"d","expression":" max( m{a=b} ) > 5 and count(n, deterministic)>1","actions_enabled":false,"alarm_actions":["`+hook+`"]}`)
	want := fmt.Sprintf(`{"actions_enabled":true,"alarm_actions":["%s"],"description":"","deterministic":false,"expression":" max( m{a=b} ) > 5 and count(n, deterministic)>1","id":"%s",`+
		`"links":[{"rel":"self","href":"%s/v2.0/alarm-definitions/%[2]s"}],"match_by":[],"name":"d","ok_actions":[],"severity":"LOW","undetermined_actions":[]}`+"\n", hook, r.Str("id"), s.url)
	if r.Text != want {
		t.Errorf("got  %s want %s", r.Text, want)
	}
	id := r.Str("id")
	if r := s.must(201, "POST", "/alarm-definitions", `{"name":"e","expression":"count(m{a=b}, deterministic) > 5","severity":"critical"}`); r.At("deterministic") != true {
		t.Error(r.Text)
	}
	whole := func(change ...string) string {
		body := `{"name":"d","expression":"max(m{a=b})>6 or count(n,120)>1","description":"x","match_by":[],"severity":"LOW","alarm_actions":[],"ok_actions":[],"undetermined_actions":[],"actions_enabled":false}`
		return strings.NewReplacer(change...).Replace(body)
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		title              string
	}{
		{"POST", "", `{"name":"d","expression":"m > 1"}`, 409, "AlreadyExistsException"},
		{"POST", "", `{"expression":"m > 1"}`, 422, "Unprocessable Entity"},
		{"POST", "", `{"name":"f"}`, 422, "Unprocessable Entity"},
		{"POST", "", `{"name":7,"expression":"m > 1"}`, 422, "Unprocessable Entity"},
		{"POST", "", `{"name":"f","expression":"m > 1","severity":"DIRE"}`, 422, "Unprocessable Entity"},
		{"POST", "", `{"name":"f","expression":"m > 1","match_by":["_a"]}`, 422, "Unprocessable Entity"},
		{"POST", "", `{"name":"f","expression":"m > 1","match_by":"a"}`, 422, "Unprocessable Entity"},
		{"POST", "", `{"name":"f","expression":"m > 1","ok_actions":["nobody"]}`, 422, "Unprocessable Entity"},
		{"POST", "", `{"name":"f","expression":"m > 1","ok_actions":["` + hook + `","` + hook + `"]}`, 422, "Unprocessable Entity"},
		{"POST", "", `{"name":"` + strings.Repeat("n", 256) + `","expression":"m > 1"}`, 422, "Unprocessable Entity"},
		{"POST", "", `{"name":"f","expression":"p95(m) > 1"}`, 422, "Invalid alarm expression"},
		{"POST", "", `{"name":"f","expression":"max(m, 1) > 1"}`, 422, "Invalid alarm expression"},
		{"POST", "", `[]`, 400, "Bad Request"},
		{"POST", "", `null`, 400, "Bad Request"},
		{"POST", "", `{`, 400, "Bad Request"},
		{"PUT", "/" + id, `{"name":"d"}`, 422, "Unprocessable Entity"},
		{"PUT", "/" + id, whole(`"match_by":[]`, `"match_by":["a"]`), 422, "InvalidUpdateException"},
		{"PUT", "/" + id, whole("n,120", "o,120"), 422, "InvalidUpdateException"},
		{"PUT", "/" + id, whole("count(n,120)>1", "count(n,120)>1 or m>1"), 422, "InvalidUpdateException"},
		{"PUT", "/" + id, whole(`"d"`, `"e"`), 409, "AlreadyExistsException"},
		{"PATCH", "/" + id, `{"severity":""}`, 422, "Unprocessable Entity"},
		{"PATCH", "/nobody", `{}`, 404, "404 Not Found"},
		{"PUT", "/" + id, whole(), 200, ""},
		{"PUT", "/" + id, whole(), 200, ""},
		{"PATCH", "/" + id, `{"description":null,"name":"dd","undetermined_actions":["` + hook + `"]}`, 200, ""},
	} {
		r := s.send(tt.method, "/alarm-definitions"+tt.path, tt.body)
		if r.Status != tt.status || tt.title != "" && r.Str("title") != tt.title {
			t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.body, r.Status, r.Text, tt.status, tt.title)
		}
	}
	r = s.must(200, "GET", "/alarm-definitions/"+id, "")
	if r.Str("name") != "dd" || r.Str("description") != "x" || r.At("actions_enabled") != false || r.Str("alarm_actions") != "[]" || r.Str("undetermined_actions") != "["+hook+"]" {
		t.Error(r.Text)
	}
	for path, want := range map[string]string{
		"?sort_by=severity%20desc,name":        "e dd",
		"?sort_by=name%20asc&limit=1&offset=1": "e",
		"?name=dd":                             "dd",
		"?dimensions=a:b":                      "dd e",
		"?dimensions=a:b,c:d":                  "",
		"?severity=HIGH|critical":              "e",
	} {
		if path == "?dimensions=a:b" {
			path += "&sort_by=name"
		}
		if got := s.must(200, "GET", "/alarm-definitions"+path, "").column("name"); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := columns(s.follow("/alarm-definitions?limit=1&sort_by=name"), "name"); got != "dd | e" {
		t.Errorf("pages: %s", got)
	}
	s.must(204, "DELETE", "/notification-methods/"+hook, "")
	if r := s.must(200, "GET", "/alarm-definitions/"+id, ""); r.Str("undetermined_actions") != "[]" {
		t.Errorf("a method that is gone stays in the lists: %s", r.Text)
	}
	s.must(204, "DELETE", "/alarm-definitions/"+id, "")
	s.must(404, "DELETE", "/alarm-definitions/"+id, "")
}

// Expressions and profile are settings of the server.
func TestDefinitionSettings(t *testing.T) {
	s := newStage(t, func(o *monasca.Options) { o.Extended = true })
	s.define("fine", "p95(m, 2) > 1", "")
	s = newStage(t, func(o *monasca.Options) { o.Profile = alarm.Compat })
	id := s.define("slow", "m > 1", "")
	d, err := s.Alerts.Definition(s.user.Group, id)
	if err != nil || d.Profile != alarm.Compat {
		t.Errorf("profile %q, %v", d.Profile, err)
	}
}

// Actions that Monasca knows nothing of outlive what its clients change.
func TestOtherActionsStay(t *testing.T) {
	s := newStage(t)
	hook := s.method("hook", "http://198.51.100.7/")
	d, err := s.Alerts.Define(t.Context(), s.user.ID, alarm.Definition{Tenant: s.user.Group, Name: "own", Expression: "rate(m, 5) > 1", Severity: "LOW", ActionsEnabled: true,
		Actions: alarm.Actions{Alarm: []alarm.Action{{Restart: true}, {Notify: "hook"}}}})
	s.check(err)
	if r := s.must(200, "GET", "/alarm-definitions/"+d.ID, ""); r.Str("alarm_actions") != "["+hook+"]" || r.Str("expression") != "rate(m, 5) > 1" {
		t.Error(r.Text)
	}
	s.must(200, "PATCH", "/alarm-definitions/"+d.ID, `{"alarm_actions":[],"name":"renamed"}`)
	d, err = s.Alerts.Definition(s.user.Group, d.ID)
	if err != nil || len(d.Actions.Alarm) != 1 || !d.Actions.Alarm[0].Restart || d.Name != "renamed" {
		t.Errorf("%+v %v", d.Actions, err)
	}
}

func TestAlarms(t *testing.T) {
	s := newStage(t)
	high, low := s.define("high", "m > 90", `,"match_by":["host"],"severity":"HIGH"`), s.define("low", "count(n, deterministic) > 1", "")
	if r := s.must(200, "GET", "/alarms/count", ""); !strings.Contains(r.Text, `"counts":[[0]]`) {
		t.Error(r.Text)
	}
	if r := s.must(200, "GET", "/alarms/count?group_by=state,link", ""); !strings.Contains(r.Text, `"counts":[[0,null,null]]`) {
		t.Error(r.Text)
	}
	s.push("m", 95, `"host":"a"`)
	s.push("m", 95, `"host":"b"`)
	s.push("n", 1, `"zone":"z"`)
	a := s.alarmed(high, "ALARM", 2).Str("elements", 0, "id")
	r := s.alarmed(low, "OK", 1)
	for key, want := range map[string]string{"state": "OK", "lifecycle_state": "<nil>", "link": "<nil>"} {
		if got := r.Str("elements", 0, key); got != want {
			t.Errorf("%s is %s: %s", key, got, r.Text)
		}
	}
	if r.Str("elements", 0, "metrics") != "[map[dimensions:map[zone:z] name:n]]" || r.Str("elements", 0, "alarm_definition", "severity") != "LOW" {
		t.Error(r.Text)
	}
	for _, tt := range []struct {
		method, body string
		status       int
	}{
		{"PUT", `{"state":"OK","lifecycle_state":"OPEN"}`, 422},
		{"PUT", `{"state":"OK","lifecycle_state":"","link":"x"}`, 422},
		{"PUT", `{"state":"ok","lifecycle_state":"OPEN","link":"x"}`, 422},
		{"PATCH", `{"state":"BAD"}`, 422},
		{"PATCH", `{"lifecycle_state":"` + strings.Repeat("x", 51) + `"}`, 422},
		{"PATCH", `{"link":"` + strings.Repeat("x", 513) + `"}`, 422},
		{"PATCH", `{"link":7}`, 422},
		{"PATCH", `{"link":null,"state":null}`, 200},
		{"PUT", `{"state":"OK","lifecycle_state":"OPEN","link":"x"}`, 200},
	} {
		if r := s.send(tt.method, "/alarms/"+a, tt.body); r.Status != tt.status {
			t.Errorf("%s %s: %d %s", tt.method, tt.body, r.Status, r.Text)
		}
	}
	r = s.must(200, "GET", "/alarms/"+a, "")
	if r.Str("state") != "OK" || r.Str("lifecycle_state") != "OPEN" || r.Str("link") != "x" || r.Str("created_timestamp") == r.Str("state_updated_timestamp") {
		t.Error(r.Text)
	}
	for path, want := range map[string]int{"?link=x": 1, "?lifecycle_state=OPEN": 1, "?metric_name=m": 2, "?metric_dimensions=host": 2, "?metric_dimensions=host:a|c": 1,
		"?severity=low|critical": 1, "?state=alarm": 1, "?alarm_definition_id=" + high: 2, "?alarm_definition_id=x": 0, "?state_updated_start_time=2031-01-01T00:00:00.000Z": 0} {
		if got := s.must(200, "GET", "/alarms"+path, "").elements(); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if got := columns(s.follow("/alarms?sort_by=severity%20desc,state%20desc,alarm_id&limit=2"), "state"); got != "ALARM OK | OK" {
		t.Errorf("sorted: %s", got)
	}
	r = s.must(200, "GET", "/alarms/count?group_by=alarm_definition_id,state&metric_name=m", "")
	if r.Str("columns") != "[count alarm_definition_id state]" || r.Str("counts") != fmt.Sprintf("[[1 %s ALARM] [1 %s OK]]", high, high) {
		t.Error(r.Text)
	}
	r = s.must(200, "GET", "/alarms/"+a+"/state-history", "")
	if r.column("new_state") != "ALARM OK" || r.Str("elements", 1, "reason") != "Alarm state updated via API" || r.Str("elements", 1, "sub_alarms") != "[]" ||
		r.Str("elements", 1, "reason_data") != "{}" || !strings.Contains(r.Text, `"current_values":[95.0]`) || !strings.Contains(r.Text, `"threshold":90.0`) || !strings.Contains(r.Text, `"metrics":[{"dimensions":{"host":"`) {
		t.Error(r.Text)
	}
	if got := columns(s.follow("/alarms/"+a+"/state-history?limit=1"), "new_state"); got != "ALARM | OK" {
		t.Errorf("pages of history: %s", got)
	}
	if r := s.must(200, "GET", "/alarms/state-history?dimensions=host", ""); r.elements() != 3 {
		t.Error(r.Text)
	}
	s.must(204, "DELETE", "/alarms/"+a, "")
	s.must(404, "DELETE", "/alarms/"+a, "")
	if r := s.must(200, "GET", "/alarms/state-history?dimensions=host", ""); r.elements() != 1 {
		t.Errorf("history of alarms that are gone: %s", r.Text)
	}
	if r := s.must(200, "GET", "/alarms/"+a+"/state-history", ""); r.elements() != 2 {
		t.Errorf("its own history is gone: %s", r.Text)
	}
}

func TestMethods(t *testing.T) {
	s := newStage(t)
	id := s.method("hook", "http://198.51.100.7/")
	whole := `{"name":"hook","type":"webhook","address":"http://198.51.100.7/","period":"60"}`
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "", `{"name":"hook","type":"EMAIL","address":"a@b"}`, 409},
		{"POST", "", `{"name":"h","type":"EMAIL","address":"nobody"}`, 400},
		{"POST", "", `{"name":"h","type":"PIGEON","address":"x"}`, 400},
		{"POST", "", `{"name":"h","type":"WEBHOOK","address":"ftp://a/"}`, 400},
		{"POST", "", `{"name":"h","type":"WEBHOOK","address":"http://a/","period":7}`, 400},
		{"POST", "", `{"name":"h","type":"WEBHOOK","address":"http://a/","period":"x"}`, 400},
		{"POST", "", `{"name":"` + strings.Repeat("n", 251) + `","type":"WEBHOOK","address":"http://a/"}`, 400},
		{"POST", "", `{"type":"WEBHOOK","address":"http://a/"}`, 400},
		{"POST", "", `{"name":1,"type":"WEBHOOK","address":"http://a/"}`, 400},
		{"POST", "", `nonsense`, 400},
		{"PUT", "/" + id, `{"name":"hook","type":"WEBHOOK","address":"http://a/"}`, 400},
		{"PUT", "/" + id, whole, 200},
		{"PATCH", "/" + id, `{"period":0}`, 200},
		{"PATCH", "/" + id, `{"type":"EMAIL"}`, 400},
		{"PATCH", "/nobody", `{}`, 404},
		{"PUT", "/nobody", whole, 404},
	} {
		if r := s.send(tt.method, "/notification-methods"+tt.path, tt.body); r.Status != tt.status {
			t.Errorf("%s %s: %d %s", tt.method, tt.body, r.Status, r.Text)
		}
	}
	want := fmt.Sprintf(`{"address":"http://198.51.100.7/","id":"%s","links":[{"rel":"self","href":"%s/v2.0/notification-methods/%[1]s"}],"name":"hook","period":0,"type":"WEBHOOK"}`+"\n", id, s.url)
	if r := s.must(200, "GET", "/notification-methods/"+id, ""); r.Text != want {
		t.Errorf("got %s want %s", r.Text, want)
	}
	s.method("another", "http://198.51.100.7/")
	if got := columns(s.follow("/notification-methods?sort_by=name&limit=1"), "name"); got != "another | hook" {
		t.Errorf("pages: %s", got)
	}
	if r := s.must(200, "GET", "/notification-methods/types", ""); r.column("type") != "EMAIL PAGERDUTY WEBHOOK OCCI_WEBHOOK" {
		t.Error(r.Text)
	}
}
