// Package notify tells people and programs about changes of alarms: webhooks, OCCI callbacks to
// orchestrators, e-mail, Slack, PagerDuty, and commands of the operator's own.
//
// A Method says how and whom to tell, a Message what. A Delivery is one message on its way by one
// method: a pure state machine whose record is written together with the transition that caused it and
// goes when it has arrived. The Sender carries deliveries out, each at least once, in order for each
// alarm and method; what one receiver does never holds up another. Faces that reach outside are behind
// the interface Transport.
package notify

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/troupe-dev/troupe/internal/egress"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Type is a way of telling.
type Type string

// The types. OCCI is the callback to a service orchestrator of Hurtle's.
const (
	Webhook   Type = "WEBHOOK"
	OCCI      Type = "OCCI_WEBHOOK"
	Email     Type = "EMAIL"
	Slack     Type = "SLACK"
	PagerDuty Type = "PAGERDUTY"
	Command   Type = "COMMAND"
)

// Types are all types, in the order in which they are listed.
var Types = []Type{Email, PagerDuty, Webhook, OCCI, Slack, Command}

// ParseType reads a type in any case; "OCCI" is short for OCCI_WEBHOOK. What is unknown is only put in
// upper case: Validate refuses it.
func ParseType(s string) Type {
	t := Type(strings.ToUpper(strings.TrimSpace(s)))
	if t == "OCCI" {
		return OCCI
	}
	return t
}

// Bounds of a method. Lengths are in characters, those of headers and templates in bytes.
const (
	MaxMethodName  = 250
	MaxAddress     = 512
	MaxSecret      = 1024
	MaxHeaders     = 20
	MaxHeaderBytes = 4096
	MaxTemplate    = 32 << 10
)

// A Method says how somebody is told. Secret and the values of Headers are secrets.
type Method struct {
	ID     string `json:"id"`
	Tenant int    `json:"tenant"` // the project's group
	Name   string `json:"name"`
	Type   Type   `json:"type"`
	// Address is a URL (Webhook, OCCI, Slack), a mail address, PagerDuty's service key, or the name of a
	// command in the server's settings.
	Address string `json:"address"`
	// Period is the time between repetitions in seconds, while the alarm keeps its state; 0 for none.
	Period int `json:"period,omitempty"`
	// Secret signs what is posted; "" for no signature.
	Secret string `json:"secret,omitempty"`
	// Headers are added to what is posted.
	Headers map[string]string `json:"headers,omitempty"`
	// Template is a Jinja template that makes the body (Webhook) or the text (Slack, Email).
	Template string `json:"template,omitempty"`
	// Extra adds what Monasca's format has no keys for: to the body of Webhook and Slack; for PagerDuty it
	// joins the incidents of one alarm and resolves them.
	Extra bool `json:"extra,omitempty"`
	// Service is the one whose life is told by the method, which ends with it; 0 for a method of alarms.
	Service uint64 `json:"service,omitempty"`
}

// String names a method without its secrets, of which an address may be one.
func (m Method) String() string { return fmt.Sprintf("%s %q (%s)", m.Type, m.Name, m.ID) }

// LogValue is String's: no secret comes into a log.
func (m Method) LogValue() slog.Value { return slog.StringValue(m.String()) }

// posts reports whether a type is an HTTP request of the user's own.
func (t Type) posts() bool { return t == Webhook || t == OCCI || t == Slack }

// A Problem is something wrong at a place of a method, such as "address".
type Problem struct{ Path, Text string }

func (p *Problem) Error() string { return p.Path + ": " + p.Text }

// Problems are what is wrong with a method, in the order of its fields.
type Problems []*Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, x := range p {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// Rules are a server's settings about methods.
type Rules struct {
	Types    []Type   // that can be chosen
	Periods  []int    // that can be chosen besides 0, in seconds
	Commands []string // that can be chosen, by name
	// CheckTemplate parses a template; name stands for it in the error. Without it none is accepted.
	CheckTemplate func(name, text string) error
	// Guard refuses addresses written as numbers that could never be reached. nil refuses none.
	Guard *egress.Guard
}

// DefaultPeriods are Monasca's.
var DefaultPeriods = []int{60}

// Validate checks a method. The error is of type Problems.
func (r *Rules) Validate(m *Method) error {
	v := &methodCheck{rules: r, m: m}
	v.name()
	v.kind()
	v.address()
	v.period()
	v.posted()
	v.template()
	if len(v.found) == 0 {
		return nil
	}
	return v.found
}

type methodCheck struct {
	rules *Rules
	m     *Method
	found Problems
}

func (v *methodCheck) fail(path, format string, args ...any) {
	v.found = append(v.found, &Problem{path, fmt.Sprintf(format, args...)})
}

// text checks what every text must be: there, UTF-8, not too long, without control characters.
func (v *methodCheck) text(path, s string, most int) bool {
	switch {
	case s == "":
		v.fail(path, "is missing")
	case !utf8.ValidString(s):
		v.fail(path, "is not UTF-8")
	case utf8.RuneCountInString(s) > most:
		v.fail(path, "has %d characters; at most %d are allowed", utf8.RuneCountInString(s), most)
	case strings.ContainsFunc(s, unicode.IsControl):
		v.fail(path, "holds a control character")
	default:
		return true
	}
	return false
}

func (v *methodCheck) name() { v.text("name", v.m.Name, MaxMethodName) }

func (v *methodCheck) kind() {
	if v.m.Type == "" {
		v.fail("type", "is missing; one of %s", join(v.rules.Types))
	} else if !slices.Contains(v.rules.Types, v.m.Type) {
		known := make([]string, len(v.rules.Types))
		for i, t := range v.rules.Types {
			known[i] = string(t)
		}
		v.fail("type", "%.40q is none of %s%s", v.m.Type, join(v.rules.Types), nearest.Hint(string(v.m.Type), known))
	}
}

func join(types []Type) string {
	var b strings.Builder
	for i, t := range types {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(t))
	}
	return b.String()
}

func (v *methodCheck) address() {
	m := v.m
	if !v.text("address", m.Address, MaxAddress) {
		return
	}
	switch m.Type {
	case Webhook, OCCI, Slack:
		v.url()
	case Email:
		if a, err := mail.ParseAddress(m.Address); err != nil || a.Address != m.Address {
			v.fail("address", "%.80q is no mail address; write it as name@example.org", m.Address)
		}
	case Command:
		if !slices.Contains(v.rules.Commands, m.Address) {
			v.fail("address", "no command %.40q in the server's settings%s", m.Address, nearest.Hint(m.Address, v.rules.Commands))
		}
	}
}

// url never repeats the address: its path may be the secret.
func (v *methodCheck) url() {
	u, err := url.Parse(v.m.Address)
	switch {
	case err != nil:
		v.fail("address", "is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		v.fail("address", "has the scheme %.20q; http or https is needed", u.Scheme)
	case u.Hostname() == "":
		v.fail("address", "names no host")
	case u.Port() != "" && !validPort(u.Port()):
		v.fail("address", "has the port %.20s; from 1 to 65535 is needed", u.Port())
	default:
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && v.rules.Guard != nil {
			if err := v.rules.Guard.Check(ip); err != nil {
				v.fail("address", "%v", err)
			}
		}
	}
}

func validPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

func (v *methodCheck) period() {
	if v.m.Period != 0 && !slices.Contains(v.rules.Periods, v.m.Period) {
		v.fail("period", "%d is none of the periods of this server: 0%s", v.m.Period, list(v.rules.Periods))
	}
}

func list(numbers []int) string {
	var b strings.Builder
	for _, n := range numbers {
		fmt.Fprintf(&b, ", %d", n)
	}
	return b.String()
}

// own are headers that are the transport's, and that a user's would break.
var own = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Te", "Upgrade", "Keep-Alive",
	"Proxy-Connection", "Proxy-Authorization", "Expect", "Accept-Encoding"}

// posted checks what belongs to HTTP requests only.
func (v *methodCheck) posted() {
	m := v.m
	if (m.Secret != "" || len(m.Headers) > 0) && !m.Type.posts() {
		v.fail("type", "%s posts nothing of yours: secret and headers do not belong to it", m.Type)
		return
	}
	if len(m.Secret) > MaxSecret {
		v.fail("secret", "has more than %d bytes", MaxSecret)
	}
	if len(m.Headers) > MaxHeaders {
		v.fail("headers", "there are %d; at most %d are allowed", len(m.Headers), MaxHeaders)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		at, value, canonical := "headers."+name, m.Headers[name], http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			v.fail("headers", "%.40q cannot name a header", name)
		case slices.Contains(own, canonical) || strings.HasPrefix(canonical, headerPrefix):
			v.fail(at, "is set by Troupe itself")
		case !httpguts.ValidHeaderFieldValue(value):
			v.fail(at, "the value holds a character that no header may hold")
		case len(name)+len(value) > MaxHeaderBytes:
			v.fail(at, "name and value have more than %d bytes", MaxHeaderBytes)
		}
	}
}

func (v *methodCheck) template() {
	text := v.m.Template
	switch {
	case text == "":
	case v.m.Type != Webhook && v.m.Type != Slack && v.m.Type != Email:
		v.fail("template", "%s has a form of its own", v.m.Type)
	case v.rules.CheckTemplate == nil:
		v.fail("template", "this server renders no templates")
	case len(text) > MaxTemplate:
		v.fail("template", "has %d bytes; at most %d are allowed", len(text), MaxTemplate)
	default:
		if err := v.rules.CheckTemplate("template", text); err != nil {
			v.fail("template", "%s", strings.TrimPrefix(err.Error(), "template: "))
		}
	}
}

// hidden stands for what is not shown.
const hidden = "(secret)"

// Shown returns the address as it may be shown: without what lets others tell the same receiver.
func (m *Method) Shown() string {
	switch m.Type {
	case PagerDuty:
		return hidden
	case Webhook, OCCI, Slack:
	default:
		return m.Address
	}
	u, err := url.Parse(m.Address)
	if err != nil { // methods are checked
		return hidden
	}
	if m.Type == Slack {
		return u.Scheme + "://" + u.Host + "/" + hidden
	}
	query := ""
	if m.Type == Webhook && u.RawQuery != "" {
		u.RawQuery, query = "", "?"+hidden
	}
	if _, given := u.User.Password(); given {
		u.User = url.User(u.User.Username())
	}
	return u.String() + query
}
