package monasca_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A recording is what python-monascaclient or python-openstackclient sent for one command, and the answers that it took.
type recording struct {
	Exchanges []struct {
		Service string
		Line    string `json:"request_line"`
		Headers map[string]string
		Body    json.RawMessage
		Answer  struct {
			Status  int
			Headers map[string]string
			Body    any
		}
	}
}

// The requests of the client, as they were recorded, get answers of the same status and shape. What differs stands in
// testdata/exceptions.txt, and each line there must be needed.
func TestRecordings(t *testing.T) {
	files, err := filepath.Glob("testdata/client/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	text, err := os.ReadFile("testdata/exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	exceptions := make(map[string]bool) // whether it was needed
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			at, reason, _ := strings.Cut(line, " | ")
			if reason == "" {
				t.Errorf("%q has no reason", line)
			}
			exceptions[at] = false
		}
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range replay(newStage(t), text) {
				at := name + " " + x
				if _, allowed := exceptions[at]; allowed {
					exceptions[at] = true
				} else {
					t.Errorf("%s differs", at)
				}
			}
		})
	}
	for at, needed := range exceptions {
		if !needed {
			t.Errorf("testdata/exceptions.txt: nothing differs at %q", at)
		}
	}
}

// replay plays a recording and returns where the answers differ.
func replay(s *stage, text []byte) (differences []string) {
	hook := s.method("seed hook", "http://198.51.100.7/hook")
	definition := s.define("seed", "max(cpu.user_perc) > 90", `,"match_by":["hostname","device"]`)
	for _, device := range []string{"sda", "sdb"} {
		s.push("cpu.user_perc", 97, `"hostname":"web01","device":"`+device+`"`)
	}
	alarms := s.alarmed(definition, "ALARM", 2)
	for i := range 2 {
		s.must(200, "PATCH", "/alarms/"+alarms.Str("elements", i, "id"), `{"lifecycle_state":"OPEN","link":"http://x.test/"}`)
	}
	now := time.Now()
	adapt := strings.NewReplacer("11111111-1111-4111-8111-111111111111", definition, "22222222-2222-4222-8222-222222222222", alarms.Str("elements", 0, "id"),
		"33333333-3333-4333-8333-333333333333", hook, "1893456000123", fmt.Sprint(now.UnixMilli()), "1893456000000", fmt.Sprint(now.Add(-time.Hour).UnixMilli()),
		"2030-01-01T00%3A00%3A00", strings.ReplaceAll(now.Add(-time.Hour).UTC().Format("2006-01-02T15:04:05"), ":", "%3A"))
	var r recording
	s.check(json.Unmarshal(text, &r))
	for i, x := range r.Exchanges {
		method, rest, _ := strings.Cut(x.Line, " ")
		path := adapt.Replace(strings.TrimSuffix(rest, " HTTP/1.1"))
		var headers []string
		for k, v := range x.Headers {
			switch k {
			case "Content-Length", "Accept-Encoding", "Connection":
				continue
			case "X-Auth-Token":
				if v = s.token; x.Answer.Status == http.StatusUnauthorized {
					v = "expired"
				}
			case "X-Subject-Token":
				v = s.token
			}
			headers = append(headers, k, v)
		}
		body := adapt.Replace(string(x.Body))
		if body == "null" {
			body = ""
		}
		base := map[string]string{"keystone": s.auth, "monasca": s.url}[x.Service]
		got := s.request(method, base+path, body, headers...)
		if token := got.Header.Get("X-Subject-Token"); token != "" {
			s.token = token
		}
		var found []string
		if got.Status != x.Answer.Status {
			found = append(found, fmt.Sprintf("status %d, not %d: %s", got.Status, x.Answer.Status, got.Text))
		}
		for name := range x.Answer.Headers {
			if got.Header.Get(name) == "" {
				found = append(found, "header "+name)
			}
		}
		found = append(found, shape(x.Answer.Body, got.JSON, "")...)
		for _, at := range found {
			differences = append(differences, fmt.Sprintf("%d %s", i+1, strings.TrimSpace(at)))
		}
	}
	return differences
}

// shape returns where two values differ in their kind, or in their keys. Null stands for anything, and the elements of a list are alike.
func shape(want, got any, at string) (out []string) {
	if want == nil || got == nil {
		if (want == nil) != (got == nil) && at == "" {
			return []string{"body"}
		}
		return nil
	}
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			return []string{at + " is no object"}
		}
		if strings.HasSuffix(at, ".dimensions") || strings.HasSuffix(at, ".value_meta") {
			return nil
		}
		all := maps.Clone(want)
		maps.Copy(all, have)
		for _, key := range slices.Sorted(maps.Keys(all)) {
			_, w := want[key]
			_, h := have[key]
			switch {
			case !h:
				out = append(out, at+"."+key+" is missing")
			case !w:
				out = append(out, at+"."+key+" is extra")
			default:
				out = append(out, shape(want[key], have[key], at+"."+key)...)
			}
		}
	case []any:
		have, ok := got.([]any)
		switch {
		case !ok:
			return []string{at + " is no list"}
		case len(want) > 0 && len(have) == 0:
			return []string{at + " is empty"}
		case len(want) > 0 && strings.HasSuffix(at, ".statistics[]"), len(want) > 0 && strings.HasSuffix(at, ".measurements[]"):
			if len(have) != len(want) {
				return []string{at + " has another length"}
			}
		}
		for i := range min(len(want), len(have)) {
			out = append(out, shape(want[i], have[i], at+"[]")...)
		}
	case string:
		if _, ok := got.(string); !ok {
			out = append(out, at+" is no string")
		}
	case float64:
		if _, ok := got.(json.Number); !ok {
			out = append(out, at+" is no number")
		}
	case bool:
		if _, ok := got.(bool); !ok {
			out = append(out, at+" is no bool")
		}
	}
	return out
}
