package monasca_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/identity"
)

// fill sends samples of four series, a minute apart, and returns when they begin.
func (s *stage) fill() time.Time {
	s.t.Helper()
	begin := time.Now().Add(-10 * time.Minute).Truncate(time.Minute)
	var parts []string
	for i := range 3 {
		for _, host := range []string{"a", "b"} {
			for _, disk := range []string{"x", "y"} {
				parts = append(parts, fmt.Sprintf(`{"name":"used","dimensions":{"host":%q,"disk":%q},"timestamp":%d.25,"value":%d}`, host, disk, begin.Add(time.Duration(i)*time.Minute).UnixMilli(), i))
			}
		}
	}
	parts = append(parts, fmt.Sprintf(`{"name":"Alone","timestamp":%d,"value":1.5,"value_meta":{"rc":"503"},"more":[1]}`, begin.UnixMilli()))
	s.must(204, "POST", "/metrics", "["+strings.Join(parts, ",")+"]")
	return begin
}

// follow reads a list page by page, along its next links.
func (s *stage) follow(path string) (pages []reply) {
	s.t.Helper()
	for len(pages) < 100 {
		r := s.must(200, "GET", path, "")
		pages = append(pages, r)
		if r.At("links", 1) == nil {
			return pages
		}
		if r.Str("links", 1, "rel") != "next" {
			s.t.Errorf("links %v", r.At("links"))
		}
		next, ok := strings.CutPrefix(r.Str("links", 1, "href"), s.url+"/v2.0")
		if !ok {
			s.t.Fatalf("next is %s", r.Str("links", 1, "href"))
		}
		path = next
	}
	s.t.Fatal("pages without an end")
	return nil
}

func columns(pages []reply, steps ...any) string {
	var out []string
	for _, p := range pages {
		out = append(out, p.column(steps...))
	}
	return strings.Join(out, " | ")
}

func TestMetrics(t *testing.T) {
	s := newStage(t)
	begin := s.fill()
	since := "&start_time=" + url.QueryEscape(begin.UTC().Format(time.RFC3339))

	if got := columns(s.follow("/metrics?name=used&limit=3"), "id"); got != "0 1 2 | 3" {
		t.Errorf("metrics: %s", got)
	}
	if got := s.must(200, "GET", "/metrics/?dimensions=host:a,disk:x|z", ""); got.column("dimensions") != "map[disk:x host:a]" {
		t.Errorf("filtered: %s", got.Text)
	}
	if got := s.must(200, "GET", "/metrics?dimensions=host:a&dimensions=disk:y", ""); got.elements() != 1 {
		t.Errorf("filtered twice: %s", got.Text)
	}
	for path, want := range map[string]string{
		"/metrics/names?limit=1":                                                         "Alone | used",
		"/metrics/names?offset=B":                                                        "used",
		"/metrics/names?dimensions=host":                                                 "used",
		"/metrics/dimensions/names?metric_name=used":                                     "disk host",
		"/metrics/dimensions/names/values?dimension_name=host&limit=1":                   "a | b",
		"/metrics/dimensions/names/values?dimension_name=host&metric_name=Alone":         "",
		"/metrics/dimensions/names/values?dimension_name=disk&start_time=2031-01-01":     "",
		"/metrics/dimensions/names/values?dimension_name=disk&end_time=2031-01-01T00:00": "x y",
	} {
		key := "name"
		if strings.Contains(path, "/values") {
			key = "dimension_value"
		} else if strings.Contains(path, "dimensions/names") {
			key = "dimension_name"
		}
		if got := columns(s.follow(path), key); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}

	r := s.must(200, "GET", "/metrics/measurements?name=Alone"+since, "")
	if want := fmt.Sprintf(`"measurements":[["%s",1.5,{"rc":"503"}]]`, begin.UTC().Format("2006-01-02T15:04:05.000Z")); !strings.Contains(r.Text, want) {
		t.Errorf("%s has no %s", r.Text, want)
	}
	r = s.must(200, "GET", "/metrics/measurements?name=used&dimensions=host:a,disk:x"+since, "")
	if !strings.Contains(r.Text, `,0.0,{}],[`) || r.Str("elements", 0, "columns") != "[timestamp value value_meta]" {
		t.Errorf("numbers without a fraction, or no empty value_meta: %s", r.Text)
	}
	rows := func(path, key string) string {
		var out []string
		for _, p := range s.follow(path) {
			for i := range p.elements() {
				list, _ := p.At("elements", i, key).([]any)
				out = append(out, fmt.Sprintf("%s%v*%d", p.Str("elements", i, "id"), p.At("elements", i, "dimensions"), len(list)))
			}
			out = append(out, "|")
		}
		return strings.Join(out, " ")
	}
	if got, want := rows("/metrics/measurements?name=used&group_by=*&limit=5"+since, "measurements"),
		"0map[disk:x host:a]*3 1map[disk:x host:b]*2 | 1map[disk:x host:b]*1 2map[disk:y host:a]*3 3map[disk:y host:b]*1 | 3map[disk:y host:b]*2 |"; got != want {
		t.Errorf("pages of rows: %s", got)
	}
	// Merged rows share their times: none may fall between two pages.
	if got, want := rows("/metrics/measurements?name=used&merge_metrics=True&limit=3"+since, "measurements"), "0map[]*4 | 0map[]*4 | 0map[]*4 |"; got != want {
		t.Errorf("merged: %s", got)
	}
	if got, want := rows("/metrics/measurements?name=used&group_by=host&limit=100"+since, "measurements"), "0map[host:a]*6 1map[host:b]*6 |"; got != want {
		t.Errorf("grouped: %s", got)
	}
	if got, want := rows("/metrics/statistics?name=used&statistics=avg&period=60&group_by=host&limit=4"+since, "statistics"), "0map[host:a]*3 1map[host:b]*1 | 1map[host:b]*2 |"; got != want {
		t.Errorf("statistics: %s", got)
	}
	r = s.must(200, "GET", "/metrics/statistics?name=used&statistics=AVG,max,COUNT&period=60&merge_metrics=true&limit=1"+since, "")
	if want := fmt.Sprintf(`"statistics":[["%s",0.0,0.0,4.0]]`, begin.UTC().Format("2006-01-02T15:04:05Z")); !strings.Contains(r.Text, want) || r.Str("elements", 0, "columns") != "[timestamp avg max count]" {
		t.Errorf("%s has no %s", r.Text, want)
	}
	if r := s.must(200, "GET", "/metrics/measurements?name=absent"+since, ""); r.elements() != 0 || r.At("elements") == nil {
		t.Errorf("a name that matches nothing: %s", r.Text)
	}
}

func TestRefusedQueries(t *testing.T) {
	s := newStage(t)
	s.fill()
	const past = "&start_time=2020-01-01T00:00:00Z"
	for path, want := range map[string]int{
		"/metrics/measurements?name=used" + past:                                            409,
		"/metrics/measurements?name=used":                                                   422,
		"/metrics/measurements?start_time=2020-01-01":                                       422,
		"/metrics/measurements?name=used&start_time=yesterday":                              422,
		"/metrics/measurements?name=used&start_time=2020-01-02&end_time=2020-01-02":         400,
		"/metrics/measurements?name=used&offset=x" + past:                                   422,
		"/metrics/statistics?name=used&merge_metrics=true" + past:                           422,
		"/metrics/statistics?name=used&merge_metrics=true&statistics=avg,mode" + past:       422,
		"/metrics/statistics?name=used&merge_metrics=true&statistics=avg&period=-1" + past:  422,
		"/metrics/statistics?name=used&merge_metrics=true&statistics=avg&period=1.5" + past: 422,
		"/metrics?limit=ten":                                         422,
		"/metrics?limit=-1":                                          422,
		"/metrics?limit=99999999999999999999":                        200,
		"/metrics?offset=x":                                          422,
		"/metrics?dimensions=_hidden:x":                              422,
		"/metrics?dimensions=:x":                                     422,
		"/metrics/dimensions/names/values":                           422,
		"/metrics/dimensions/names/values?dimension_name=__tenant__": 422,
		"/alarms?state=BAD":                                          422,
		"/alarms?severity=LOW|BAD":                                   422,
		"/alarms?sort_by=name":                                       422,
		"/alarms?sort_by=state%20down":                               422,
		"/alarms?offset=-1":                                          422,
		"/alarms?state_updated_start_time=soon":                      422,
		"/alarms?state_updated_start_time=2020-01-01T00:00:00Z":      200,
		"/alarms/count?group_by=colour":                              422,
		"/alarms/state-history/?dimensions=a:b":                      200,
		"/alarms/state-history?offset=x":                             422,
		"/alarms/nobody":                                             404,
		"/alarms/nobody/state-history":                               404,
		"/alarm-definitions/nobody":                                  404,
		"/alarm-definitions?sort_by=colour":                          422,
		"/notification-methods/nobody":                               404,
		"/notification-methods?sort_by=colour":                       422,
		"/logs":                                                      404,
	} {
		r := s.send("GET", path, "")
		if r.Status != want {
			t.Errorf("%s: %d, want %d: %s", path, r.Status, want, r.Text)
		}
		if r.Status >= 400 && r.Str("title") == "" {
			t.Errorf("%s: no title: %s", path, r.Text)
		}
		if !strings.HasPrefix(r.Header.Get("X-Openstack-Request-Id"), "req-") {
			t.Errorf("%s: request id %q", path, r.Header.Get("X-Openstack-Request-Id"))
		}
	}
	if r := s.send("GET", "/metrics?limit=x", ""); r.Str("title") != "Invalid limit" {
		t.Error(r.Text)
	}
	if r := s.send("GET", "/metrics/measurements?name=used"+past, ""); r.Str("title") != "MultipleMetrics" {
		t.Error(r.Text)
	}
}

func TestRefusedSamples(t *testing.T) {
	s := newStage(t)
	now := time.Now().UnixMilli()
	good := fmt.Sprintf(`{"name":"m","value":1,"timestamp":%d}`, now)
	for body, want := range map[string]int{
		good:                                    204,
		"[]":                                    204,
		`[` + good + `,{"name":"n","value":1}]`: 422,
		fmt.Sprintf(`{"name":"m","value":1,"timestamp":"%d"}`, now):                        422,
		fmt.Sprintf(`{"name":"m","value":"1","timestamp":%d}`, now):                        422,
		fmt.Sprintf(`{"name":"m n","value":1,"timestamp":%d}`, now):                        422,
		fmt.Sprintf(`{"name":"m","value":1,"timestamp":%d,"dimensions":{"_a":"b"}}`, now):  422,
		fmt.Sprintf(`{"name":"m","value":1,"timestamp":%d,"dimensions":{"a":""}}`, now):    422,
		fmt.Sprintf(`{"name":"m","value":1,"timestamp":%d,"dimensions":{"a":"b c"}}`, now): 204,
		fmt.Sprintf(`{"name":"m","value":1,"timestamp":%d,"value_meta":null}`, now):        204,
		fmt.Sprintf(`{"name":"m","value":true,"timestamp":%d.5}`, now):                     204,
		`{"name":"m","value":NaN,"timestamp":1}`:                                           400,
		`not json`:                                                                         400,
		``:                                                                                 400,
	} {
		if r := s.send("POST", "/metrics", body); r.Status != want || want == 204 && r.Text != "" {
			t.Errorf("%s: %d, want %d: %s", body, r.Status, want, r.Text)
		}
	}
	if r := s.must(200, "GET", "/metrics/names", ""); r.column("name") != "m" {
		t.Errorf("one bad sample did not refuse the others: %s", r.Text)
	}
	if r := s.send("POST", "/metrics", good+strings.Repeat(" ", 9<<20)); r.Status != 204 { // more than other routes read
		t.Errorf("9 MiB: %d %s", r.Status, r.Text)
	}
	if r := s.send("POST", "/metrics", good+strings.Repeat(" ", 33<<20)); r.Status != 413 {
		t.Errorf("33 MiB: %d %s", r.Status, r.Text)
	}
	for media, want := range map[string]int{"application/json": 204, "application/json; charset=utf-8": 204, "text/plain": 400, "": 400} {
		if r := s.request("POST", s.url+"/v2.0/metrics", good, "X-Auth-Token", s.token, "Content-Type", media); r.Status != want {
			t.Errorf("%s: %d, want %d", media, r.Status, want)
		}
	}
}

// What a token may do, and for whom.
func TestRoles(t *testing.T) {
	s := newStage(t)
	s.fill()
	good := fmt.Sprintf(`{"name":"m","value":1,"timestamp":%d}`, time.Now().UnixMilli())
	read, push := s.tokenOf(identity.ScopeRead), s.tokenOf(identity.ScopePush)
	ask := func(token, method, path, body string) reply {
		return s.request(method, s.url+path, body, "X-Auth-Token", token)
	}
	for _, tt := range []struct {
		token, method, path, body string
		want                      int
	}{
		{read, "GET", "/v2.0/metrics", "", 200}, {read, "GET", "/v2.0/alarms", "", 200}, {read, "GET", "/v2.0", "", 200}, {read, "GET", "/", "", 200},
		{read, "POST", "/v2.0/metrics", good, 401}, {read, "POST", "/v2.0/alarm-definitions", `{"name":"n","expression":"m>1"}`, 401}, {read, "DELETE", "/v2.0/alarms/x", "", 401},
		{push, "POST", "/v2.0/metrics", good, 204}, {push, "GET", "/v2.0", "", 200},
		{push, "GET", "/v2.0/metrics", "", 401}, {push, "PATCH", "/v2.0/notification-methods/x", `{}`, 401},
	} {
		r := ask(tt.token, tt.method, tt.path, tt.body)
		if r.Status != tt.want || tt.want == 401 && (r.Str("title") != "Forbidden" || r.Header.Get("WWW-Authenticate") != "Token") {
			t.Errorf("%s %s: %d %s, want %d", tt.method, tt.path, r.Status, r.Text, tt.want)
		}
	}
	for _, token := range []string{"", "nonsense", s.token + "x"} {
		r := s.request("GET", s.url+"/v2.0/metrics", "", "X-Auth-Token", token)
		if r.Status != 401 || r.Str("error", "code") != "401" || r.Header.Get("WWW-Authenticate") != fmt.Sprintf("Keystone uri=%q", s.auth) {
			t.Errorf("token %.10q: %d %s %s", token, r.Status, r.Text, r.Header.Get("WWW-Authenticate"))
		}
	}
	// A delegate is an administrator; nobody else's tenant_id is looked at.
	id := fmt.Sprint(s.user.Group)
	admin := s.logIn(apitest.Admin, apitest.Password, "oneadmin")
	if r := ask(admin, "GET", "/v2.0/metrics/names?tenant_id="+id, ""); r.column("name") != "Alone m used" {
		t.Errorf("a delegate sees %s", r.Text)
	}
	if r := ask(admin, "POST", "/v2.0/metrics?tenant_id="+id, strings.Replace(good, `"m"`, `"given"`, 1)); r.Status != 204 {
		t.Errorf("a delegate sends: %d %s", r.Status, r.Text)
	}
	if r := ask(s.token, "GET", "/v2.0/metrics/names?tenant_id=0", ""); r.column("name") != "Alone given m used" {
		t.Errorf("another's tenant_id leads to %s", r.Text)
	}
	s.User("eve", "others")
	eve := s.logIn("eve", "eve-password", "others")
	if r := ask(eve, "GET", "/v2.0/metrics/names?tenant_id="+id, ""); r.Status != 200 || r.elements() != 0 {
		t.Errorf("eve sees %s", r.Text)
	}
	definition := s.define("d", "m > 1", "")
	for _, method := range []string{"GET", "DELETE", "PATCH"} {
		if r := ask(eve, method, "/v2.0/alarm-definitions/"+definition, "{}"); r.Status != 404 {
			t.Errorf("eve: %s %d", method, r.Status)
		}
	}
}

func TestVersions(t *testing.T) {
	s := newStage(t)
	get := func(path string) reply {
		return s.request("GET", s.url+path, "", "X-Auth-Token", s.token)
	}
	if r := get("/"); r.column("id") != "v2.0" || r.Str("elements", 0, "links", 0, "href") != s.url+"/v2.0" {
		t.Error(r.Text)
	}
	if r := get("/v2.0/"); r.Str("id") != "v2.0" || r.Str("status") != "CURRENT" {
		t.Error(r.Text)
	}
	if r := get("/v9"); r.Status != 422 || r.Str("title") != "Invalid version" {
		t.Error(r.Text)
	}
	if r := s.request("GET", s.url+"/healthcheck", ""); r.Status != 200 {
		t.Error(r.Text)
	}
	if r := s.request("HEAD", s.url+"/healthcheck", ""); r.Status != 204 {
		t.Error(r.Status)
	}
	if r := s.send("PUT", "/alarm-definitions", "{}"); r.Status != 400 {
		t.Errorf("a change without an id: %d", r.Status)
	}
	if r := s.send("PUT", "/alarms/count", "{}"); r.Status != 405 {
		t.Errorf("a change of the count: %d", r.Status)
	}
}
