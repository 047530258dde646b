package monasca_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"testing"
)

// No query and no body is the server's own failure.
func FuzzRequest(f *testing.F) {
	s := newStage(f)
	base, token := s.url, s.token
	paths := []string{"/metrics", "/metrics/measurements", "/metrics/statistics", "/metrics/names", "/metrics/dimensions/names/values", "/alarms", "/alarms/count",
		"/alarms/state-history", "/alarm-definitions", "/notification-methods"}
	for i, query := range []string{"limit=3", "name=m&start_time=2030-01-01&offset=0_2030-01-01T00:00:00.000Z&group_by=*,a", "statistics=avg,max&period=60&name=m&start_time=1970-01-01&merge_metrics=true",
		"offset=a", "dimension_name=a", "sort_by=state desc,severity&limit=3&offset=1", "group_by=state,dimension_name&severity=LOW|HIGH",
		"dimensions=a:b|c,d&start_time=2020-01-01T00:00:00+01:00", "%zz=&;=&&limit=00", "sort_by=id"} {
		f.Add(uint8(i), query, []byte(`{"name":"x","expression":"m>1","type":"WEBHOOK","address":"http://a.test/","period":"0","match_by":["a"],"ok_actions":[null]}`))
		f.Add(uint8(i), query, []byte(`[{"name":"m","value":1,"timestamp":1,"dimensions":{"a":"b"},"value_meta":{"c":1}}]`))
	}
	f.Fuzz(func(t *testing.T, which uint8, query string, body []byte) {
		at, err := url.Parse(base + "/v2.0" + paths[int(which)%len(paths)])
		if err != nil {
			t.Fatal(err)
		}
		at.RawQuery = url.PathEscape(query) // which leaves & and = alone
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			req := (&http.Request{Method: method, URL: at, Header: http.Header{"X-Auth-Token": {token}, "Content-Type": {"application/json"}}}).WithContext(t.Context())
			if method == http.MethodPost {
				req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Skip(err) // what no client can send
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode >= 500 {
				t.Errorf("%s %s %q: %d %s %v", method, at, body, resp.StatusCode, text, err)
			}
		}
	})
}
