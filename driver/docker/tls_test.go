//go:build linux

package docker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/docker/dockertest"
)

// An authority issues certificates into files.
type authority struct {
	testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	a := &authority{TB: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// issue writes NAME.pem and NAME-key.pem.
func (a *authority) issue(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.must(err)
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	a.must(err)
	made, err := x509.ParseCertificate(der)
	a.must(err)
	secret, err := x509.MarshalECPrivateKey(key)
	a.must(err)
	a.must(os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	a.must(os.WriteFile(a.file(name+"-key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
	return made, key
}

func (a *authority) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// TestTLS: an endpoint that asks for certificates of both sides.
func TestTLS(t *testing.T) {
	shared(t)
	a := newAuthority(t)
	a.issue("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	a.issue("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	endpoint := fmt.Sprintf("tcp://127.0.0.1:%d", freePort(t))
	d := dockertest.Start(t, dockertest.Options{Flags: []string{"--host", endpoint, "--tlsverify", "--tlscacert", a.file("ca"),
		"--tlscert", a.file("server"), "--tlskey", a.file("server-key")}})
	good := map[string]any{"endpoint": endpoint, "tls_ca": a.file("ca"), "tls_cert": a.file("client"), "tls_key": a.file("client-key")}
	s := newStage(t, d, good)
	m := s.run(shell("echo started; " + forever))
	if got := s.sh(m, "echo inside"); got != "inside" {
		t.Errorf("exec: %q", got)
	}
	s.until(func() error {
		if got := s.logs(m, driver.LogOptions{}); got != "started\n" {
			return errors.New(got)
		}
		return nil
	})
	other := newAuthority(t)
	for why, values := range map[string]map[string]any{
		"no certificate of the client": {"endpoint": endpoint, "tls_ca": a.file("ca")},
		"an unknown authority":         {"endpoint": endpoint, "tls_ca": other.file("ca"), "tls_cert": a.file("client"), "tls_key": a.file("client-key")},
	} {
		x := &stage{TB: t, Daemon: d, name: "x"}
		x.d = x.open(values)
		for _, err := range x.d.List(x.ctx()) {
			if !errors.Is(err, driver.ErrDenied) {
				t.Errorf("%s: %v", why, err)
			}
		}
	}
}
