package native_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/client"
)

// soon waits until ok, and fails the test when that takes more than ten seconds.
func (s *stage) soon(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within ten seconds", what)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// A receiver of webhooks that fails while it is told to.
type receiver struct {
	url    string
	bodies chan string
	status chan int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{bodies: make(chan string, 100), status: make(chan int, 1)}
	r.status <- http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		status := <-r.status
		r.status <- status
		w.WriteHeader(status)
		r.bodies <- string(text)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) answer(status int) { <-r.status; r.status <- status }

func TestAlarms(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	hook := newReceiver(t)
	method, err := s.Notifications().Add(ctx, client.PutNotificationMethod{Name: ptr("ops"), Type: ptr("webhook"), Address: ptr(hook.url + "/x?token=s3cret"), Secret: ptr("s3cret"),
		Headers: &map[string]string{"X-Key": "s3cret"}})
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(method); strings.Contains(string(text), "s3cret") || method.Secret != "(secret)" || method.Type != "WEBHOOK" || !slices.Equal(method.Headers, []string{"X-Key"}) {
		t.Errorf("method %s", text)
	}
	made, err := s.Alarms().Define(ctx, client.AlarmRule{Name: "load", Expression: "last(load{host=a}) > 5", Severity: "HIGH",
		Actions: client.AlarmActions{Alarm: []client.AlarmAction{{Notify: "ops", Cooldown: client.Duration(time.Minute)}}}, Silence: client.Duration(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if made.ID == "" || made.Owner.Name != "oneadmin" || *made.ActionsEnabled != true || made.Actions.Alarm[0].Cooldown != client.Duration(time.Minute) || made.Silence != client.Duration(time.Hour) {
		t.Errorf("made %+v", made)
	}
	watchCtx, stop := context.WithCancel(ctx)
	defer stop()
	changes := make(chan client.AlarmChange, 100)
	watched := make(chan error, 1)
	go func() {
		defer close(watched)
		for c, err := range s.Alarms().Watch(watchCtx) {
			if err != nil {
				watched <- err
				return
			}
			changes <- c
		}
	}()
	if c := <-changes; !c.Reset {
		t.Errorf("first %+v", c)
	}
	push := func(value float64) {
		t.Helper()
		if err := s.Metrics().Push(ctx, client.MetricSample{Name: "load", Dimensions: map[string]string{"host": "a"}, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	push(9)
	for c := range changes {
		if c.Alarm != nil && c.Alarm.State == "ALARM" {
			break
		}
	}
	stop()
	if err := <-watched; err != nil {
		t.Error(err)
	}
	if body := <-hook.bodies; !strings.Contains(body, `"state":"ALARM"`) {
		t.Errorf("told %s", body)
	}
	var alarms []client.Alarm
	for a, err := range s.Alarms().List(ctx, client.AlarmFilter{Definition: "load", State: "ALARM", Severity: "HIGH", Metric: "load", Dimensions: map[string]string{"host": "a"}}) {
		if err != nil {
			t.Fatal(err)
		}
		alarms = append(alarms, a)
	}
	if len(alarms) != 1 || alarms[0].Parts[0].Values[0] != "9" || alarms[0].Metrics[0].Dimensions["host"] != "a" || alarms[0].Sequence != 1 {
		t.Fatalf("alarms %+v", alarms)
	}
	id := alarms[0].ID
	for name, f := range map[string]client.AlarmFilter{"state": {State: "OK"}, "metric": {Metric: "x"}, "dimension": {Dimensions: map[string]string{"host": "b"}}, "service": {Service: 9}, "severity": {Severity: "LOW"}} {
		for a, err := range s.Alarms().List(ctx, f) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	changed, err := s.Alarms().Change(ctx, id, client.ChangeAlarm{State: ptr("OK"), Lifecycle: ptr("seen"), Link: ptr("http://wiki")})
	if err != nil || changed.State != "OK" || changed.Lifecycle != "seen" || changed.Sequence != 2 {
		t.Errorf("changed %+v, %v", changed, err)
	}
	s.soon("history", func() bool {
		list, err := s.Alarms().History(ctx, client.HistoryFilter{Definition: "load"})
		return err == nil && len(list) == 2 && list[0].To == "OK" && list[1].To == "ALARM" && list[1].Parts[0].Values[0] == "9" &&
			len(list[0].Runs) == 0 && len(list[1].Runs) == 1 && list[1].Runs[0].Notify != "" && list[1].Runs[0].Held == ""
	})
	if list, err := s.Alarms().History(ctx, client.HistoryFilter{Alarm: id, State: "ALARM", Since: time.Now().Add(-time.Hour), Limit: 5}); err != nil || len(list) != 1 {
		t.Errorf("history %+v, %v", list, err)
	}
	told, err := s.Alarms().Test(ctx, "load", client.TestAlarm{Alarm: id})
	if err != nil || told.Occasion != "tested" || len(told.Runs) != 1 || told.Runs[0].Notify == "" {
		t.Errorf("test %+v, %v", told, err)
	}
	if body := <-hook.bodies; !strings.Contains(body, "TEST") {
		t.Errorf("told %s", body)
	}
	again, err := s.Alarms().Redefine(ctx, "load", client.ChangeAlarmRule{Expression: ptr("last(load{host=a}) > 50"), ActionsEnabled: ptr(false)})
	if err != nil || *again.ActionsEnabled || again.Severity != "HIGH" || again.Expression != "last(load{host=a}) > 50" {
		t.Errorf("redefined %+v, %v", again, err)
	}
	if one, err := s.Alarms().Get(ctx, id); err != nil || one.Definition != made.ID {
		t.Errorf("%+v, %v", one, err)
	}
	if err := s.Alarms().Remove(ctx, id); err != nil {
		t.Error(err)
	}
	if _, err := s.Alarms().Get(ctx, id); !client.IsNotFound(err) {
		t.Errorf("removed: %v", err)
	}
	if err := s.Alarms().RemoveDefinition(ctx, "load"); err != nil {
		t.Error(err)
	}
	if _, err := s.Alarms().Definition(ctx, "load"); !client.IsNotFound(err) {
		t.Errorf("removed: %v", err)
	}
}

func TestReplay(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	base := time.Now().Add(-10 * time.Minute).Truncate(time.Minute)
	var samples []client.MetricSample
	for n, v := range []float64{1, 9, 1} {
		samples = append(samples, client.MetricSample{Name: "load", Time: base.Add(time.Duration(n) * time.Minute), Value: v})
	}
	if err := s.Metrics().Push(ctx, samples...); err != nil {
		t.Fatal(err)
	}
	rule := client.AlarmRule{Name: "load", Expression: "last(load) > 5"}
	list, err := s.Alarms().Replay(ctx, client.ReplayAlarm{Rule: &rule, From: base.Add(-time.Minute)})
	var states []string
	for _, x := range list {
		states = append(states, x.To)
	}
	if err != nil || strings.Join(states, " ") != "OK ALARM OK" || !list[1].Time.Equal(base.Add(time.Minute)) {
		t.Errorf("%v %+v, %v", states, list, err)
	}
	if _, err := s.Alarms().Define(ctx, rule); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Alarms().Replay(ctx, client.ReplayAlarm{Definition: "load", From: base, To: base.Add(90 * time.Second)}); err != nil || len(list) == 0 || list[len(list)-1].To != "ALARM" {
		t.Errorf("%+v, %v", list, err)
	}
	for name, w := range map[string]client.ReplayAlarm{
		"nothing": {From: base}, "both": {Definition: "load", Rule: &rule, From: base}, "backwards": {Definition: "load", From: base, To: base.Add(-time.Second)},
		"wrong": {Rule: &client.AlarmRule{Name: "x", Expression: "avg("}, From: base},
	} {
		if _, err := s.Alarms().Replay(ctx, w); !client.IsInvalid(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each mistake has its place.
func TestAlarmMistakes(t *testing.T) {
	s := newStage(t)
	if _, err := s.Alarms().Define(t.Context(), client.AlarmRule{Name: "load", Expression: "load > 5", MatchBy: []string{"host"}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"expression":     {"POST", "/alarm-definitions", `{"name":"a","expression":"avg(load > 5"}`, 400, `"path":"expression"`},
		"severity":       {"POST", "/alarm-definitions", `{"name":"a","expression":"load > 5","severity":"HIHG"}`, 400, `did you mean \"HIGH\"?`},
		"two actions":    {"POST", "/alarm-definitions", `{"name":"a","expression":"load > 5","actions":{"ok":[{"notify":"x","replace":true}]}}`, 400, `"path":"actions.ok[0]"`},
		"all mistakes":   {"POST", "/alarm-definitions", `{"name":"","expression":"load > 5","missing":"x"}`, 400, `"path":"missing"`},
		"no method":      {"POST", "/alarm-definitions", `{"name":"a","expression":"load > 5","actions":{"alarm":[{"notify":"ops"}]}}`, 400, `actions.alarm[0].notify`},
		"duration":       {"POST", "/alarm-definitions", `{"name":"a","expression":"load > 5","silence":"soon"}`, 422, `not a time span`},
		"unknown key":    {"POST", "/alarm-definitions", `{"name":"a","expression":"load > 5","sevrity":"x"}`, 422, `sevrity`},
		"taken":          {"POST", "/alarm-definitions", `{"name":"load","expression":"load > 5"}`, 409, `taken`},
		"other metrics":  {"PATCH", "/alarm-definitions/load", `{"expression":"other > 5"}`, 400, `"path":"expression"`},
		"no definition":  {"PATCH", "/alarm-definitions/laod", `{}`, 404, `laod`},
		"no alarm":       {"PATCH", "/alarms/00000000-0000-8000-8000-000000000000", `{"state":"OK"}`, 404, `alarm`},
		"no state":       {"PATCH", "/alarms/x", `{"state":"FINE"}`, 422, `body.state`},
		"test of none":   {"POST", "/alarm-definitions/x/test", `{}`, 404, `x`},
		"dimension":      {"GET", "/alarms?dimension=a", ``, 400, `query.dimension[0]`},
		"parameter":      {"GET", "/alarms?stat=OK", ``, 422, `stat`},
		"cursor":         {"GET", "/alarms?cursor=%25", ``, 400, `cursor`},
		"project":        {"GET", "/alarms?project=nobody", ``, 404, `nobody`},
		"method":         {"POST", "/notifications", `{"name":"a","type":"WEBHOK","address":"http://x"}`, 400, `did you mean`},
		"method's all":   {"POST", "/notifications", `{}`, 400, `"path":"name"`},
		"loopback":       {"POST", "/notifications", `{"name":"a","type":"WEBHOOK","address":"http://169.254.169.254/s3cret"}`, 400, `"path":"address"`},
		"no such method": {"PATCH", "/notifications/x", `{}`, 404, `x`},
		"no delivery":    {"POST", "/deliveries/x/resend", ``, 404, `delivery`},
	} {
		var body any
		if c.body != "" {
			body = c.body
		}
		r := s.send(c.method, "/v1"+c.path, body)
		if r.status != c.status || !strings.Contains(r.body, c.says) || strings.Contains(r.body, "s3cret") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

// Others neither see nor change what is a project's.
func TestAlarmsOfOthers(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	if _, err := s.Alarms().Define(ctx, client.AlarmRule{Name: "load", Expression: "load > 5"}); err != nil {
		t.Fatal(err)
	}
	ann := s.user("ann", "research")
	if _, err := s.Alarms().Of("research").Define(ctx, client.AlarmRule{Name: "load", Expression: "load > 6"}); err != nil {
		t.Fatal(err)
	}
	list, err := ann.Alarms().Definitions(ctx, 0)
	if err != nil || len(list) != 1 || list[0].Expression != "load > 6" {
		t.Errorf("%+v, %v", list, err)
	}
	for name, err := range map[string]error{
		"list":   second(ann.Alarms().Of("oneadmin").Definitions(ctx, 0)),
		"define": second(ann.Alarms().Of("oneadmin").Define(ctx, client.AlarmRule{Name: "x", Expression: "load > 5"})),
		"test":   second(ann.Alarms().Of("oneadmin").Test(ctx, "load", client.TestAlarm{})),
		"method": second(ann.Notifications().Of("oneadmin").List(ctx)),
	} {
		if !client.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Pages.
	for n := range 5 {
		if _, err := ann.Alarms().Define(ctx, client.AlarmRule{Name: fmt.Sprint("a", n), Expression: "load > 5"}); err != nil {
			t.Fatal(err)
		}
	}
	r := s.send("GET", "/v1/alarm-definitions?project=research&limit=4", nil)
	var page client.Page[client.AlarmDefinition]
	if err := json.Unmarshal([]byte(r.body), &page); err != nil || len(page.Items) != 4 || page.Next == "" || page.Items[3].Name != "a3" {
		t.Errorf("%s", r.body)
	}
	if r = s.send("GET", "/v1/alarm-definitions?project=research&limit=4&cursor="+page.Next, nil); !strings.Contains(r.body, `"a4"`) || strings.Contains(r.body, `"a3"`) {
		t.Errorf("%s", r.body)
	}
}

func TestNotifications(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	hook := newReceiver(t)
	hook.answer(http.StatusGone)
	method, err := s.Notifications().Add(ctx, client.PutNotificationMethod{Name: ptr("ops"), Type: ptr("WEBHOOK"), Address: ptr(hook.url)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Alarms().Define(ctx, client.AlarmRule{Name: "load", Expression: "load > 5", Actions: client.AlarmActions{Alarm: []client.AlarmAction{{Notify: method.ID}}}}); err != nil {
		t.Fatal(err)
	}
	deliveries := func() (list []client.Delivery) {
		t.Helper()
		for d, err := range s.Notifications().Deliveries(ctx, "ops") {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, d)
		}
		return list
	}
	for n := range 2 {
		if _, err := s.Alarms().Test(ctx, "load", client.TestAlarm{}); err != nil {
			t.Fatal(err)
		}
		<-hook.bodies
		s.soon("given up", func() bool { list := deliveries(); return len(list) == n+1 && list[n].Phase == "dead" })
	}
	list := deliveries()
	if d := list[0]; !strings.Contains(d.Reason, "410") || d.Method != method.ID || d.State != "ALARM" || !d.Test || d.Next != nil || d.Ended == nil {
		t.Errorf("%+v", d)
	}
	if err := s.Notifications().Discard(ctx, list[1].ID); err != nil {
		t.Error(err)
	}
	hook.answer(http.StatusOK)
	if err := s.Notifications().Resend(ctx, list[0].ID); err != nil {
		t.Error(err)
	}
	<-hook.bodies
	s.soon("arrived", func() bool { return len(deliveries()) == 0 })

	changed, err := s.Notifications().Change(ctx, "ops", client.PutNotificationMethod{Name: ptr("people"), Period: ptr(60)})
	if err != nil || changed.Name != "people" || changed.Period != 60 || changed.Address != hook.url {
		t.Errorf("%+v, %v", changed, err)
	}
	if all, err := s.Notifications().List(ctx); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	if one, err := s.Notifications().Get(ctx, changed.ID); err != nil || one.Name != "people" || one.Period != 60 {
		t.Errorf("%+v, %v", one, err)
	}
	if err := s.Notifications().Remove(ctx, "people"); err != nil {
		t.Error(err)
	}
	if _, err := s.Notifications().Get(ctx, "people"); !client.IsNotFound(err) {
		t.Errorf("removed: %v", err)
	}
	if d, err := s.Alarms().Definition(ctx, "load"); err != nil || len(d.Actions.Alarm) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}
