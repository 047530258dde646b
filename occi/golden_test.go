package occi_test

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/occi"
)

// An exchange is one that was recorded with Hurtle's own orchestrator.
type exchange struct {
	Name    string
	Request struct {
		Method, Target string
		Headers        [][2]string
		Body           *string
	}
	Response struct {
		Status  int
		Headers [][2]string
		Body    string
	}
	Compare string
}

const service = "http://schemas.mobile-cloud-networking.eu/occi/service#"

// orchestrator is Hurtle's sample orchestrator as far as its clients see: one resource with a state.
type orchestrator struct {
	*memory
	state string // the action that comes next
}

func newOrchestrator() *orchestrator {
	return &orchestrator{memory: newMemory(occi.MustModel(
		occi.Category{ID: service + "orchestrator", Class: occi.Kind, Parent: occi.CoreResource, Location: "/orchestrator/",
			Attributes: []occi.AttributeDef{{Name: "occi.mcn.stack.state", Immutable: true}, {Name: "occi.mcn.stack.id", Immutable: true}},
			Actions:    []occi.TypeID{service + "deploy", service + "provision"}},
		occi.Category{ID: service + "provision", Class: occi.Action},
		occi.Category{ID: service + "deploy", Class: occi.Action},
	))}
}

func (o *orchestrator) Create(ctx context.Context, e *occi.Entity) (*occi.Entity, error) {
	e.Attributes.Set("occi.mcn.stack.state", "uninitialized")
	e.Attributes.Set("occi.mcn.stack.id", "N/A")
	e, err := o.memory.Create(ctx, e)
	o.state = "deploy"
	return o.offering(e), err
}

// offering returns the entity with the action that comes next.
func (o *orchestrator) offering(e *occi.Entity) *occi.Entity {
	if e == nil {
		return nil
	}
	out := *e
	if o.state != "" {
		out.Actions = []occi.TypeID{occi.TypeID(service + o.state)}
	}
	return &out
}

func (o *orchestrator) List(ctx context.Context, s occi.Selection) iter.Seq2[*occi.Entity, error] {
	return func(yield func(*occi.Entity, error) bool) {
		for e := range o.memory.List(ctx, s) {
			if !yield(o.offering(e), nil) {
				return
			}
		}
	}
}

func (o *orchestrator) Get(ctx context.Context, path string) (*occi.Entity, error) {
	e, err := o.memory.Get(ctx, path)
	return o.offering(e), err
}

func (o *orchestrator) Update(ctx context.Context, path string, c occi.Change) (*occi.Entity, error) {
	e, err := o.memory.Update(ctx, path, occi.Change{Attributes: c.Attributes, Add: c.Add, Remove: c.Remove})
	return o.offering(e), err
}

func (o *orchestrator) Act(ctx context.Context, path string, a occi.Invocation) (*occi.Entity, error) {
	o.state = map[string]string{"deploy": "provision"}[a.Action.Term()]
	return o.Get(ctx, path)
}

// hurtleTenant is the check of Hurtle's orchestrators.
func hurtleTenant(r *http.Request) (occi.Caller, error) {
	for _, name := range []string{"X-Auth-Token", "X-Tenant-Name"} {
		if r.Header.Get(name) == "" {
			return occi.Caller{}, occi.Errorf(http.StatusForbidden, "%s required...", name)
		}
	}
	return occi.Caller{Tenant: r.Header.Get("X-Tenant-Name")}, nil
}

// recorded are the exchanges that depend on the protocol alone, not on what an orchestrator does behind it.
var recorded = []string{"no-token", "no-tenant", "get-before-init", "query-interface-plain", "query-interface-occi", "query-interface-json",
	"query-interface-wellknown", "query-interface-urilist", "root-collection", "init-without-category", "init-unknown-category", "init",
	"get-after-init-default", "get-after-init-occi", "get-after-init-json", "get-unknown-accept", "get-star-accept", "collection-urilist",
	"collection-plain", "collection-occi", "collection-json", "provision-before-deploy", "second-init-replace", "deploy", "deploy-again",
	"delete", "get-after-delete", "init-plain-body", "get-after-plain-init"}

func TestRecorded(t *testing.T) {
	text, err := os.ReadFile("testdata/so-atomic.json")
	if err != nil {
		t.Fatal(err)
	}
	var suite struct{ Exchanges []exchange }
	if err := json.Unmarshal(text, &suite); err != nil {
		t.Fatal(err)
	}
	server := occi.NewServer(occi.Options{Backend: newOrchestrator(), Authenticate: hurtleTenant, Hurtle: true, Check: occi.Unchecked, Version: "1.1"})
	done := 0
	for _, x := range suite.Exchanges {
		if !slices.Contains(recorded, x.Name) {
			continue
		}
		done++
		t.Run(x.Name, func(t *testing.T) { x.replay(t, server) })
	}
	if done != len(recorded) {
		t.Errorf("%d of %d exchanges are in the file", done, len(recorded))
	}
}

func (x *exchange) replay(t *testing.T, server http.Handler) {
	var body io.Reader
	if x.Request.Body != nil {
		body = strings.NewReader(*x.Request.Body)
	}
	r := httptest.NewRequest(x.Request.Method, "http://127.0.0.1:18052"+x.Request.Target, body)
	for _, h := range x.Request.Headers {
		r.Header.Add(h[0], h[1])
	}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	if w.Code != x.Response.Status {
		t.Fatalf("status %d, recorded was %d; %s", w.Code, x.Response.Status, w.Body)
	}
	if s := w.Header().Get("Server"); !strings.Contains(s, "OCCI/1.1") {
		t.Errorf("Server is %q", s)
	}
	for _, h := range x.Response.Headers {
		switch name := strings.ToLower(h[0]); name {
		case "date", "server", "content-length":
		case "category", "link", "x-occi-attribute", "x-occi-location":
			if got := header(w.Header(), h[0]); !slices.Equal(members(got, ", "), members(h[1], ", ")) {
				t.Errorf("%s is\n%s\nrecorded was\n%s", h[0], got, h[1])
			}
		default:
			if got := w.Header().Get(h[0]); got != h[1] {
				t.Errorf("%s is %q, recorded was %q", h[0], got, h[1])
			}
		}
	}
	got, want := w.Body.String(), x.Response.Body
	if strings.HasPrefix(want, "[") || strings.HasPrefix(want, "{") {
		got, want = canonical(t, got), canonical(t, want)
	}
	if !slices.Equal(members(got, "\n"), members(want, "\n")) {
		t.Errorf("the body is\n%s\nrecorded was\n%s", got, want)
	}
	if strings.HasPrefix(want, "\n") != strings.HasPrefix(got, "\n") {
		t.Error("the first line of the body is not as recorded")
	}
}

// header returns a header whatever its spelling.
func header(h http.Header, name string) string {
	for n, v := range h {
		if strings.EqualFold(n, name) {
			return strings.Join(v, ", ")
		}
	}
	return ""
}

// members returns the parts of a list in one order.
func members(s, sep string) []string {
	out := strings.Split(s, sep)
	slices.Sort(out)
	return out
}

// moving are values that what is behind the protocol decides.
var moving = regexp.MustCompile(`"(location|link)": "http://[^/]*`)

func canonical(t *testing.T, text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return moving.ReplaceAllString(string(out), `"$1": "`)
}
