package dns_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/identity"
)

// TestDomains: the calls about domains, as the SDK's client sends them.
func TestDomains(t *testing.T) {
	s := newStage(t)
	s.good("POST", "/domains", `{"name": "test_dnsaas.com", "ttl": 3600, "email": "dnsaas_admin@example.org"}`)
	s.expect("test_dnsaas.com.", "NS", "ns.troupe.internal.")
	r := s.send("GET", "/domains", `{"domain_name": "test_dnsaas.com"}`)
	d, _ := r.JSON.(map[string]any)
	if r.Status != 200 || d["name"] != "test_dnsaas.com." || fmt.Sprint(d["ttl"]) != "3600" || d["email"] != "dnsaas_admin@example.org" || d["description"] != nil || d["id"] == "" {
		t.Errorf("%d %s", r.Status, r.Text)
	}
	s.good("PUT", "/domains", `{"domain_name": "test_dnsaas.com", "parameter_to_update": "ttl", "data": 7200}`)
	s.good("PUT", "/domains", `{"domain_name": "test_dnsaas.com.", "parameter_to_update": "ttl", "data": "7300"}`)
	s.good("PUT", "/domains", `{"domain_name": "test_dnsaas.com", "parameter_to_update": "email", "data": "b.ob@example.org"}`)
	s.good("PUT", "/domains", `{"domain_name": "test_dnsaas.com", "parameter_to_update": "description", "data": "about"}`)
	if r := s.send("GET", "/domains", `{"domain_name": "test_dnsaas.com"}`); !strings.Contains(r.Text, `"ttl":7300`) || !strings.Contains(r.Text, `"about"`) {
		t.Error(r.Text)
	}
	if got := s.ask("test_dnsaas.com.", "SOA"); !strings.HasPrefix(got, `ns.troupe.internal. b\.ob.example.org. `) {
		t.Errorf("SOA %s", got)
	}
	if r := s.send("GET", "/domains", ""); !strings.Contains(r.Text, `{"domains":[{`) {
		t.Error(r.Text)
	}
	s.good("DELETE", "/domains", `{"domain_name": "test_dnsaas.com"}`)
	s.expect("test_dnsaas.com.", "NS", "REFUSED")
}

// TestRecords: each type is made, shown, changed and removed, as the SDK's client does it, and answers meanwhile.
func TestRecords(t *testing.T) {
	s := newStage(t)
	s.good("POST", "/domains", `{"name": "test4_dnsaas.com", "ttl": 3600, "email": "a@example.org"}`)
	s.good("POST", "/domains", `{"name": "4.168.192.in-addr.arpa", "ttl": 3600, "email": "a@example.org"}`)
	for _, x := range []struct {
		domain, name, typ, create string // name is by which it is asked for later
		asked, first              string
		change, second            string // of data
	}{
		{"test4_dnsaas.com", "www", "A", `"record_name": "www", "data": "192.168.1.1"`, "www.test4_dnsaas.com.", "192.168.1.1", "192.168.1.20", "192.168.1.20"},
		{"test4_dnsaas.com", "", "MX", `"record_name": "", "data": "192.168.1.1", "priority": 10`, "test4_dnsaas.com.", "10 192.168.1.1.", "mail", "10 mail.test4_dnsaas.com."},
		{"test4_dnsaas.com", "aaaa", "AAAA", `"record_name": "aaaa", "data": "2001:db8:0:1234:0:5678:9:12"`, "aaaa.test4_dnsaas.com.", "2001:db8:0:1234:0:5678:9:12", "2001:db8::1", "2001:db8::1"},
		{"test4_dnsaas.com", "cname", "CNAME", `"record_name": "cname", "data": "mail.test4_dnsaas.com"`, "cname.test4_dnsaas.com.", "mail.test4_dnsaas.com.", "mail56", "mail56.test4_dnsaas.com."},
		{"test4_dnsaas.com", "txt", "TXT", `"record_name": "txt", "data": "This a text records, use for SPF...."`, "txt.test4_dnsaas.com.", `"This a text records, use for SPF...."`, "other", `"other"`},
		{"test4_dnsaas.com", "_sip._tcp", "SRV", `"record_name": "_sip._tcp", "data": "0 5060 sip.test4_dnsaas.com", "priority": 40`, "_sip._tcp.test4_dnsaas.com.", "40 0 5060 sip.test4_dnsaas.com.", "0 4060 sip", "40 0 4060 sip.test4_dnsaas.com."},
		{"test4_dnsaas.com", "", "NS", `"name": "", "data": "ns4"`, "test4_dnsaas.com.", "ns4.test4_dnsaas.com.", "ns6.otherdomain.com", "ns6.otherdomain.com."},
		{"4.168.192.in-addr.arpa", "1.4.168.192.in-addr.arpa", "PTR", `"record_name": "www.domain2.com", "data": "1.4.168.192.in-addr.arpa"`, "1.4.168.192.in-addr.arpa.", "www.domain2.com.", "mail.domain1.com", "mail.domain1.com."},
		{"test4_dnsaas.com", "test4_dnsaas.com", "SPF", `"record_name": "test4_dnsaas.com.", "data": "v=spf1 -all"`, "test4_dnsaas.com.", `"v=spf1 -all"`, "v=spf55 -all", `"v=spf55 -all"`},
		{"test4_dnsaas.com", "www", "SSHFP", `"record_name": "www", "data": "2 1 6c3c958af43d953f91f40e0d84157f4fe7b4a898"`, "www.test4_dnsaas.com.", "2 1 6C3C958AF43D953F91F40E0D84157F4FE7B4A898",
			"1 1 6c3c958af43d953f91f40e0d84157f4fe7b4a898", "1 1 6C3C958AF43D953F91F40E0D84157F4FE7B4A898"},
		{"test4_dnsaas.com", "_rfs787ec.cp", "NAPTR", `"record_name": "_rfs787ec.cp", "data": "100 50 \"s\" \"za\" \"\" .", "priority": 10`, "_rfs787ec.cp.test4_dnsaas.com.", `100 50 "s" "za" "" .`,
			`200 50 \"s\" \"za\" \"\" .`, `200 50 "s" "za" "" .`},
	} {
		s.good("POST", "/records", fmt.Sprintf(`{"domain_name": %q, "record_type": %q, %s}`, x.domain, x.typ, x.create))
		s.expect(x.asked, x.typ, x.first)
		if r := s.send("POST", "/records", fmt.Sprintf(`{"domain_name": %q, "record_type": %q, %s}`, x.domain, x.typ, x.create)); r.Status != 409 || !strings.Contains(r.Text, "Record information already exists!") {
			t.Errorf("%s twice: %d %s", x.typ, r.Status, r.Text)
		}
		which := fmt.Sprintf(`"domain_name": %q, "record_name": %q, "record_type": %q`, x.domain, x.name, x.typ)
		r := s.send("GET", "/records", "{"+which+"}")
		shown, _ := r.JSON.(map[string]any)
		if r.Status != 200 || shown["type"] != x.typ || shown["name"] != x.asked || shown["code"] != nil {
			t.Errorf("%s: %d %s", x.typ, r.Status, r.Text)
		}
		s.good("PUT", "/records", fmt.Sprintf(`{%s, "parameter_to_update": "data", "data": "%s"}`, which, x.change))
		s.expect(x.asked, x.typ, x.second)
		s.good("PUT", "/records", "{"+which+`, "parameter_to_update": "ttl", "data": 9200}`)
		s.good("PUT", "/records", "{"+which+`, "parameter_to_update": "description", "data": "changed"}`)
		if x.typ == "MX" || x.typ == "SRV" || x.typ == "NAPTR" {
			s.good("PUT", "/records", "{"+which+`, "parameter_to_update": "priority", "data": 60}`)
			s.expect(x.asked, x.typ, "60 "+strings.SplitN(x.second, " ", 2)[1])
		}
		if r := s.send("GET", "/records", "{"+which+"}"); !strings.Contains(r.Text, `"ttl":9200`) || !strings.Contains(r.Text, `"changed"`) {
			t.Errorf("%s: %s", x.typ, r.Text)
		}
		if r := s.send("GET", "/records", fmt.Sprintf(`{"domain_name": %q, "record_name": "", "record_type": null}`, x.domain)); !strings.Contains(r.Text, `{"records":[{`) {
			t.Errorf("all records: %s", r.Text)
		}
		s.good("DELETE", "/records", "{"+which+"}")
		if r := s.send("GET", "/records", "{"+which+"}"); r.Status != 404 || !strings.Contains(r.Text, "Record not found!") {
			t.Errorf("%s after its removal: %d %s", x.typ, r.Status, r.Text)
		}
	}
}

// TestMaps: the calls about maps.
func TestMaps(t *testing.T) {
	s := newStage(t)
	s.good("POST", "/domains", `{"name": "example.org", "ttl": 60, "email": "a@example.org"}`)
	const which = `"record_name": "geo", "domain_name": "example.org"`
	s.good("POST", "/geodns", "{"+which+`, "geoInfo": ["124 IP.Canada.com.", "250 France", "0 default.youtube.com."]}`)
	s.expect("geo.example.org.", "A", "default.youtube.com.")
	if r := s.send("POST", "/geodns", "{"+which+`, "geoInfo": ["0 192.0.2.1"]}`); r.Status != 400 || !strings.Contains(r.Text, "already exists!!") {
		t.Errorf("twice: %d %s", r.Status, r.Text)
	}
	s.good("PUT", "/geodns", "{"+which+`, "geoInfo": ["344 Hong-Kong", "127.0.0.0/8 192.0.2.7"]}`)
	s.expect("geo.example.org.", "A", "192.0.2.7")
	r := s.send("GET", "/geodns", "{"+which+"}")
	if want := `{"geoFileContent":["$RECORD geo.example.org","$ORIGIN example.org","124 ip.canada.com.","250 france.example.org.","0 default.youtube.com.","344 hong-kong.example.org.","127.0.0.0/8 192.0.2.7"]}`; r.Text != want {
		t.Errorf("%s, want %s", r.Text, want)
	}
	s.good("DELETE", "/geodns", "{"+which+`, "infoToRemove": ["344 Hong-Kong", "127.0.0.0/8"]}`)
	s.expect("geo.example.org.", "A", "default.youtube.com.")
	s.good("DELETE", "/geodns", "{"+which+`, "infoToRemove": false}`)
	s.expect("geo.example.org.", "A", "NXDOMAIN")
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if r := s.send(method, "/geodns", "{"+which+`, "geoInfo": ["0 192.0.2.1"]}`); r.Status != 404 || !strings.Contains(r.Text, "does not exist!!") {
			t.Errorf("%s without a map: %d %s", method, r.Status, r.Text)
		}
	}
}

// TestMistakes: every error is a code and a message, and changes nothing.
func TestMistakes(t *testing.T) {
	s := newStage(t)
	s.good("POST", "/domains", `{"name": "example.org"}`)
	for _, x := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/domains", ``, 400, "schema"},
		{"POST", "/domains", `{`, 400, "JSON"},
		{"POST", "/domains", `[]`, 400, ""},
		{"POST", "/domains", `{"name": {}}`, 400, ""},
		{"POST", "/domains", `{"name": "a b"}`, 400, "labels"},
		{"POST", "/domains", `{"name": "example.org"}`, 409, "Domain already exists!"},
		{"POST", "/domains", `{"name": "x.org", "email": "no"}`, 400, "e-mail"},
		{"POST", "/domains", `{"name": "x.org", "ttl": -1}`, 400, "ttl"},
		{"POST", "/domains", `{"name": "x.org", "ttl": 99999999}`, 400, "TTL"},
		{"POST", "/domains", `{"name": "org"}`, 403, "top-level"},
		{"POST", "/domains", `{"name": "x.troupe.internal"}`, 400, "instances"},
		{"POST", "/domains", `{"name": "internal"}`, 400, "instances"},
		{"GET", "/domains", `{"domain_name": "nobody.org"}`, 404, "Domain not found!"},
		{"PUT", "/domains", `{"domain_name": "nobody.org", "parameter_to_update": "ttl", "data": 1}`, 404, "Domain not found!"},
		{"PUT", "/domains", `{"domain_name": "example.org", "parameter_to_update": "name", "data": "x"}`, 400, "Update parameter not permitted."},
		{"PUT", "/domains", `{"domain_name": "example.org", "parameter_to_update": "ttl", "data": "x"}`, 400, "TTL"},
		{"DELETE", "/domains", `{"domain_name": "nobody.org"}`, 404, "Domain not found!"},
		{"DELETE", "/domains", `{}`, 400, ""},
		{"POST", "/records", `{"domain_name": "example.org", "record_name": "x", "record_type": "LOC", "data": "x"}`, 400, "Unrecognized record type."},
		{"POST", "/records", `{"domain_name": "nobody.org", "record_name": "x", "record_type": "A", "data": "192.0.2.1"}`, 404, "Domain not found!"},
		{"POST", "/records", `{"domain_name": "example.org", "record_name": "x", "record_type": "A", "data": "x"}`, 400, "address"},
		{"POST", "/records", `{"domain_name": "example.org", "record_name": "x", "record_type": "MX", "data": "x", "priority": 70000}`, 400, "priority"},
		{"PUT", "/records", `{"domain_name": "example.org", "record_name": "x", "record_type": "A", "parameter_to_update": "data", "data": "192.0.2.1"}`, 404, "Record not found!"},
		{"PUT", "/records", `{"domain_name": "example.org", "record_name": "x", "record_type": "A", "parameter_to_update": "type", "data": "x"}`, 400, "Update parameter not permitted."},
		{"DELETE", "/records", `{"domain_name": "example.org", "record_name": "x", "record_type": "A"}`, 404, "Record not found!"},
		{"DELETE", "/records", `{"domain_name": "example.org", "record_name": "x", "record_type": "B"}`, 400, "Unrecognized record type."},
		{"POST", "/geodns", `{"domain_name": "example.org", "record_name": "x", "geoInfo": []}`, 400, "line"},
		{"POST", "/geodns", `{"domain_name": "example.org", "record_name": "x", "geoInfo": ["x"]}`, 400, "line"},
		{"POST", "/geodns", `{"domain_name": "nobody.org", "record_name": "x", "geoInfo": ["0 192.0.2.1"]}`, 404, "Domain not found!"},
		{"DELETE", "/geodns", `{"domain_name": "example.org", "record_name": "x", "infoToRemove": true}`, 400, "infoToRemove"},
		{"GET", "/nothing", ``, 404, "nothing"},
		{"PATCH", "/domains", `{}`, 404, "nothing"},
	} {
		r := s.send(x.method, x.path, x.body)
		f, _ := r.JSON.(map[string]any)
		if msg, _ := f["msg"].(string); r.Status != x.status || fmt.Sprint(f["code"]) != fmt.Sprint(x.status) || !strings.Contains(msg, x.says) {
			t.Errorf("%s %s %s: %d %s", x.method, x.path, x.body, r.Status, r.Text)
		}
	}
	if r := s.send("GET", "/records", `{"domain_name": "example.org", "record_type": ""}`); r.Text != `{"records":[]}` {
		t.Errorf("something was made: %s", r.Text)
	}
}

// TestStrangers: who shows no good token, and whose project has not the domain.
func TestStrangers(t *testing.T) {
	s := newStage(t)
	s.good("POST", "/domains", `{"name": "example.org"}`)
	if r := s.send("GET", "/", ""); r.Status != 200 || r.Text != `{"name":"API available"}` {
		t.Errorf("%d %s", r.Status, r.Text)
	}
	for _, token := range []string{"", "wrong"} {
		s.token = token
		if r := s.send("GET", "/domains", `{"domain_name": "example.org"}`); r.Status != 401 || r.Text != `{"code":401,"msg":"Unauthorized!!"}` {
			t.Errorf("token %q: %d %s", token, r.Status, r.Text)
		}
	}
	bob := s.User("bob", "others")
	s.token = s.tokenOf(bob)
	for method, body := range map[string]string{"GET": `{"domain_name": "example.org"}`, "DELETE": `{"domain_name": "example.org"}`, "PUT": `{"domain_name": "example.org", "parameter_to_update": "ttl", "data": 5}`} {
		if r := s.send(method, "/domains", body); r.Status != 404 {
			t.Errorf("%s of another project: %d %s", method, r.Status, r.Text)
		}
	}
	for _, name := range []string{"example.org", "sub.example.org"} {
		if r := s.send("POST", "/domains", fmt.Sprintf(`{"name": %q}`, name)); r.Status != 409 {
			t.Errorf("%s within another project's: %d %s", name, r.Status, r.Text)
		}
	}
	token, _, err := s.Control.AddToken(t.Context(), bob, identity.NewToken{User: bob.User, Name: "reader", Scopes: identity.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	s.token = token
	if r := s.send("POST", "/domains", `{"name": "bob.org"}`); r.Status != 403 {
		t.Errorf("a token that may only read: %d %s", r.Status, r.Text)
	}
}

// FuzzBody: no body breaks a call, and every answer is JSON.
func FuzzBody(f *testing.F) {
	f.Add("POST", "/records", `{"domain_name": "example.org", "record_name": "x", "record_type": "A", "data": "192.0.2.1", "priority": "5"}`)
	f.Add("DELETE", "/geodns", `{"domain_name": "example.org", "record_name": "x", "infoToRemove": [1, "2"]}`)
	f.Add("PUT", "/domains", `{"domain_name": "example.org", "parameter_to_update": "ttl", "data": 1e9}`)
	s := newStage(f)
	s.good("POST", "/domains", `{"name": "example.org"}`)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		switch path {
		case "/domains", "/records", "/geodns":
		default:
			return
		}
		switch method {
		case "GET", "POST", "PUT", "DELETE":
		default:
			return
		}
		req := apitest.Request(t, method, s.url+path, body, "X-Auth-Token", s.token)
		if r := apitest.Do(t, nil, req); r.Status >= 500 || r.JSON == nil {
			t.Errorf("%s %s %q: %d %s", method, path, body, r.Status, r.Text)
		}
	})
}
