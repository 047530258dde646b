package cli

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
)

const defaultURL = "http://127.0.0.1:7070"

// serverFlags say which server is meant. Who asks comes from the environment or the stored login:
// everybody can read a command line.
type serverFlags struct{ url, ca string }

func (f *serverFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.url, "url", "", "`URL` of the server, or unix:///PATH of its socket (TROUPE_URL; default what `troupe login` stored, or "+defaultURL+")")
	flags.StringVar(&f.ca, "cacert", "", "PEM `file` of the authority of the server's certificate (TROUPE_CACERT)")
}

// A login is what `troupe login` stored.
type login struct {
	URL   string `json:"url"`
	User  string `json:"user"`
	Token string `json:"token"`
	CA    string `json:"cacert,omitempty"`
}

// loginFile is where logins are stored.
func (t *terminal) loginFile() string {
	dir := t.env("XDG_CONFIG_HOME")
	if dir == "" {
		dir = filepath.Join(t.env("HOME"), ".config")
	}
	return filepath.Join(dir, "troupe", "login.json")
}

// stored returns what `troupe login` stored; an empty login if there is none.
func (t *terminal) stored() (login, error) {
	var l login
	text, err := os.ReadFile(t.loginFile())
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	if err != nil {
		return l, fmt.Errorf("read the stored login %s: %w; `troupe login` makes a new one", t.loginFile(), err)
	}
	return l, nil
}

// store writes a login so that nobody else can read it.
func (t *terminal) store(l login) error {
	name := t.loginFile()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("store the login: %w", err)
	}
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("store the login: %w", err)
	}
	half, err := os.CreateTemp(filepath.Dir(name), ".login-") // mode 0600
	if err != nil {
		return fmt.Errorf("store the login: %w", err)
	}
	defer os.Remove(half.Name())
	_, err = half.Write(append(text, '\n'))
	if err = errors.Join(err, half.Close()); err == nil {
		err = os.Rename(half.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("store the login: %w", err)
	}
	return nil
}

// target says which server is meant and with which certificates.
func (t *terminal) target(l login) (url, ca string) {
	for _, url = range [...]string{t.server.url, t.env("TROUPE_URL"), l.URL, defaultURL} {
		if url != "" {
			break
		}
	}
	url = strings.TrimRight(url, "/")
	for _, ca = range [...]string{t.server.ca, t.env("TROUPE_CACERT")} {
		if ca != "" {
			return url, ca
		}
	}
	if url == l.URL {
		return url, l.CA
	}
	return url, ""
}

// connect returns a client of the server that is meant, with the credentials that there are.
func (t *terminal) connect() (*client.Client, error) {
	l, err := t.stored()
	if err != nil {
		return nil, err
	}
	url, ca := t.target(l)
	o := client.Options{Agent: "cli/" + version(), Token: t.env("TROUPE_TOKEN")}
	if o.Token == "" {
		if o.User, o.Password, err = t.password(); err != nil {
			return nil, err
		}
	}
	if o.Token == "" && o.User == "" && url == l.URL {
		o.Token = l.Token // never sent to another server than the one that made it
	}
	return t.client(url, ca, o)
}

func (t *terminal) client(url, ca string, o client.Options) (*client.Client, error) {
	if ca != "" {
		var err error
		if o.CA, err = os.ReadFile(ca); err != nil {
			return nil, fmt.Errorf("--cacert: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(o.CA) {
			return nil, withCode(exitInvalid, fmt.Errorf("--cacert: %s holds no certificate in PEM", ca))
		}
	}
	c, err := client.New(url, o)
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	return c, nil
}

// password returns the name and password of the environment; "" for neither.
func (t *terminal) password() (user, password string, err error) {
	user, password = t.env("TROUPE_USER"), t.env("TROUPE_PASSWORD")
	if password != "" && user == "" {
		user = "oneadmin"
	}
	if user != "" && password == "" {
		return "", "", usageError("a password for %s is missing: set TROUPE_PASSWORD, or unset TROUPE_USER and `troupe login`", user)
	}
	return user, password, nil
}

// readSecret reads the first line of a file.
func readSecret(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", withCode(exitInvalid, fmt.Errorf("read a secret: %s is empty", name))
	}
	return line, nil
}

// clientExitCode returns the exit code for what the server answered, or 0.
func clientExitCode(err error) int {
	var state *client.StateError
	switch {
	case client.IsNotFound(err):
		return exitNotFound
	case client.IsConflict(err), client.IsStale(err):
		return exitRefused
	case client.IsDenied(err), client.IsUnauthorized(err):
		return exitDenied
	case client.IsInvalid(err), errors.As(err, new(*client.RefusedError)):
		return exitInvalid
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case client.IsUnavailable(err), unreachable(err):
		return exitUnreachable
	case errors.As(err, &state):
		return exitError
	}
	return 0
}

func unreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op != "listen" || errors.Is(err, syscall.ECONNREFUSED)
}

// explainError says what to do next, where that is known.
func explainError(err error) string {
	text := err.Error()
	switch {
	case client.IsUnauthorized(err):
		text += "; log in with `troupe login`, or set TROUPE_USER and TROUPE_PASSWORD, or TROUPE_TOKEN"
	case errors.As(err, new(x509.UnknownAuthorityError)) && !errors.As(err, new(*coded)): // a server's own: its cluster, say
		text += "; name the file of the authority of the server's certificate with --cacert or TROUPE_CACERT"
	case unreachable(err) && exitCode(err) == exitUnreachable:
		text += "; does the server run? Start one with `troupe server`, or name another with --url or TROUPE_URL"
	}
	return text
}
