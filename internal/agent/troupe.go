package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// troupe is a Troupe server.
type troupe struct {
	client   *http.Client
	address  string // of the metrics
	token    secret
	instance string // whose OneGate token it is; "" for a token of Troupe
}

func newTroupe(c *TroupeTarget) (*troupe, error) {
	client, err := newClient(c.CACert)
	if err != nil {
		return nil, err
	}
	return &troupe{client, strings.TrimRight(c.URL, "/") + "/v1/metrics", secret{file: c.TokenFile, value: c.token}, c.Instance}, nil
}

func (t *troupe) String() string { return t.address }

func (t *troupe) post(ctx context.Context, body []byte) error {
	token, err := t.token.get()
	if err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	header := http.Header{}
	if t.instance != "" {
		header.Set("X-Onegate-Token", token)
		header.Set("X-Onegate-Vmid", t.instance)
	} else {
		header.Set("Authorization", "Bearer "+token)
	}
	err = postMetrics(ctx, t.client, t.address, header, body)
	if Denied(err) {
		t.token.doubt()
	}
	return err
}

// newClient returns a client for one server.
func newClient(ca string) (*http.Client, error) {
	roots, err := authorities(ca)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		// A token must not follow a redirection to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxIdleConns: 4, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 5 * time.Second, MaxResponseHeaderBytes: 64 << 10,
			ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10,
		},
	}, nil
}

// authorities reads certificates; nil means those of the system.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cacert: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("cacert %s: holds no certificate in PEM", file)
	}
	return pool, nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// postMetrics sends measurements, and words an answer that is no success as an *AnswerError.
func postMetrics(ctx context.Context, client *http.Client, address string, header http.Header, body []byte) error {
	answer, text, err := exchange(ctx, client, http.MethodPost, address, header, body)
	if err != nil {
		return err
	}
	if answer.StatusCode/100 == 2 {
		return nil
	}
	return answerError(answer, text)
}

// exchange makes one request and reads the answer.
func exchange(ctx context.Context, client *http.Client, method, address string, header http.Header, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header = header
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "troupe-agent")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	answer, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil && ctx.Err() == nil && answer.StatusCode/100 != 2 {
		err = nil // the status says enough
	}
	return answer, text, err
}

func answerError(answer *http.Response, text []byte) *AnswerError {
	e := &AnswerError{Status: answer.StatusCode, Text: strings.ToValidUTF8(strings.TrimSpace(string(text[:min(len(text), 500)])), "")}
	if place := answer.Header.Get("Location"); e.Status/100 == 3 {
		e.Text = "moved to " + place + "; configure that address"
	}
	if seconds, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 31); err == nil {
		e.After = time.Duration(seconds) * time.Second
	}
	return e
}

// Denied reports whether the other side does not know the credentials, or does not permit what was asked.
func Denied(err error) bool {
	e := (*AnswerError)(nil)
	return errors.As(err, &e) && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden)
}
