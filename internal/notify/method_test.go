package notify

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/egress"
)

func rules() *Rules {
	return &Rules{
		Types: Types, Periods: DefaultPeriods, Commands: []string{"page-me"}, Guard: &egress.Guard{Setting: "--notify-allow"},
		CheckTemplate: func(name, text string) error {
			if strings.Contains(text, "{{") != strings.Contains(text, "}}") {
				return errors.New(name + ": line 1: not closed")
			}
			return nil
		},
	}
}

func TestValidate(t *testing.T) {
	hook := Method{Name: "hook", Type: Webhook, Address: "https://example.org/x"}
	with := func(change func(*Method)) Method {
		m := hook
		change(&m)
		return m
	}
	for _, x := range []struct {
		name   string
		m      Method
		places string // of the problems, in order
		hint   string
	}{
		{"webhook", hook, "", ""},
		{"all of it", with(func(m *Method) {
			m.Period, m.Secret, m.Headers, m.Template = 60, "s", map[string]string{"authorization": "Bearer x", "Content-Type": "text/plain"}, "{{ state }}"
		}), "", ""},
		{"private", with(func(m *Method) { m.Address = "http://10.0.0.1:8080/" }), "", ""},
		{"orchestrator", Method{Name: "alarm-0001", Type: ParseType("occi_webhook"), Address: "http://so.test/"}, "", ""},
		{"short name", Method{Name: "n", Type: ParseType(" occi"), Address: "http://so.test/"}, "", ""},
		{"mail", Method{Name: "m", Type: ParseType("email"), Address: "root@localhost"}, "", ""},
		{"pager", Method{Name: "m", Type: PagerDuty, Address: "any text"}, "", ""},
		{"command", Method{Name: "m", Type: Command, Address: "page-me"}, "", ""},
		{"nothing", Method{}, "name type address", ""},
		{"unknown type", with(func(m *Method) { m.Type = ParseType("webhok") }), "type", `did you mean "WEBHOOK"?`},
		{"long name", with(func(m *Method) { m.Name = strings.Repeat("é", 251) }), "name", ""},
		{"long enough name", with(func(m *Method) { m.Name = strings.Repeat("é", 250) }), "", ""},
		{"header in a name", with(func(m *Method) { m.Name = "a\r\nX-Auth-Token: x" }), "name", "control"},
		{"long address", with(func(m *Method) { m.Address = "http://x/" + strings.Repeat("y", 504) }), "address", ""},
		{"scheme", with(func(m *Method) { m.Address = "ftp://x/" }), "address", "http or https"},
		{"host", with(func(m *Method) { m.Address = "http:///x" }), "address", "host"},
		{"port", with(func(m *Method) { m.Address = "http://x:99999/" }), "address", "has the port 99999; from 1 to 65535"},
		{"port 0", with(func(m *Method) { m.Address = "http://x:0/" }), "address", "port 0"},
		{"last port", with(func(m *Method) { m.Address = "http://x:65535/" }), "", ""},
		{"no URL", with(func(m *Method) { m.Address = "http://[::1" }), "address", ""},
		{"loopback", with(func(m *Method) { m.Address = "http://127.0.0.1/" }), "address", "--notify-allow"},
		{"no mail", Method{Name: "m", Type: Email, Address: "Root <root@localhost>"}, "address", ""},
		{"no mail at all", Method{Name: "m", Type: Email, Address: "root"}, "address", ""},
		{"unknown command", Method{Name: "m", Type: Command, Address: "pageme"}, "address", `did you mean "page-me"?`},
		{"period", with(func(m *Method) { m.Period = 30 }), "period", "0, 60"},
		{"negative period", with(func(m *Method) { m.Period = -1 }), "period", ""},
		{"own header", with(func(m *Method) { m.Headers = map[string]string{"host": "x"} }), "headers.host", ""},
		{"forged header", with(func(m *Method) { m.Headers = map[string]string{"x-troupe-signature": "x"} }), "headers.x-troupe-signature", ""},
		{"header's name", with(func(m *Method) { m.Headers = map[string]string{"a b": "x"} }), "headers", ""},
		{"header's value", with(func(m *Method) { m.Headers = map[string]string{"a": "x\ny"} }), "headers.a", ""},
		{"secret of a mail", Method{Name: "m", Type: Email, Address: "a@b", Secret: "x"}, "type", ""},
		{"template", with(func(m *Method) { m.Template = "{{ state" }), "template", "line 1"},
		{"template of a callback", Method{Name: "m", Type: OCCI, Address: "http://x/", Template: "x"}, "template", ""},
	} {
		err := rules().Validate(&x.m)
		var places []string
		if p := (Problems)(nil); errors.As(err, &p) {
			for _, one := range p {
				places = append(places, one.Path)
			}
		} else if err != nil {
			t.Errorf("%s: %T", x.name, err)
		}
		if got := strings.Join(places, " "); got != x.places || err != nil && !strings.Contains(err.Error(), x.hint) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	m := with(func(m *Method) { m.Template = "x" })
	if (&Rules{Types: Types}).Validate(&m) == nil {
		t.Error("a template without a renderer passed")
	}
}

func TestNoSecretInPrint(t *testing.T) {
	m := Method{ID: "7", Name: "hook", Type: Slack, Address: "https://chat.test/s3cret", Secret: "s3cret", Headers: map[string]string{"Authorization": "s3cret"}}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "method", m, "pointer", &m)
	for _, text := range []string{b.String(), fmt.Sprintf("%v %+v %s", m, &m, m)} {
		if strings.Contains(text, "s3cret") || !strings.Contains(text, "hook") {
			t.Error(text)
		}
	}
}
