package store_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/store/storetest"
)

// writePair writes a certificate for 127.0.0.1 that is its own authority, and its key.
func writePair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "etcd"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	err = errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile
}

// TestCredentials connects to an etcd that wants a client certificate, and then a password too.
func TestCredentials(t *testing.T) {
	cert, key := writePair(t)
	ports := freePorts(t, 2)
	c := embed.NewConfig()
	client, peer := url.URL{Scheme: "https", Host: ports[0]}, url.URL{Scheme: "http", Host: ports[1]}
	c.Name, c.Dir, c.LogLevel, c.UnsafeNoFsync, c.BcryptCost = "m", t.TempDir(), "fatal", true, 4
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster, c.EnableGRPCGateway = "m="+peer.String(), false
	c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile, c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = cert, key, cert, true
	server, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	<-server.Server.ReadyNotify()

	good := store.Options{Endpoints: []string{client.String()}, CertFile: cert, KeyFile: key, CAFile: cert}
	open := func(o store.Options) error {
		s, err := store.Open(t.Context(), o)
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.Commit(t.Context(), storetest.Put("k", "v"))
		return err
	}
	if err := open(good); err != nil {
		t.Fatal(err)
	}
	half := good
	half.KeyFile = ""
	if err := open(half); err == nil {
		t.Error("a certificate without its key is accepted")
	}
	noCA := good
	noCA.CAFile = filepath.Join(t.TempDir(), "none")
	if err := open(noCA); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no authority: %v", err)
	}
	enableAuth(t, good)
	for password, want := range map[string]error{"right": nil, "wrong": store.ErrDenied, "": store.ErrDenied} {
		o := good
		o.User, o.Password = "root", password
		if password == "" {
			o.User = ""
		}
		if err := open(o); !errors.Is(err, want) {
			t.Errorf("password %q: %v, want %v", password, err, want)
		}
	}
	reader := good
	reader.User, reader.Password = "reader", "reader"
	if err := open(reader); !errors.Is(err, store.ErrDenied) || errors.Is(err, store.ErrAmbiguous) {
		t.Errorf("a user without rights: %v", err)
	}
}

// enableAuth makes root and a user who may only read, and asks for passwords from then on.
func enableAuth(t *testing.T, o store.Options) {
	t.Helper()
	tls, err := o.TLSConfig()
	if err != nil {
		t.Fatal(err)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: o.Endpoints, TLS: tls})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	_, e1 := c.UserAdd(ctx, "root", "right")
	_, e2 := c.UserGrantRole(ctx, "root", "root")
	_, e3 := c.UserAdd(ctx, "reader", "reader")
	_, e4 := c.RoleAdd(ctx, "read")
	_, e5 := c.RoleGrantPermission(ctx, "read", "/troupe/", "/troupe0", clientv3.PermissionType(clientv3.PermRead))
	_, e6 := c.UserGrantRole(ctx, "reader", "read")
	_, e7 := c.AuthEnable(ctx)
	if err := errors.Join(e1, e2, e3, e4, e5, e6, e7); err != nil {
		t.Fatal(err)
	}
}
