package hurtle_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
)

// The stub is an orchestrator: a program of its own, which the Cloud Controller starts as a process. It speaks what Hurtle's orchestrators
// speak, written down here without the help of package occi, and asks the test before it answers.

// A stubCall is what the stub tells the test of a request.
type stubCall struct {
	Instance   string // DC_NAME
	Request    string // "POST /orchestrator/default?action=deploy"
	Attributes string // the header X-OCCI-Attribute
	Category   string
	Token      string
	Tenant     string
	Env        map[string]string
}

// An order is what the test has the stub do; the zero order is to answer as orchestrators do.
type order struct {
	Status  int               // answer with this one
	Body    string            // and this
	Type    string            // as this media type
	Crash   bool              // end the program instead
	Late    bool              // do it, and end the program before it is answered
	Hang    bool              // never answer
	Stack   string            // state of the stack from now on
	Outputs map[string]string // attributes from now on
}

type stub struct {
	mu         sync.Mutex
	there      bool
	action     string
	stack      string
	attributes map[string]string
}

const stubScheme = "http://schemas.mobile-cloud-networking.eu/occi/service#"

// runStub is the stub's main.
func runStub() int {
	s := &stub{attributes: map[string]string{}}
	l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("TROUPE_ADDRESS"), "8080"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("the stub of", os.Getenv("DC_NAME"), "listens at", l.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(l, s))
	return 1
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o := s.tell(r)
	switch {
	case o.Crash:
		os.Exit(3)
	case o.Hang:
		<-r.Context().Done()
		return
	case o.Status != 0:
		w.Header().Set("Content-Type", o.Type)
		w.WriteHeader(o.Status)
		_, _ = io.WriteString(w, o.Body)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Stack != "" {
		s.stack = o.Stack
	}
	maps.Copy(s.attributes, o.Outputs)
	answer := &bytes.Buffer{}
	status := s.serve(r, w.Header(), answer)
	if o.Late {
		os.Exit(3)
	}
	w.WriteHeader(status)
	_, _ = io.Copy(w, answer)
}

// tell tells the test of a request and returns what to do.
func (s *stub) tell(r *http.Request) (o order) {
	env := map[string]string{}
	for _, name := range []string{"DESIGN_URI", "DC_NAME", "CC_ADMIN_URL", "OPENSHIFT_REPO_DIR", "APP_URL", "TROUPE_DATA"} {
		env[name] = os.Getenv(name)
	}
	text, _ := json.Marshal(stubCall{os.Getenv("DC_NAME"), r.Method + " " + r.URL.RequestURI(), strings.Join(r.Header["X-Occi-Attribute"], ", "), r.Header.Get("Category"),
		r.Header.Get("X-Auth-Token"), r.Header.Get("X-Tenant-Name"), env})
	resp, err := http.Post(os.Getenv("APP_TEST"), "application/json", bytes.NewReader(text))
	if err != nil {
		return o
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(&o)
	return o
}

func (s *stub) serve(r *http.Request, h http.Header, body *bytes.Buffer) int {
	refuse := func(status int, text string) int { body.WriteString(text); return status }
	switch {
	case r.Header.Get("X-Auth-Token") == "" || r.Header.Get("X-Tenant-Name") == "":
		return refuse(403, "X-Auth-Token required...")
	case r.URL.Path == "/":
		return 200
	case r.URL.Path != "/orchestrator/default" || !s.there && r.Method != "PUT":
		return refuse(404, "Resource not found")
	}
	category, _, _ := strings.Cut(r.Header.Get("Category"), ";")
	switch action := r.URL.Query().Get("action"); {
	case r.Method == "PUT":
		if category != "orchestrator" {
			return refuse(400, "Could not find a valid kind.")
		}
		s.merge(r)
		if s.there {
			s.render(r, h, body)
			return 200
		}
		s.there, s.action, s.stack = true, "deploy", "uninitialized"
		h.Set("Location", "http://"+r.Host+r.URL.Path)
		return refuse(201, "OK")
	case r.Method == "DELETE":
		s.there, s.action, s.stack, s.attributes = false, "", "", map[string]string{}
		return refuse(200, "OK")
	case r.Method == "POST" && action != "":
		if category != action || s.action != action {
			return refuse(400, "Not applicable atm.")
		}
		if s.action, s.stack = "provision", "CREATE_IN_PROGRESS"; action == "provision" {
			s.action, s.stack = "", "UPDATE_IN_PROGRESS"
		}
		s.merge(r)
	case r.Method == "POST":
		s.merge(r)
		s.stack = "UPDATE_IN_PROGRESS"
	case strings.HasSuffix(s.stack, "_IN_PROGRESS"): // which takes as long as one look
		defer func() {
			s.stack = strings.TrimSuffix(s.stack, "IN_PROGRESS") + "COMPLETE"
			s.attributes["shop.url"] = "http://192.0.2.10/"
		}()
	}
	s.render(r, h, body)
	return 200
}

// merge takes over the attributes of a request. A comma in quotes does not part them.
func (s *stub) merge(r *http.Request) {
	quoted := false
	for _, pair := range strings.FieldsFunc(strings.Join(r.Header["X-Occi-Attribute"], ", "), func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return c == ',' && !quoted
	}) {
		if name, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok {
			s.attributes[name] = strings.Trim(value, `"`)
		}
	}
}

func (s *stub) render(r *http.Request, h http.Header, body *bytes.Buffer) {
	all := maps.Clone(s.attributes)
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	all["occi.mcn.stack.state"], all["occi.mcn.stack.id"], all["occi.core.id"] = s.stack, "stack-1", "/orchestrator/default"
	if strings.Contains(r.Header.Get("Accept"), "json") {
		h.Set("Content-Type", "application/occi+json")
		_ = json.NewEncoder(body).Encode(map[string]any{"kind": map[string]any{"term": "orchestrator", "scheme": stubScheme, "related": []string{"http://schemas.ogf.org/occi/core#resource"}, "location": "/orchestrator/"},
			"attributes": all, "actions": []any{}, "links": []any{}, "mixins": []any{}})
		return
	}
	h.Set("Content-Type", "text/occi")
	h.Set("Category", `orchestrator; scheme="`+stubScheme+`"; class="kind"`)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+`="`+all[name]+`"`)
	}
	h.Set("X-OCCI-Attribute", strings.Join(list, ", "))
	body.WriteString("OK")
}

// A director is the test's side of all stubs: it notes what they tell and orders what they do.
type director struct {
	mu     sync.Mutex
	calls  []stubCall
	orders func(stubCall) order
}

// ServeHTTP implements http.Handler.
func (d *director) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var c stubCall
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		http.Error(w, err.Error(), 400)
		return
	}
	d.mu.Lock()
	d.calls = append(d.calls, c)
	orders := d.orders
	d.mu.Unlock()
	var o order
	if orders != nil {
		o = orders(c)
	}
	_ = json.NewEncoder(w).Encode(o)
}

// direct replaces the orders; nil lets all do as orchestrators do.
func (d *director) direct(f func(stubCall) order) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.orders = f
}

// of returns the calls to the stub of an instance that began with a text.
func (d *director) of(instance, request string) []stubCall {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []stubCall
	for _, c := range d.calls {
		if c.Instance == instance && strings.HasPrefix(c.Request, request) {
			out = append(out, c)
		}
	}
	return out
}
