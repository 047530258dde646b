package api

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHeadersAreBounded(t *testing.T) {
	f := serve(t, Options{}, nil, native)
	for size, want := range map[int]int{maxHeader - 1024: 200, maxHeader + 8192: http.StatusRequestHeaderFieldsTooLarge} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", f.url+"/v1/who/x", nil)
		req.SetBasicAuth("ann", "x")
		req.Header.Set("X-Long", strings.Repeat("x", size))
		res, err := http.DefaultClient.Do(req)
		if err != nil { // the server may close while the rest is still on its way
			if want == 200 {
				t.Error(err)
			}
			continue
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%d bytes: %s", size, res.Status)
		}
	}
}

// A client that sends its header, or its body, a byte at a time is cut off.
func TestSlowClients(t *testing.T) {
	f := serve(t, Options{}, func(b *bounds) { b.header, b.read = 150*time.Millisecond, 300*time.Millisecond }, native)
	for name, start := range map[string]string{
		"header": "GET /v1/who/x HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"body":   "POST /v1/echo HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YW5uOng=\r\nContent-Length: 1000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, start)
			begin := time.Now()
			done := make(chan string, 1)
			go func() { text, _ := io.ReadAll(c); done <- string(text) }()
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case text := <-done:
					if name == "body" && !strings.HasPrefix(text, "HTTP/1.1 408 ") {
						t.Errorf("answer %q", text)
					}
					return
				case <-tick.C:
					io.WriteString(c, " ")
				}
				if time.Since(begin) > 5*time.Second {
					t.Fatal("not cut off")
				}
			}
		})
	}
}

// Connections above the bound wait, and are served when others go.
func TestConnectionsAreBounded(t *testing.T) {
	f := serve(t, Options{}, func(b *bounds) { b.connections = 2 }, native)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		return c
	}
	answered := func(c net.Conn, within time.Duration) bool {
		c.SetReadDeadline(time.Now().Add(within))
		_, err := bufio.NewReader(c).ReadString('\n')
		return err == nil
	}
	first, second := dial(), dial()
	if !answered(first, 5*time.Second) || !answered(second, 5*time.Second) {
		t.Fatal("the first two are not answered")
	}
	third := dial()
	if answered(third, 100*time.Millisecond) {
		t.Error("the third is answered beside two others")
	}
	first.Close()
	if !answered(third, 5*time.Second) {
		t.Error("the third is not answered after the first left")
	}
}

func TestListenBeyondLoopback(t *testing.T) {
	s, err := New(Options{Auth: door{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(t.Context(), Listener{Name: "main", Address: "0.0.0.0:0"}); err == nil || !strings.Contains(err.Error(), "--insecure") {
		t.Errorf("got %v", err)
	}
	s.opts.Insecure = true
	if _, err := s.Listen(t.Context(), Listener{Name: "main", Address: "0.0.0.0:0"}); err != nil {
		t.Errorf("insecure: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Serve(t.Context()); err != nil {
		t.Errorf("Serve after Stop: %v", err)
	}
	if _, err := s.Listen(t.Context(), Listener{Name: "late", Address: "127.0.0.1:0"}); err == nil {
		t.Error("a listener after Stop")
	}
}

// writePair writes a new self-signed pair and returns its certificate.
func writePair(t *testing.T, dir string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "troupe"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, _ := x509.MarshalECPrivateKey(key)
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, _ := x509.ParseCertificate(der)
	return cert
}

// A certificate that changes on disk serves new connections without a restart; a broken one leaves
// the old in use.
func TestCertificateReload(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, 1)
	f := serve(t, Options{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}, nil, native)
	if !strings.HasPrefix(f.url, "https://127.0.0.1:") {
		t.Fatalf("URL %s", f.url)
	}
	serial := func() int64 {
		c, err := tls.Dial("tcp", strings.TrimPrefix(f.url, "https://"), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // any pair will do
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Fatalf("serial %d", got)
	}
	second := writePair(t, dir, 2)
	eventually(t, "the second certificate", func() bool { return serial() == 2 })
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a complaint", func() bool { serial(); return strings.Contains(f.log.String(), "the old one stays") })
	if got := serial(); got != 2 {
		t.Errorf("serial %d with a broken file", got)
	}
	// And it really speaks HTTP over it.
	pool := x509.NewCertPool()
	pool.AddCert(second)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	res, err := client.Get(f.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || res.ProtoMajor != 2 {
		t.Errorf("%s %s", res.Status, res.Proto)
	}
	if _, err := New(Options{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a start with a broken certificate")
	}
	if _, err := New(Options{Certificate: "only.pem"}); err == nil {
		t.Error("a certificate without key")
	}
}

// Stop lets a running request end, and cuts off one that does not within the bound.
func TestStop(t *testing.T) {
	for _, patient := range []bool{true, false} {
		t.Run(fmt.Sprintf("patient %v", patient), func(t *testing.T) {
			entered, release := make(chan struct{}), make(chan struct{})
			s, err := New(Options{Auth: door{}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(entered)
				select {
				case <-release:
				case <-r.Context().Done():
				}
			})
			if _, err := s.Listen(t.Context(), Listener{Name: "main", Address: "127.0.0.1:0", Handler: h}); err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- s.Serve(context.Background()) }()
			answered := make(chan error, 1)
			go func() {
				res, err := http.Get(s.Addrs()["main"])
				if err == nil {
					res.Body.Close()
				}
				answered <- err
			}()
			<-entered
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if patient {
				close(release)
			}
			stopErr, serveErr, answerErr := s.Stop(ctx), <-served, <-answered
			http.DefaultClient.CloseIdleConnections()
			if (stopErr == nil) != patient || (answerErr == nil) != patient || (serveErr == nil) != patient {
				t.Errorf("Stop %v, Serve %v, request %v", stopErr, serveErr, answerErr)
			}
			if again := s.Stop(t.Context()); fmt.Sprint(again) != fmt.Sprint(stopErr) {
				t.Errorf("a second Stop: %v", again)
			}
		})
	}
}
