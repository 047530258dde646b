// Package client is the Go client of Troupe's native API: it builds, watches, scales and removes
// services made of many machines.
//
//	c, err := client.New("http://127.0.0.1:7070", client.Options{User: "oneadmin", Password: password})
//	s, err := c.Services().Create(ctx, client.CreateService{Document: client.Document{Source: text}})
//	s, err = c.Services().WaitFor(ctx, s.Ref(), "RUNNING")
//
// Services are named by their number or by their name, which is that of a service of the caller's own
// project unless it is written PROJECT/NAME. Errors that the server answers are of type [*Problem];
// [IsNotFound] and its kin tell them apart. Calls that may be repeated are, when the server cannot be
// reached, is busy or did not answer for certain; those that create something carry an idempotency key,
// so that they count once.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
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

	"github.com/cenkalti/backoff/v5"
)

// Options say who calls and how. Give a Token, or a User with its Password.
type Options struct {
	Token          string
	User, Password string
	// CA are certificates in PEM that the server's must descend from; nil for the system's.
	CA []byte
	// HTTP makes the requests, in place of a client of our own; CA does not count then.
	HTTP *http.Client
	// Timeout bounds each attempt of a call that does not stream; 30 s when zero.
	Timeout time.Duration
	// Attempts is how often a call that may be repeated is made at most; 5 when zero, 1 for no
	// repetition.
	Attempts int
	// Agent is added to the User-Agent header.
	Agent string
}

// A Client calls one server. It is safe for concurrent use.
type Client struct {
	base    string
	options Options
	http    *http.Client
}

// New returns a client of the server at the URL, such as "https://troupe.example:7070", or unix:///PATH for the
// socket of one on this host, which asks for no credentials. It makes no request.
func New(server string, o Options) (*Client, error) {
	address := server
	socket, local := strings.CutPrefix(server, "unix://")
	if local {
		address = "http://localhost"
	}
	u, err := url.Parse(address)
	if err != nil || local && !strings.HasPrefix(socket, "/") || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a server; give one such as http://127.0.0.1:7070", server)
	}
	if u.User != nil {
		return nil, errors.New("the server's URL holds a user name or password: give them apart")
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 5
	}
	c := &Client{base: strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"), options: o, http: o.HTTP}
	if c.http == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 32
		if local {
			t.Proxy = nil
			t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			}
		}
		if o.CA != nil {
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(o.CA) {
				return nil, errors.New("the CA file holds no certificate in PEM")
			}
			t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		}
		c.http = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return c, nil
}

// Close ends the connections that lie idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// A call is one request to be made.
type call struct {
	method, path string
	query        url.Values
	body         any    // JSON; nil for none
	raw          []byte // in place of body; the header says what it is
	key          string
	match        string // If-Match
	once         bool   // must not be repeated unless it was certainly not heard
	stream       bool   // the answer has no end that a time-out should bound
	header       http.Header
}

func path(parts ...string) string {
	var b strings.Builder
	b.WriteString("/v1")
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}

func get(parts ...string) call { return call{method: http.MethodGet, path: path(parts...)} }

func post(body any, parts ...string) call {
	return call{method: http.MethodPost, path: path(parts...), body: body, once: true}
}

func put(body any, parts ...string) call {
	return call{method: http.MethodPut, path: path(parts...), body: body}
}

func patch(body any, parts ...string) call {
	return call{method: http.MethodPatch, path: path(parts...), body: body}
}

func remove(parts ...string) call { return call{method: http.MethodDelete, path: path(parts...)} }

// keyed makes a call that may be repeated, because the server knows it by its key.
func (q call) keyed(key string) call {
	if key == "" {
		key = rand.Text()
	}
	q.key, q.once = key, false
	return q
}

// at makes a call that is refused when the object has another revision; 0 for any.
func at[N uint32 | int64](q call, revision N) call {
	if revision != 0 {
		q.match = `"` + strconv.FormatInt(int64(revision), 10) + `"`
	}
	return q
}

func (q call) with(query url.Values) call {
	q.query = query
	return q
}

// do makes the call and decodes its answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, q call, out any) error {
	resp, cancel, err := c.open(ctx, q)
	if err != nil {
		return err
	}
	defer cancel()
	defer resp.Body.Close()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("%s %s: the answer cannot be read: %w", q.method, q.path, err)
	}
	return nil
}

// ask makes the call and returns what it answers.
func ask[T any](ctx context.Context, c *Client, q call) (T, error) {
	var out T
	err := c.do(ctx, q, &out)
	return out, err
}

// open makes the call, again if that helps, and returns an answer with a good status. Whoever gets it
// closes the body and then calls cancel.
func (c *Client) open(ctx context.Context, q call) (*http.Response, context.CancelFunc, error) {
	body := q.raw
	if q.body != nil {
		var err error
		if body, err = json.Marshal(q.body); err != nil {
			return nil, nil, fmt.Errorf("%s %s: %w", q.method, q.path, err)
		}
	}
	type answer struct {
		resp   *http.Response
		cancel context.CancelFunc
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
	a, err := backoff.Retry(ctx, func() (answer, error) {
		resp, cancel, err := c.try(ctx, q, body)
		if err != nil && ctx.Err() == nil && c.options.Attempts > 1 {
			if again, after := repeat(q, err); again && after > 0 {
				return answer{}, errors.Join(backoff.RetryAfter(int(after/time.Second)), err)
			} else if again {
				return answer{}, err
			}
		}
		if err != nil {
			return answer{}, backoff.Permanent(err)
		}
		return answer{resp, cancel}, nil
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(uint(c.options.Attempts)), backoff.WithMaxElapsedTime(2*time.Minute))
	if err != nil {
		return nil, nil, unwrapRetry(err)
	}
	return a.resp, a.cancel, nil
}

// unwrapRetry returns the last attempt's own error.
func unwrapRetry(err error) error {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var permanent *backoff.PermanentError
	if errors.As(err, &permanent) {
		return permanent.Err
	}
	return err
}

// repeat reports whether the call may be made again after err, and no sooner than when.
func repeat(q call, err error) (bool, time.Duration) {
	var p *Problem
	if !errors.As(err, &p) {
		return !q.once || unheard(err), 0
	}
	switch p.Status {
	case http.StatusTooManyRequests:
		return true, p.RetryAfter
	case http.StatusServiceUnavailable:
		return p.RetryAfter > 0 && !q.once, p.RetryAfter
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return !q.once, 0
	}
	return false, 0
}

// try makes the call once.
func (c *Client) try(ctx context.Context, q call, body []byte) (*http.Response, context.CancelFunc, error) {
	cancel := context.CancelFunc(func() {})
	if !q.stream {
		ctx, cancel = context.WithTimeout(ctx, c.options.Timeout)
	}
	req, err := c.request(ctx, q, body)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		cancel()
		return nil, nil, fmt.Errorf("%s %s: %w", q.method, q.path, plain(err))
	}
	if resp.StatusCode/100 != 2 {
		defer cancel()
		defer resp.Body.Close()
		return nil, nil, problemOf(resp)
	}
	return resp, cancel, nil
}

func (c *Client) request(ctx context.Context, q call, body []byte) (*http.Request, error) {
	target := c.base + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, target, reader)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", q.method, q.path, err)
	}
	for k, v := range q.header {
		req.Header[k] = v
	}
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.key != "" {
		req.Header.Set("Idempotency-Key", q.key)
	}
	if q.match != "" {
		req.Header.Set("If-Match", q.match)
	}
	req.Header.Set("User-Agent", strings.TrimSpace("troupe-client "+c.options.Agent))
	switch {
	case c.options.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.options.Token)
	case c.options.User != "":
		req.SetBasicAuth(c.options.User, c.options.Password)
	}
	return req, nil
}

// plain takes method and URL off an error of net/http: they stand before it already.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
