package app

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// Least values of settings: below them history would be of no use.
const (
	leastRetain  = time.Hour
	leastSize    = 64 << 20
	leastMeasure = time.Second
)

// verify refuses wrong settings about samples.
func (m *Metrics) verify() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if m.Retain != 0 && m.Retain < leastRetain {
		fail("metrics-retain: %v is less than %v", m.Retain, leastRetain)
	}
	if m.Size != 0 && m.Size < leastSize {
		fail("metrics-size: %d bytes are less than %d MiB", m.Size, leastSize>>20)
	}
	if m.Measure > 0 && m.Measure < leastMeasure {
		fail("measure-every: %v is less than %v; 0 measures never", m.Measure, leastMeasure)
	}
	if l := m.Limits; l.Series < 0 || l.Rate < 0 {
		fail("metrics-series-limit and metrics-rate-limit cannot be negative")
	}
	if u, err := url.Parse(m.Forward); m.Forward != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		fail("metrics-forward: %.80q is no URL such as http://127.0.0.1:9090/api/v1/write", m.Forward)
	}
	return errors.Join(errs...)
}

// limits returns those of one project: what is not set is as by default.
func (m *Metrics) limits() telemetry.Limits {
	l, usual := m.Limits, telemetry.DefaultLimits
	l.Series, l.Values = cmp.Or(l.Series, usual.Series), cmp.Or(l.Values, usual.Values)
	l.Burst = cmp.Or(l.Burst, 5*l.Rate, usual.Burst)
	l.Rate = cmp.Or(l.Rate, usual.Rate)
	return l
}

var commandName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// verify refuses wrong settings about notifications, and reads the password for the mail server.
func (n *Notifications) verify() (password string, err error) {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n.MailPasswordFile != "" {
		if password, err = secretFile(n.MailPasswordFile); err != nil {
			fail("password of the mail server: %w", err)
		}
	}
	mail := n.Mail
	mail.Password = password
	switch {
	case mail.Server == "" && (mail.From != "" || mail.User != "" || mail.Encryption != "" || n.MailPasswordFile != ""):
		fail("e-mail: there is no mail server; name it with smtp-server")
	case mail.Server != "":
		if (mail.User == "") != (n.MailPasswordFile == "") {
			fail("e-mail: smtp-user and smtp-password-file belong together")
		}
		if _, err := notify.NewMail(mail); err != nil {
			fail("e-mail: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.Commands)) {
		switch argv := n.Commands[name]; {
		case !commandName.MatchString(name):
			fail("notify-command: %.80q is no name; use letters, digits, '-', '_' and '.'", name)
		case len(argv) == 0 || !filepath.IsAbs(argv[0]):
			fail("notify-command %s: give the program with its whole path", name)
		default:
			if err := unix.Access(argv[0], unix.X_OK); err != nil {
				fail("notify-command %s: %s cannot be run: %w", name, argv[0], err)
			}
		}
	}
	return password, errors.Join(errs...)
}
