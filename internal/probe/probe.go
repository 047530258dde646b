// Package probe finds out whether instances are healthy: it runs one round of a check ([Run]) and keeps
// the rounds of many checks going ([Scheduler]).
package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	probing "github.com/prometheus-community/pro-bing"

	"github.com/troupe-dev/troupe/internal/service"
)

// Defaults of a check.
const (
	DefaultInterval  = 10 * time.Second
	DefaultTimeout   = 5 * time.Second
	DefaultFailures  = 3
	DefaultSuccesses = 1
)

const (
	maxRedirects = 3
	maxHeader    = 64 << 10 // bytes of an answer's header
	maxBody      = 64 << 10 // bytes of an answer's body that are read
)

// A Target is the instance that a check looks at.
type Target struct {
	// Address is the instance's first address; it stands in for a host that the check leaves out.
	Address string
	// Started is when the instance came up: start periods count from it.
	Started time.Time
	// Exec runs a command inside the instance and returns its exit code. It must honour ctx. nil when
	// the instance's driver cannot.
	Exec func(ctx context.Context, args []string) (exit int, err error)
}

// Run does one round of a check, whose texts are rendered. It returns nil when the instance is healthy;
// otherwise the error says why it is not, in words for the user.
func Run(ctx context.Context, check *service.Check, target Target) error {
	limit := check.Timeout
	if limit <= 0 {
		limit = DefaultTimeout
	}
	round, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	switch {
	case check.TCP != "":
		err = tcp(round, check.TCP, target)
	case check.HTTP != "":
		err = get(round, check, target)
	case len(check.Exec) > 0:
		err = execute(round, check.Exec, target)
	case check.MySQL != nil:
		err = database(round, check.MySQL, target)
	case check.Ping:
		err = ping(round, target, limit)
	default:
		return errors.New("the check says neither tcp, http, exec, mysql nor ping")
	}
	if err != nil && ctx.Err() == nil && round.Err() != nil {
		return fmt.Errorf("%s: no answer within %v", what(check), limit)
	}
	return err
}

// what names a check in a message.
func what(c *service.Check) string {
	switch {
	case c.TCP != "":
		return "tcp " + c.TCP
	case c.HTTP != "":
		return "http " + c.HTTP
	case len(c.Exec) > 0:
		return "exec " + c.Exec[0]
	case c.MySQL != nil:
		return "mysql"
	}
	return "ping"
}

// reach fills in the target's address where a check names no host.
func (t Target) reach(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%q is no address: write host:port or :port", address)
	}
	if host == "" {
		host = t.Address
	}
	if host == "" {
		return "", errors.New("the instance has no address yet")
	}
	return net.JoinHostPort(host, port), nil
}

func tcp(ctx context.Context, address string, target Target) error {
	address, err := target.reach(address)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("tcp %s: %w", address, cause(err))
	}
	return conn.Close()
}

// cause takes the address and the operation off a network error: the message has them already.
func cause(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	if call := (*os.SyscallError)(nil); errors.As(err, &call) {
		err = call.Err
	}
	return err
}

// client asks without proxies, since instances are reached directly, and without keeping connections,
// since one is what the check is about. Certificates are not verified: nothing secret is sent, and
// instances mostly have their own.
var client = &http.Client{
	Transport: &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeader,
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
	},
	CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if req.URL.Host != via[0].URL.Host {
			// Another host's health says nothing; that it was named is an answer.
			return http.ErrUseLastResponse
		}
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	},
}

func get(ctx context.Context, check *service.Check, target Target) error {
	url := check.HTTP
	if rest, local := strings.CutPrefix(url, ":"); local {
		port, path, _ := strings.Cut(rest, "/")
		address, err := target.reach(":" + port)
		if err != nil {
			return err
		}
		url = "http://" + address + "/" + path
	}
	method := http.MethodGet
	if check.Method != "" {
		method = check.Method
	}
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return fmt.Errorf("http %s: %w", check.HTTP, err)
	}
	req.Header.Set("User-Agent", "troupe-probe")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("http %s: %w", url, cause(err))
	}
	defer resp.Body.Close()
	// An answer that breaks off is none.
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)); err != nil {
		return fmt.Errorf("http %s: %w", url, cause(err))
	}
	switch got := resp.StatusCode; {
	case check.Status != 0 && got != check.Status:
		return fmt.Errorf("http %s: status %d, not %d", url, got, check.Status)
	case check.Status == 0 && (got < 200 || got > 399):
		return fmt.Errorf("http %s: status %d", url, got)
	}
	return nil
}

func execute(ctx context.Context, args []string, target Target) error {
	if target.Exec == nil {
		return errors.New("exec: the instance's driver cannot run commands in it")
	}
	exit, err := target.Exec(ctx, args)
	if err != nil {
		return fmt.Errorf("exec %s: %w", args[0], err)
	}
	if exit != 0 {
		return fmt.Errorf("exec %s: exit code %d", args[0], exit)
	}
	return nil
}

// ping sends one echo: by an unprivileged socket if the system allows that, by a raw one otherwise.
func ping(ctx context.Context, target Target, limit time.Duration) error {
	if target.Address == "" {
		return errors.New("the instance has no address yet")
	}
	err := echo(ctx, target.Address, limit, false)
	if denied(err) {
		err = echo(ctx, target.Address, limit, true)
	}
	if denied(err) {
		return errors.New("ping: not allowed to send: let net.ipv4.ping_group_range include the server's group, or give it CAP_NET_RAW")
	}
	return err
}

func denied(err error) bool {
	return errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EPROTONOSUPPORT)
}

func echo(ctx context.Context, address string, limit time.Duration, raw bool) error {
	p := probing.New(address)
	p.Count = 1
	p.Timeout = limit
	p.RecordRtts, p.RecordTTLs = false, false
	p.SetPrivileged(raw)
	p.SetLogger(probing.NoopLogger{})
	if err := p.RunWithContext(ctx); err != nil {
		return fmt.Errorf("ping %s: %w", address, err)
	}
	if p.Statistics().PacketsRecv == 0 {
		return fmt.Errorf("ping %s: no answer", address)
	}
	return nil
}
