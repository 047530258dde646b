package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

const mailTimeout = 20 * time.Second

// Encryption of the way to the mail server.
const (
	StartTLS = "starttls" // demanded, not only tried
	TLS      = "tls"      // from the first byte
	Plain    = "plain"    // none: for a server on this machine
)

// MailOptions are the operator's mail server. It may be anywhere: no Guard applies.
type MailOptions struct {
	Server         string // host, or host:port; the port follows Encryption when absent: 587, 465, 25
	Encryption     string // StartTLS when empty
	User, Password string // no authentication when User is empty
	From           string // the sender's address, "Troupe <troupe@example.org>"
	// Render is needed for methods with a template.
	Render Render
	// TLS is the client's configuration; the system's authorities when nil.
	TLS *tls.Config
	// Timeout of one try; 20 s when zero.
	Timeout time.Duration
}

// Mail sends e-mail by SMTP: the Transport of Email.
type Mail struct {
	o       MailOptions
	host    string
	options []mail.Option
	domain  string // of the sender
}

// NewMail checks the options. It makes no connection.
func NewMail(o MailOptions) (*Mail, error) {
	m := &Mail{o: o, host: o.Server}
	port := 0
	if host, text, err := net.SplitHostPort(o.Server); err == nil {
		m.host = host
		if port, err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("mail server %q: the port is no number", o.Server)
		}
	}
	if o.Timeout == 0 {
		m.o.Timeout = mailTimeout
	}
	m.options = []mail.Option{mail.WithTimeout(m.o.Timeout), mail.WithoutNoop()}
	switch o.Encryption {
	case StartTLS, "":
		port = either(port, 587)
		m.options = append(m.options, mail.WithTLSPolicy(mail.TLSMandatory))
	case TLS:
		port = either(port, 465)
		m.options = append(m.options, mail.WithSSL())
	case Plain:
		port = either(port, 25)
		m.options = append(m.options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, fmt.Errorf("mail encryption %q: one of %s, %s and %s is needed", o.Encryption, StartTLS, TLS, Plain)
	}
	m.options = append(m.options, mail.WithPort(port))
	if o.TLS != nil {
		m.options = append(m.options, mail.WithTLSConfig(o.TLS))
	}
	if o.User != "" {
		m.options = append(m.options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(o.User), mail.WithPassword(o.Password))
	}
	if _, err := mail.NewClient(m.host, m.options...); err != nil {
		return nil, fmt.Errorf("mail server %q: %w", o.Server, err)
	}
	probe := mail.NewMsg()
	if err := probe.From(o.From); err != nil {
		return nil, fmt.Errorf("mail sender %q: %w", o.From, err)
	}
	_, m.domain, _ = strings.Cut(probe.GetFrom()[0].Address, "@")
	return m, nil
}

func either(port, usual int) int {
	if port == 0 {
		return usual
	}
	return port
}

// Send delivers one mail over a connection of its own.
func (s *Mail) Send(ctx context.Context, m *Method, d *Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	letter, err := s.letter(ctx, m, d)
	if err != nil {
		return err
	}
	// A client holds the state of one connection.
	client, err := mail.NewClient(s.host, s.options...)
	if err != nil {
		return &Failure{Reason: "the mail settings of the server need a look", Cause: err}
	}
	err = client.DialAndSendWithContext(ctx, letter)
	if err == nil || letter.IsDelivered() {
		return nil
	}
	refused := (*mail.SendError)(nil)
	if !errors.As(err, &refused) {
		return &Failure{Reason: "the mail server cannot be reached, or refuses us", Cause: err}
	}
	f := &Failure{Reason: "the mail server refuses the mail", Cause: err}
	if code := refused.ErrorCode(); code != 0 {
		f.Reason = fmt.Sprintf("the mail server refuses the mail with %d", code)
	}
	if refused.Reason == mail.ErrSMTPRcptTo && !refused.IsTemp() {
		f.Reason, f.Permanent = f.Reason+": it does not take mail for this address", true
	}
	return f
}

func (s *Mail) letter(ctx context.Context, m *Method, d *Delivery) (*mail.Msg, error) {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := letter.From(s.o.From); err != nil {
		return nil, &Failure{Reason: "the mail settings of the server need a look", Cause: err}
	}
	if err := letter.To(m.Address); err != nil {
		return nil, &Failure{Reason: "the address is no mail address", Permanent: true}
	}
	text := mailText(d.Message)
	if m.Template != "" {
		var err error
		if text, err = rendered(ctx, s.o.Render, m, d); err != nil {
			return nil, err
		}
	}
	letter.Subject(mailSubject(d.Message))
	letter.SetDateWithValue(d.Message.Time)
	// The same for every try, so that mail programs drop doubles.
	letter.SetMessageIDWithValue(oneLine(d.EventID(), 200) + "@" + s.domain)
	letter.SetGenHeader(headerEvent, oneLine(d.EventID(), 200))
	letter.SetGenHeader("Auto-Submitted", "auto-generated")
	letter.SetBodyString(mail.TypeTextPlain, text)
	return letter, nil
}
