package hurtle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/manager"
	"github.com/troupe-dev/troupe/occi"
)

// What orchestrators and Cloud Controllers look like over OCCI.
const (
	orchestratorScheme = "http://schemas.mobile-cloud-networking.eu/occi/service#"
	theOrchestrator    = "/orchestrator/default"
	appsLocation       = "/app/"

	orchestratorKind occi.TypeID = orchestratorScheme + "orchestrator"
	actDeploy        occi.TypeID = orchestratorScheme + "deploy"
	actProvision     occi.TypeID = orchestratorScheme + "provision"

	// AppKind is that of programs at a Cloud Controller.
	AppKind occi.TypeID = "http://schemas.ogf.org/occi/platform#app"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// newClient returns the client of all calls that leave the process. It follows no redirects: they would carry tokens elsewhere.
func newClient() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{
		Transport: bounded{&http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 2, MaxIdleConns: 1000, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: maxAnswer}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded cuts answers off that are too long.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// CloseIdleConnections passes on what http.Client asks for.
func (b bounded) CloseIdleConnections() { b.RoundTripper.(*http.Transport).CloseIdleConnections() }

// A target is an instance as calls need to know it.
type target struct {
	id, manager, program, address, delegation string
	tenant                                    int
	hosted                                    bool
	going                                     bool // it is being deleted
}

// target returns where the calls of the instance go. a.mu is held.
func (a *actor) target() target {
	i := a.instance
	return target{id: i.ID, manager: i.Manager, program: i.Program, address: i.Address, delegation: i.Delegation, tenant: i.Tenant, hosted: i.Hosted, going: i.State == manager.Destroy}
}

// call makes a call that the core has decided on.
func (h *Hurtle) call(ctx context.Context, t target, c *manager.Call) *manager.Answer {
	answer := &manager.Answer{Call: c.Kind, Number: c.Number, Outcome: manager.Done}
	var err error
	if c.Kind.Orchestrator() {
		err = h.callOrchestrator(ctx, t, c, answer)
	} else {
		err = h.callCloud(ctx, t, c, answer)
	}
	if err != nil {
		classify(err, answer)
	}
	h.log.Debug("call", "instance", t.id, "call", c.Kind.String(), "outcome", int(answer.Outcome), "status", answer.Status, "message", answer.Message)
	return answer
}

// classify says what an error makes of an answer.
func classify(err error, a *manager.Answer) {
	var refused *occi.Error
	var network *url.Error
	var dialing *net.OpError
	a.Message = err.Error()
	switch {
	case errors.As(err, &refused):
		a.Outcome, a.Status = manager.Refused, refused.Status
		if a.Message == "" {
			a.Message = http.StatusText(refused.Status)
		}
		if refused.Status == http.StatusServiceUnavailable {
			a.Outcome = manager.Unreachable
		}
	case errors.Is(err, identity.ErrDenied):
		a.Outcome = manager.Denied
	case errors.As(err, &dialing) && dialing.Op == "dial":
		a.Outcome = manager.Unreachable
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, io.ErrUnexpectedEOF):
		a.Outcome = manager.Unanswered
	default:
		a.Outcome = manager.Unreadable
	}
	a.Message = strings.ToValidUTF8(a.Message, "?")
	if len(a.Message) > 500 {
		a.Message = strings.ToValidUTF8(a.Message[:500], "") + "…"
	}
}

// occiAttributes are attributes as they are sent.
func occiAttributes(list []manager.Attribute) occi.Attributes {
	var out occi.Attributes
	for _, a := range list {
		if a.Quoted || !isNumber(a.Value) {
			out = append(out, occi.Attribute{Name: a.Name, Value: a.Value})
		} else {
			out = append(out, occi.Attribute{Name: a.Name, Value: json.Number(a.Value)})
		}
	}
	return out
}

func isNumber(s string) bool {
	return json.Valid([]byte(s)) && strings.Trim(s, "0123456789.eE+-") == ""
}

// attributesOf returns what an entity shows.
func attributesOf(e *occi.Entity) []manager.Attribute {
	out := make([]manager.Attribute, 0, len(e.Attributes))
	for _, a := range e.Attributes {
		out = append(out, manager.Attribute{Name: a.Name, Value: e.Attributes.Text(a.Name)})
	}
	return out
}

// orchestrator returns a client of the instance's orchestrator, who is told a token.
func (h *Hurtle) orchestrator(ctx context.Context, t target, token string) (*occi.Client, error) {
	c := &occi.Client{HTTP: h.net, URL: "http://" + strings.TrimPrefix(strings.TrimSuffix(t.address, "/"), "http://"), InHeaders: true, Accept: occi.TextOCCI,
		Header: http.Header{"X-Auth-Token": {token}, "X-Tenant-Name": {h.users.GroupName(t.tenant)}}}
	if t.hosted {
		if t.address == "" {
			return nil, errors.New("the Cloud Controller does not tell where the orchestrator is")
		}
		return c, nil
	}
	if h.opts.Orchestrators == nil || !h.opts.Orchestrators.Knows(t.program) {
		return nil, fmt.Errorf("this server has no orchestrator %q", t.program)
	}
	handler, err := h.opts.Orchestrators.Orchestrator(ctx, t.program, t.id)
	if err != nil {
		return nil, err
	}
	c.URL, c.HTTP = "http://"+t.id+".invalid", &http.Client{Transport: loopback{handler}}
	return c, nil
}

func (h *Hurtle) callOrchestrator(ctx context.Context, t target, c *manager.Call, a *manager.Answer) error {
	token, err := h.tokens.of(t.delegation)
	if errors.Is(err, identity.ErrDenied) && t.going { // a deletion that was accepted goes on, whoever wanted it
		token, err = h.users.Introduce(t.tenant)
	}
	if err != nil {
		return err
	}
	so, err := h.orchestrator(ctx, t, token)
	if err != nil {
		return err
	}
	attributes := occiAttributes(c.Attributes)
	switch c.Kind {
	case manager.Touch:
		return touch(ctx, so)
	case manager.Init:
		_, err = so.Create(ctx, "", &occi.Entity{Path: theOrchestrator, Kind: orchestratorKind, Attributes: attributes})
	case manager.Show:
		so.Accept = occi.JSON
		var e *occi.Entity
		if e, err = so.Get(ctx, theOrchestrator); err == nil {
			a.Attributes = attributesOf(e)
		}
	case manager.ActDeploy:
		err = so.Act(ctx, theOrchestrator, occi.Invocation{Action: actDeploy, Attributes: attributes})
	case manager.ActProvision:
		err = so.Act(ctx, theOrchestrator, occi.Invocation{Action: actProvision, Attributes: attributes})
	case manager.Dispose:
		err = so.Delete(ctx, theOrchestrator, attributes...)
	default:
		panic(fmt.Sprintf("hurtle: call %v is none that an instance decides on", c.Kind))
	}
	return err
}

// touch asks whether an orchestrator answers at its root.
func touch(ctx context.Context, so *occi.Client) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, so.URL+"/", http.NoBody)
	if err != nil {
		return err
	}
	r.Header = so.Header.Clone()
	resp, err := so.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return occi.Errorf(resp.StatusCode, "its root answers with status %d", resp.StatusCode)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// cloud returns a client of the Cloud Controller of a manager. That of this server acts for whoever is behind the delegation.
func (h *Hurtle) cloud(m *Manager, t target) (*occi.Client, error) {
	c := &occi.Client{HTTP: h.net, InHeaders: true, Accept: occi.TextOCCI}
	if m.Cloud != nil {
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(m.Cloud.User, m.Cloud.Password)
		c.URL, c.Header = strings.TrimSuffix(m.Cloud.URL, "/"), r.Header
		return c, nil
	}
	who, err := h.users.Delegated(t.delegation)
	if errors.Is(err, identity.ErrDenied) && t.going {
		if who, err = h.users.As(identity.AdminUser); err == nil {
			who.Group = t.tenant
		}
	}
	if err != nil {
		return nil, err
	}
	c.URL = h.opts.CloudURL()
	root, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	c.HTTP = &http.Client{Transport: as{who, loopback{http.StripPrefix(root.Path, h.opts.Cloud())}}}
	return c, nil
}

func (h *Hurtle) callCloud(ctx context.Context, t target, c *manager.Call, a *manager.Answer) error {
	m, err := h.Manager(t.manager)
	if err != nil {
		return err
	}
	cc, err := h.cloud(m, t)
	if err != nil {
		return err
	}
	path := appsLocation + t.id
	switch c.Kind {
	case manager.ProbeHost:
		var model *occi.Model
		if model, err = cc.Discover(ctx); err == nil {
			a.Generation, err = generation(model)
		}
	case manager.MakeApp:
		env := slices.Concat([]string{"DESIGN_URI=" + h.opts.DesignURL()}, m.Environment)
		if path, err = cc.Create(ctx, appsLocation, &occi.Entity{Kind: AppKind, Attributes: occi.Attributes{
			{Name: "occi.app.name", Value: t.id}, {Name: "occi.app.image", Value: t.program}, {Name: "occi.app.env", Value: strings.Join(env, "::")}}}); err == nil {
			a.Location = cc.URL + path
		}
	case manager.ShowApp:
		var e *occi.Entity
		if e, err = cc.Get(ctx, path); err == nil {
			a.Location, a.Attributes = cc.URL+path, attributesOf(e)
		}
	case manager.RemoveApp:
		err = cc.Delete(ctx, path)
	default:
		panic(fmt.Sprintf("hurtle: call %v is none that an instance decides on", c.Kind))
	}
	return err
}

// generation tells Cloud Controllers apart as the original does: only the third generation takes images.
func generation(m *occi.Model) (int, error) {
	app := m.Find(AppKind)
	if app == nil {
		return 0, occi.Errorf(http.StatusBadGateway, "the Cloud Controller has no kind %s", AppKind)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(app.Attributes, func(d occi.AttributeDef) bool { return d.Name == name })
	}
	if has("occi.app.image") && has("occi.app.env") {
		return 3, nil
	}
	return 2, nil
}
