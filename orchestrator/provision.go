package orchestrator

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const (
	maxScript        = 4 << 20 // bytes
	defaultOutput    = 16 << 20
	keptError        = 4 << 10 // bytes of stderr that an error tells
	handshakeTime    = 20 * time.Second
	aliveEvery       = 15 * time.Second
	aliveTime        = 30 * time.Second
	longestPause     = 5 * time.Second
	defaultLoginName = "root"
)

// ProvisionOptions say how a host is reached. Without a password and keys nobody is let in.
type ProvisionOptions struct {
	Port       int    // 0 for 22
	User       string // "" for root
	Password   string
	Keys       [][]byte // private keys in PEM
	Passphrase string   // of those keys that are encrypted
	// LocalKeys uses this user's own keys, too: those of the agent (SSH_AUTH_SOCK), and those in ~/.ssh that are not encrypted.
	LocalKeys bool

	// Instance is what the host's key belongs to; "" for HOST:PORT. Give the instance's id where addresses are used again.
	Instance string
	// HostKeys remembers the key that an instance shows at first and refuses another; nil remembers nothing.
	HostKeys *HostKeys
	// HostKey is the key that the host must have: its fingerprint (SHA256:…) or a public key. "" takes any, at first.
	HostKey string

	// Wait is how long a host may take until it lets us in, from the call on: it may still be booting. 0 tries once.
	Wait time.Duration
	// Output is the most bytes of stdout; 0 for 16 MiB. A script that prints more is ended.
	Output int
	// Stderr gets what the script prints there; nil for nobody. The end of it is told by ScriptError.
	Stderr io.Writer
}

// A ScriptError says that a script ended otherwise than by exit code 0.
type ScriptError struct {
	Host   string
	Code   int    // 128 and more for a signal
	Signal string // "" for none
	Stderr string // the end of what it printed there
}

// Error implements error.
func (e *ScriptError) Error() string {
	how := fmt.Sprintf("with code %d", e.Code)
	if e.Signal != "" {
		how = "by signal " + e.Signal
	}
	return strings.TrimSuffix(fmt.Sprintf("the script on %s ended %s: %s", e.Host, how, strings.TrimSpace(e.Stderr)), ": ")
}

// ErrTooMuchOutput: the script printed more than ProvisionOptions.Output.
var ErrTooMuchOutput = errors.New("the script prints more than it may")

// Provision runs a script on a host over SSH and returns what it prints to stdout, also when it fails. A script that begins with
// "#!" is run by what that names, any other by /bin/sh. It is not seen in the host's list of processes, and its stdin is empty.
// When ctx ends, the connection is closed, and the script with all that it has started is told to end (SIGTERM).
//
// The error is a *ScriptError when the script itself failed, a *HostKeyError when the host shows the wrong key.
func Provision(ctx context.Context, host, script string, o ProvisionOptions) (stdout string, err error) {
	if len(script) > maxScript {
		return "", fmt.Errorf("provision %s: the script has %d bytes; %d are the most", host, len(script), maxScript)
	}
	client, err := o.login(ctx, host)
	if err != nil {
		return "", fmt.Errorf("provision %s: %w", host, cmp.Or(context.Cause(ctx), err))
	}
	defer client.Close()
	stdout, err = o.run(ctx, host, client, script)
	if err != nil {
		err = fmt.Errorf("provision %s: %w", host, err)
	}
	return stdout, err
}

// login connects, again and again while the host has time.
func (o *ProvisionOptions) login(ctx context.Context, host string) (*ssh.Client, error) {
	at := net.JoinHostPort(host, strconv.Itoa(cmp.Or(o.Port, 22)))
	instance := cmp.Or(o.Instance, at)
	check, err := o.HostKeys.callback(instance, o.HostKey)
	if err != nil {
		return nil, err
	}
	auth, end, err := o.auth()
	defer end()
	if err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{User: cmp.Or(o.User, defaultLoginName), Auth: auth, HostKeyCallback: check}
	if o.HostKeys != nil {
		config.HostKeyAlgorithms = o.HostKeys.algorithms(instance)
	}
	connect := func() (*ssh.Client, error) {
		c, err := dial(ctx, at, config)
		var wrong *HostKeyError
		if errors.As(err, &wrong) {
			return nil, backoff.Permanent(wrong)
		}
		return c, err
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 100*time.Millisecond, longestPause
	if o.Wait <= 0 {
		return backoff.Retry(ctx, connect, backoff.WithMaxTries(1))
	}
	return backoff.Retry(ctx, connect, backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(o.Wait))
}

// dial connects once.
func dial(ctx context.Context, at string, config *ssh.ClientConfig) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // the handshake knows no context
	c, channels, requests, err := ssh.NewClientConn(conn, at, config)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("log in as %s: %w", config.User, err)
	}
	return ssh.NewClient(c, channels, requests), nil
}

// auth returns how we show who we are. end closes what that took.
func (o *ProvisionOptions) auth() (methods []ssh.AuthMethod, end func(), err error) {
	end = func() {}
	var signers []ssh.Signer
	for n, text := range o.Keys {
		s, err := signer(text, o.Passphrase)
		if err != nil {
			return nil, end, fmt.Errorf("private key %d: %w", n+1, err)
		}
		signers = append(signers, s)
	}
	if o.LocalKeys {
		var own []ssh.Signer
		own, end = localKeys()
		signers = append(signers, own...)
	}
	if len(signers) > 0 {
		methods = append(methods, ssh.PublicKeys(signers...))
	}
	if o.Password != "" {
		methods = append(methods, ssh.Password(o.Password), ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range answers {
				answers[i] = o.Password
			}
			return answers, nil
		}))
	}
	if methods == nil {
		return nil, end, errors.New("there is neither a password nor a key to log in with")
	}
	return methods, end, nil
}

func signer(text []byte, passphrase string) (ssh.Signer, error) {
	s, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && passphrase != "" {
		return ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase))
	}
	return s, err
}

// localKeys are those of the user who runs this program.
func localKeys() (signers []ssh.Signer, end func()) {
	end = func() {}
	if socket := os.Getenv("SSH_AUTH_SOCK"); socket != "" {
		if conn, err := net.Dial("unix", socket); err == nil {
			end = func() { conn.Close() }
			if s, err := agent.NewClient(conn).Signers(); err == nil {
				signers = append(signers, s...)
			}
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return signers, end
	}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		text, err := os.ReadFile(filepath.Join(home, ".ssh", name))
		if err != nil {
			continue
		}
		if s, err := ssh.ParsePrivateKey(text); err == nil {
			signers = append(signers, s)
		}
	}
	return signers, end
}

// runner takes a script of so many bytes from stdin into a file that is its user's alone, runs and removes it. Then it waits for the
// end of stdin beside it: that is the end of the connection, by which the script and all that it has started are told to end; servers pass
// signals on to few users. Login shells of any kind understand the one line.
const runner = `exec /bin/sh -c 'umask 077; f=$(mktemp) || exit 126; trap "rm -f $f" EXIT; trap "exit 143" HUP INT TERM; head -c %d >"$f" || exit 126; exec 3<&0; ` +
	`case "$(head -c 2 "$f")" in "#!") chmod 700 "$f"; "$f" </dev/null 3<&- & ;; *) /bin/sh "$f" </dev/null 3<&- & ;; esac; p=$!; ` +
	`{ cat <&3 >/dev/null; kill 0; } >/dev/null 2>&1 & w=$!; wait $p; c=$?; kill $w; exit $c'`

// run runs the script in a session of its own.
func (o *ProvisionOptions) run(ctx context.Context, host string, client *ssh.Client, script string) (string, error) {
	session, err := client.NewSession()
	if err != nil {
		return "", fmt.Errorf("open a session: %w", err)
	}
	defer session.Close()
	var alive sync.WaitGroup
	watched, unwatch := context.WithCancel(ctx)
	defer alive.Wait()
	defer unwatch()
	alive.Go(func() { watch(watched, client) })
	out := &bounded{most: cmp.Or(o.Output, defaultOutput), full: func() { client.Close() }}
	tail := &tail{}
	session.Stdout, session.Stderr = out, tail
	if o.Stderr != nil {
		session.Stderr = io.MultiWriter(tail, o.Stderr)
	}
	in, err := session.StdinPipe()
	if err != nil {
		return "", fmt.Errorf("open a session: %w", err)
	}
	defer context.AfterFunc(ctx, func() { client.Close() })()
	if err = session.Start(fmt.Sprintf(runner, len(script))); err == nil {
		_, _ = io.WriteString(in, script) // a host that takes none of it ends with a code
		err = session.Wait()
	}
	var exit *ssh.ExitError
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case out.over:
		err = fmt.Errorf("%w: %d bytes", ErrTooMuchOutput, out.most)
	case errors.As(err, &exit):
		err = &ScriptError{Host: host, Code: exit.ExitStatus(), Signal: exit.Signal(), Stderr: tail.String()}
	case err != nil:
		err = fmt.Errorf("the connection broke: %w", err)
	}
	return out.text.String(), err
}

// watch closes a connection whose other end has gone without a word.
func watch(ctx context.Context, client *ssh.Client) {
	ticker := time.NewTicker(aliveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		late := time.AfterFunc(aliveTime, func() { client.Close() })
		_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
		late.Stop()
		if err != nil {
			return
		}
	}
}

// bounded keeps what is written, up to a bound.
type bounded struct {
	text bytes.Buffer
	most int
	over bool
	full func()
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.over {
		return 0, ErrTooMuchOutput
	}
	if b.text.Len()+len(p) > b.most {
		b.text.Write(p[:b.most-b.text.Len()])
		b.over = true
		b.full()
		return 0, ErrTooMuchOutput
	}
	return b.text.Write(p)
}

// tail keeps the end of what is written.
type tail struct{ text []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if n := len(t.text) - keptError; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(p), nil
}

// String returns it.
func (t *tail) String() string { return string(t.text) }
