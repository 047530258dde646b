package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/egress"
)

// PagerDutyURL is where events of PagerDuty's API v1 go.
const PagerDutyURL = "https://events.pagerduty.com/generic/2010-04-15/create_event.json"

const (
	httpTimeout  = 5 * time.Second // Monasca's
	maxAnswer    = 64 << 10        // bytes of an answer's body that are read
	maxRedirects = 3
)

// Render makes a text from a Jinja template; name stands for it in errors.
type Render func(ctx context.Context, name, template string, values map[string]any) (string, error)

// HTTPOptions wire an HTTP transport.
type HTTPOptions struct {
	// Guard says which addresses are closed; the zero Guard when nil.
	Guard *egress.Guard
	// Render is needed for methods with a template.
	Render Render
	// Token returns the token, "" for none, and the project's name for callbacks to orchestrators; nil for neither.
	Token func(ctx context.Context, tenant int) (token, project string, err error)
	// PagerDuty is the events URL; PagerDutyURL when empty.
	PagerDuty string
	// Resolver looks names up; the system's when nil.
	Resolver *net.Resolver
	// TLS is the client's configuration; the system's authorities when nil.
	TLS *tls.Config
	// Timeout of one try; 5 s when zero.
	Timeout time.Duration
}

// HTTP posts: it is the Transport of Webhook, OCCI, Slack and PagerDuty. It uses no proxy, which would
// connect in its place, and follows redirects only to the same scheme, host and port, and only those that
// keep the body (307 and 308).
type HTTP struct {
	o      HTTPOptions
	client *http.Client
}

// NewHTTP returns a transport. Close it when the last Send has returned.
func NewHTTP(o HTTPOptions) *HTTP {
	if o.Guard == nil {
		o.Guard = &egress.Guard{}
	}
	if o.PagerDuty == "" {
		o.PagerDuty = PagerDutyURL
	}
	if o.Timeout == 0 {
		o.Timeout = httpTimeout
	}
	dialer := &net.Dialer{Timeout: o.Timeout, Control: o.Guard.Control, Resolver: o.Resolver}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: o.TLS, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: o.Timeout, MaxIdleConns: 1000, MaxIdleConnsPerHost: 32, IdleConnTimeout: 30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return &HTTP{o, &http.Client{Transport: transport, CheckRedirect: redirect}}
}

// redirect allows what HTTP promises; what it refuses is answered with the redirect itself.
func redirect(to *http.Request, via []*http.Request) error {
	from := via[len(via)-1].URL
	if len(via) > maxRedirects || to.Method != http.MethodPost || to.URL.Scheme != from.Scheme || to.URL.Host != from.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// Close closes idle connections.
func (h *HTTP) Close() { h.client.CloseIdleConnections() }

// Send posts a delivery. The error is a *Failure; it tells nothing of the answer but its status.
func (h *HTTP) Send(ctx context.Context, m *Method, d *Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	request, err := h.request(ctx, m, d)
	if err != nil {
		return err
	}
	answer, err := h.client.Do(request)
	if err != nil {
		return h.failure(err)
	}
	defer answer.Body.Close()
	// The rest is read so that the connection can be used again.
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return judge(m.Type, answer, body)
}

func (h *HTTP) request(ctx context.Context, m *Method, d *Delivery) (*http.Request, error) {
	if m.Type == OCCI {
		return h.callback(ctx, m, d)
	}
	address, body, err := h.content(ctx, m, d)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, &Failure{Reason: "the address is no URL", Permanent: true}
	}
	r.Header.Set("Content-Type", "application/json")
	if m.Type != PagerDuty {
		finish(r, m, d, body)
	}
	return r, nil
}

// finish adds the user's headers and the marks.
func finish(r *http.Request, m *Method, d *Delivery, signed []byte) {
	r.Header.Set("User-Agent", "troupe")
	for name, value := range m.Headers {
		r.Header.Set(name, value)
	}
	mark(r.Header, d, m.Secret, signed, time.Now())
}

// content returns where a message goes and what is posted there.
func (h *HTTP) content(ctx context.Context, m *Method, d *Delivery) (address string, body []byte, err error) {
	if m.Type == PagerDuty {
		return h.o.PagerDuty, pagerDutyJSON(d, m), nil
	}
	text := ""
	if m.Template != "" {
		if text, err = rendered(ctx, h.o.Render, m, d); err != nil {
			return "", nil, err
		}
	}
	switch {
	case m.Type == Slack && m.Template == "":
		return m.Address, slackJSON(string(webhookJSON(d, m.Extra, "    "))), nil
	case m.Type == Slack:
		return m.Address, slackJSON(text), nil
	case m.Template == "":
		return m.Address, webhookJSON(d, m.Extra, ""), nil
	}
	return m.Address, []byte(text), nil
}

// rendered runs the method's template. One that fails now fails always, until somebody mends it.
func rendered(ctx context.Context, render Render, m *Method, d *Delivery) (string, error) {
	if render == nil {
		return "", &Failure{Reason: "this server renders no templates", Permanent: true}
	}
	text, err := render(ctx, "template", m.Template, d.values(m))
	if err != nil {
		return "", &Failure{Reason: fmt.Sprintf("render the body: %v", err), Permanent: ctx.Err() == nil}
	}
	return text, nil
}

// callback is the request that tells a service orchestrator: everything is in the headers, the body is
// empty. The value is the method's name, by which the orchestrator knows what to do. The signature covers
// the attribute in place of the body.
func (h *HTTP) callback(ctx context.Context, m *Method, d *Delivery) (*http.Request, error) {
	u, err := url.Parse(m.Address)
	if err != nil {
		return nil, &Failure{Reason: "the address is no URL", Permanent: true}
	}
	if q := u.Query(); q.Get("action") != "notify" {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += "action=notify"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return nil, &Failure{Reason: "the address is no URL", Permanent: true}
	}
	attribute := "notification.alarm_name=" + attributeValue(m.Name)
	r.Header.Set("Content-Type", "text/occi")
	r.Header.Set("Category", `notify; scheme="http://schemas.mobile-cloud-networking.eu/occi/service#"`)
	r.Header.Set("X-Occi-Attribute", attribute)
	if h.o.Token != nil {
		token, project, err := h.o.Token(ctx, d.Tenant)
		if err != nil {
			return nil, &Failure{Reason: fmt.Sprintf("get a token: %v", err)}
		}
		if token != "" {
			r.Header.Set("X-Auth-Token", token)
		}
		r.Header.Set("X-Tenant-Name", project)
	}
	finish(r, m, d, []byte(attribute))
	return r, nil
}

// attributeValue leaves a name as it is, as orchestrators expect it, unless that would end early.
func attributeValue(name string) string {
	if !strings.ContainsAny(name, `,"'`) && strings.TrimSpace(name) == name {
		return name
	}
	return `"` + strings.ReplaceAll(strings.ReplaceAll(name, `\`, `\\`), `"`, `\"`) + `"`
}

// judge decides whether an answer means that the message arrived.
func judge(t Type, answer *http.Response, body []byte) error {
	status := answer.StatusCode
	switch {
	case status >= 200 && status <= 299:
		return refusal(t, body)
	case status >= 300 && status <= 399:
		return &Failure{Reason: fmt.Sprintf("answered %d; redirects are followed only within one host, and only 307 and 308", status)}
	}
	return &Failure{
		Reason:     strings.TrimSpace(fmt.Sprintf("answered %d %s", status, http.StatusText(status))),
		Permanent:  status == http.StatusGone,
		RetryAfter: retryAfter(answer.Header.Get("Retry-After"), time.Now()),
	}
}

// refusal finds {"ok": false} in the answer of a chat, which comes with status 200.
func refusal(t Type, body []byte) error {
	var said struct {
		OK *bool `json:"ok"`
	}
	if t == Slack && json.Unmarshal(body, &said) == nil && said.OK != nil && !*said.OK {
		return &Failure{Reason: `answered "ok": false`}
	}
	return nil
}

// retryAfter reads seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// failure says what went wrong on the way without the URL, whose path may be a secret.
func (h *HTTP) failure(err error) *Failure {
	if refused := (*egress.RefusedError)(nil); errors.As(err, &refused) {
		return &Failure{Reason: refused.Error(), Permanent: true}
	}
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		if outer.Timeout() {
			return &Failure{Reason: fmt.Sprintf("no answer within %v", h.o.Timeout)}
		}
		err = outer.Err
	}
	return &Failure{Reason: err.Error()}
}
