// Package openstack asks a real Keystone whose tokens are, so that those who have an account there need none here.
package openstack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/troupe-dev/troupe/internal/identity"
)

// Remember is how long an answer of Keystone's is good unless told otherwise, as with Keystone's own middleware.
const Remember = 5 * time.Minute

// ErrUnknownToken: Keystone knows no such token, or it is in no project.
var ErrUnknownToken = errors.New("unknown token")

const (
	rememberBad  = 30 * time.Second
	maxRemember  = 10_000
	maxTokenText = 8 << 10
	maxAnswer    = 1 << 20
	askTime      = 10 * time.Second
	asksAtOnce   = 16
)

// A Token is what Keystone says of one. Users and projects are known by their ids.
type Token struct {
	User, Project string
	Roles         []string
	Expires       time.Time
}

// Scopes are what the roles come to here; 0 when none of them is known. No role makes an administrator.
func (t *Token) Scopes() (s identity.Scopes) {
	for _, role := range t.Roles {
		switch role {
		case "monasca-user", "admin", "member", "_member_":
			s |= identity.ScopeOperate | identity.ScopeRead | identity.ScopePush
		case "monasca-read-only-user", "reader":
			s |= identity.ScopeRead
		case "monasca-agent":
			s |= identity.ScopePush
		}
	}
	return s
}

// A Validator asks one Keystone. It is safe for concurrent use.
type Validator struct {
	url      string // without version or slash at its end: the issuer of what it answers
	service  Service
	remember time.Duration
	client   *http.Client
	slots    chan struct{}
	asking   singleflight.Group

	mu    sync.Mutex
	own   string // the service's own token
	known map[[sha256.Size]byte]verdict
}

type verdict struct {
	token *Token // nil for an unknown one
	until time.Time
}

// NewValidator returns a validator of the tokens of the Keystone at a URL, with or without /v3 behind. A token that Keystone
// revokes is good here for as long as its answers are remembered.
func NewValidator(url string, service Service, remember time.Duration) *Validator {
	client := &http.Client{Timeout: askTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	url = strings.TrimSuffix(strings.TrimRight(url, "/"), "/v3")
	return &Validator{url: url, service: service, remember: remember, client: client, slots: make(chan struct{}, asksAtOnce), known: make(map[[sha256.Size]byte]verdict)}
}

// Issuer names the Keystone.
func (v *Validator) Issuer() string { return v.url }

// Validate returns what Keystone says of a token, or said while that is remembered. The error is ErrUnknownToken, or says
// that Keystone cannot be asked.
func (v *Validator) Validate(ctx context.Context, token string) (*Token, error) {
	if token == "" || len(token) > maxTokenText || strings.ContainsAny(token, "\r\n\x00") {
		return nil, ErrUnknownToken
	}
	key := sha256.Sum256([]byte(token))
	if t, ok := v.recall(key); ok {
		if t == nil {
			return nil, ErrUnknownToken
		}
		return t, nil
	}
	answer := v.asking.DoChan(string(key[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
		defer cancel()
		t, err := v.ask(ctx, token)
		if err == nil || errors.Is(err, ErrUnknownToken) {
			v.keep(key, t)
		}
		return t, err
	})
	select {
	case r := <-answer:
		t, _ := r.Val.(*Token)
		return t, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (v *Validator) recall(key [sha256.Size]byte) (*Token, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	x, ok := v.known[key]
	return x.token, ok && time.Now().Before(x.until)
}

func (v *Validator) keep(key [sha256.Size]byte, t *Token) {
	until := time.Now().Add(min(rememberBad, v.remember))
	if t != nil {
		if until = time.Now().Add(v.remember); t.Expires.Before(until) {
			until = t.Expires
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.known) >= maxRemember {
		for any := range v.known { // a random one: it is asked for again when it comes back
			delete(v.known, any)
			break
		}
	}
	v.known[key] = verdict{t, until}
}

// ask asks Keystone, with a new token of its own when the old one has run out.
func (v *Validator) ask(ctx context.Context, token string) (*Token, error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("ask Keystone at %s: %w", v.url, ctx.Err())
	}
	for try := range 2 {
		own, err := v.logIn(ctx, try > 0)
		if err != nil {
			return nil, err
		}
		status, body, _, err := v.send(ctx, http.MethodGet, nil, http.Header{"X-Auth-Token": {own}, "X-Subject-Token": {token}})
		switch {
		case err != nil:
			return nil, err
		case status == http.StatusOK:
			return read(body)
		case status == http.StatusNotFound:
			return nil, ErrUnknownToken
		case status != http.StatusUnauthorized:
			return nil, fmt.Errorf("ask Keystone at %s: status %d; may its service user validate tokens?", v.url, status)
		}
	}
	return nil, fmt.Errorf("ask Keystone at %s: it refuses the service user's new token", v.url)
}

// logIn returns the service's own token.
func (v *Validator) logIn(ctx context.Context, anew bool) (string, error) {
	v.mu.Lock()
	own := v.own
	v.mu.Unlock()
	if own != "" && !anew {
		return own, nil
	}
	body, err := json.Marshal(v.service.request())
	if err != nil {
		return "", fmt.Errorf("log in to Keystone: %w", err)
	}
	status, _, header, err := v.send(ctx, http.MethodPost, body, http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return "", err
	}
	own = header.Get("X-Subject-Token")
	if status != http.StatusCreated || own == "" {
		return "", fmt.Errorf("log in to Keystone at %s as the service user: status %d", v.url, status)
	}
	v.mu.Lock()
	v.own = own
	v.mu.Unlock()
	return own, nil
}

func (v *Validator) send(ctx context.Context, method string, body []byte, header http.Header) (status int, answer []byte, got http.Header, err error) {
	req, err := http.NewRequestWithContext(ctx, method, v.url+"/v3/auth/tokens", bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("ask Keystone: %w", err)
	}
	req.Header = header
	resp, err := v.client.Do(req)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("ask Keystone: %w", err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("ask Keystone at %s: %w", v.url, err)
	}
	return resp.StatusCode, answer, resp.Header, nil
}

// read takes from Keystone's answer what matters here.
func read(body []byte) (*Token, error) {
	var a struct {
		Token struct {
			Expires string `json:"expires_at"`
			User    struct{ ID string }
			Project struct{ ID string }
			Roles   []struct{ Name string }
		}
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("read Keystone's answer: %w", err)
	}
	expires, err := time.Parse(time.RFC3339, a.Token.Expires)
	if err != nil { // an application credential's end, which Keystone writes without a zone
		expires, err = time.Parse("2006-01-02T15:04:05", a.Token.Expires)
	}
	if err != nil {
		return nil, fmt.Errorf("read when a token ends in Keystone's answer: %w", err)
	}
	t := &Token{User: a.Token.User.ID, Project: a.Token.Project.ID, Expires: expires}
	for _, r := range a.Token.Roles {
		t.Roles = append(t.Roles, r.Name)
	}
	if t.User == "" || t.Project == "" || !time.Now().Before(t.Expires) {
		return nil, ErrUnknownToken
	}
	return t, nil
}
