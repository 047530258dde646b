package notify

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A postOffice is an SMTP server that keeps what it gets.
type postOffice struct {
	mu      sync.Mutex
	letters []string
	to      []string
	secure  []bool
}

type clerk struct {
	office *postOffice
	c      *smtp.Conn
	user   string
	to     string
}

func (p *postOffice) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &clerk{office: p, c: c}, nil
}
func (c *clerk) AuthMechanisms() []string { return []string{sasl.Plain} }
func (c *clerk) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "troupe" || password != "right" {
			return smtp.ErrAuthFailed
		}
		c.user = user
		return nil
	}), nil
}
func (c *clerk) Reset()        {}
func (c *clerk) Logout() error { return nil }
func (c *clerk) Mail(from string, _ *smtp.MailOptions) error {
	if c.user == "" {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (c *clerk) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch {
	case strings.HasPrefix(to, "nobody"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "inner words"}
	case strings.HasPrefix(to, "busy"):
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "later"}
	}
	c.to = to
	return nil
}

func (c *clerk) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	_, secure := c.c.TLSConnectionState()
	c.office.mu.Lock()
	defer c.office.mu.Unlock()
	c.office.letters, c.office.to, c.office.secure = append(c.office.letters, string(text)), append(c.office.to, c.to), append(c.office.secure, secure)
	return err
}

// openOffice serves on a port of this machine, with TLS from the first byte on if implicit.
func openOffice(t *testing.T, implicit bool) (*postOffice, string, *tls.Config) {
	t.Helper()
	// A certificate of the standard library's test server, good for 127.0.0.1 and example.com.
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS()
	certificate, roots := web.TLS.Certificates, x509.NewCertPool()
	roots.AddCert(web.Certificate())
	web.Close()
	office := &postOffice{}
	s := smtp.NewServer(office)
	s.Domain, s.AllowInsecureAuth = "localhost", false
	s.ReadTimeout, s.WriteTimeout = 5*time.Second, 5*time.Second
	s.TLSConfig = &tls.Config{Certificates: certificate}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := l
	if implicit {
		served = tls.NewListener(l, s.TLSConfig)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(served) }()
	t.Cleanup(func() { s.Close(); <-done })
	return office, l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "example.com"}
}

func TestMail(t *testing.T) {
	for _, encryption := range []string{StartTLS, TLS} {
		office, address, trust := openOffice(t, encryption == TLS)
		m, err := NewMail(MailOptions{Server: address, Encryption: encryption, User: "troupe", Password: "right", From: "Troupe <troupe@example.org>", TLS: trust, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		message := example()
		message.Name = "naïve\r\nBcc: everybody@example.org"
		d := delivery(message, "mail")
		for range 2 {
			if err := m.Send(t.Context(), &Method{Type: Email, Address: "ops@example.org"}, d); err != nil {
				t.Fatalf("%s: %v", encryption, err)
			}
		}
		if len(office.letters) != 2 || office.to[0] != "ops@example.org" || !office.secure[0] {
			t.Fatalf("%s: %+v", encryption, office)
		}
		letter, err := mail.ReadMessage(strings.NewReader(office.letters[0]))
		if err != nil {
			t.Fatal(err)
		}
		subject, _ := new(mime.WordDecoder).DecodeHeader(letter.Header.Get("Subject"))
		if !strings.HasPrefix(subject, `ALARM HIGH "naïve`) || letter.Header.Get("Bcc") != "" || letter.Header.Get("Message-Id") != "<5f0c-7@example.org>" || letter.Header.Get("Auto-Submitted") != "auto-generated" {
			t.Errorf("%s: %v, subject %s", encryption, letter.Header, subject)
		}
		if !strings.Contains(office.letters[0], "Lifecycle state: OPEN") {
			t.Error(office.letters[0])
		}
		f := (*Failure)(nil)
		if err := m.Send(t.Context(), &Method{Type: Email, Address: "nobody@example.org"}, d); !errors.As(err, &f) || !f.Permanent || !strings.Contains(f.Reason, "550") || strings.Contains(f.Reason, "inner words") {
			t.Errorf("nobody: %v", err)
		}
		if err := m.Send(t.Context(), &Method{Type: Email, Address: "busy@example.org"}, d); !errors.As(err, &f) || f.Permanent || !strings.Contains(f.Reason, "451") {
			t.Errorf("busy: %v", err)
		}
	}
}

func TestMailRefused(t *testing.T) {
	office, address, trust := openOffice(t, false)
	good := MailOptions{Server: address, User: "troupe", Password: "right", From: "troupe@example.org", TLS: trust, Timeout: 2 * time.Second}
	for name, change := range map[string]func(*MailOptions){
		"wrong password":    func(o *MailOptions) { o.Password = "wrong" },
		"unknown authority": func(o *MailOptions) { o.TLS = nil },
		"in the clear":      func(o *MailOptions) { o.Encryption = Plain },
		"nobody listens":    func(o *MailOptions) { o.Server = "127.0.0.1:1" },
	} {
		o := good
		change(&o)
		m, err := NewMail(o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = m.Send(t.Context(), &Method{Type: Email, Address: "ops@example.org"}, delivery(example(), "mail"))
		f := (*Failure)(nil)
		if !errors.As(err, &f) || f.Permanent || f.Cause == nil || strings.Contains(f.Cause.Error(), "wrong") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(office.letters) != 0 {
		t.Errorf("%d letters arrived", len(office.letters))
	}
	for name, o := range map[string]MailOptions{
		"no server": {From: "a@b"}, "no sender": {Server: "h"}, "bad port": {Server: "h:smtp", From: "a@b"},
		"encryption": {Server: "h", From: "a@b", Encryption: "ssl"},
	} {
		if _, err := NewMail(o); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}
