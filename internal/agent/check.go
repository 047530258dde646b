package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// A probe asks something outside the agent, which may take long, so each has a goroutine of its own.
type probe interface {
	// run asks once and adds what it found. An error is why the answer is bad; it is logged when that changes.
	run(ctx context.Context, r *report) error
	timing() (interval, timeout time.Duration)
	subject() string
}

// watch runs a probe again and again, and hands over what it finds.
func watch(ctx context.Context, p probe, base map[string]string, log *slog.Logger, found func([]Measurement)) {
	interval, timeout := p.timing()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	bad := false
	for {
		r := &report{time: time.Now(), base: base}
		limited, cancel := context.WithTimeout(ctx, timeout)
		err := p.run(limited, r)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if (err != nil) != bad {
			bad = err != nil
			if bad {
				log.Warn("check fails", "of", p.subject(), "error", err)
			} else {
				log.Info("check is well again", "of", p.subject())
			}
		}
		found(r.list)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// maxPage bounds how much of a page is read to find a pattern in it.
const maxPage = 1 << 20

type httpProbe struct {
	*HTTPCheck
	client *http.Client
}

func newHTTPProbe(c *HTTPCheck) (*httpProbe, error) {
	roots, err := authorities(c.CACert)
	if err != nil {
		return nil, err
	}
	return &httpProbe{c, &http.Client{Transport: &http.Transport{
		// Each check says whether one can connect now, so connections are not kept.
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: 64 << 10,
	}}}, nil
}

func (p *httpProbe) timing() (interval, timeout time.Duration) { return p.Interval, p.Timeout }
func (p *httpProbe) subject() string                           { return p.URL }

func (p *httpProbe) run(ctx context.Context, r *report) error {
	began := time.Now()
	err := p.ask(ctx)
	took := time.Since(began).Seconds()
	r.time = time.Now()
	m := r.addTo(p.Dimensions, "http_status", status(err == nil), "url", p.URL)
	if err != nil {
		m.Meta = reason(err)
	}
	if silent := (*unreachable)(nil); !errors.As(err, &silent) {
		r.addTo(p.Dimensions, "http_response_time", round(took, 6), "url", p.URL)
	}
	return err
}

// reason is the value_meta of a bad answer.
func reason(err error) map[string]string {
	text := err.Error()
	return map[string]string{"error": strings.ToValidUTF8(text[:min(len(text), maxError)], "")}
}

// unreachable is the error of a server that did not answer at all.
type unreachable struct{ error }

func (e *unreachable) Unwrap() error { return e.error }

func (p *httpProbe) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "troupe-agent")
	answer, err := p.client.Do(req)
	if err != nil {
		return &unreachable{err}
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(io.LimitReader(answer.Body, maxPage))
	switch {
	case answer.StatusCode >= 400:
		return fmt.Errorf("%s answers %s", p.URL, answer.Status)
	case err != nil:
		return fmt.Errorf("read %s: %w", p.URL, err)
	case p.match != nil && !p.match.Match(page):
		return fmt.Errorf("%s: nothing in its first MiB matches %q", p.URL, p.Match)
	}
	return nil
}

type tcpProbe struct{ *TCPCheck }

func (p tcpProbe) timing() (interval, timeout time.Duration) { return p.Interval, p.Timeout }
func (p tcpProbe) subject() string                           { return p.Address }

func (p tcpProbe) run(ctx context.Context, r *report) error {
	began := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.Address)
	took := time.Since(began).Seconds()
	r.time = time.Now()
	m := r.addTo(p.Dimensions, "network.tcp.status", status(err == nil), "url", p.Address)
	if err != nil {
		m.Meta = reason(err)
		return err
	}
	r.addTo(p.Dimensions, "network.tcp.response_time", round(took, 6), "url", p.Address)
	return conn.Close()
}
