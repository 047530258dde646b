package store

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A cluster that cannot be reached is told apart from one that refuses how it was asked.
func TestWhyUnreachable(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail on purpose
	server.StartTLS()
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	plain := "http" + strings.TrimPrefix(server.URL, "https")
	for _, c := range []struct {
		url  string
		tls  *tls.Config
		want string
	}{
		{"http://127.0.0.1:1", nil, "refused"},
		{"127.0.0.1:1", nil, "refused"},
		{server.URL, &tls.Config{}, "unknown authority"},
		{server.URL, &tls.Config{RootCAs: trusted}, "tls: "},
		{plain, nil, "should its URL begin with https:?"},
	} {
		err := whyUnreachable(&clientv3.Config{Endpoints: []string{c.url}, TLS: c.tls})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.url, err, c.want)
		}
	}
	ok := &tls.Config{RootCAs: trusted, Certificates: server.TLS.Certificates}
	if err := whyUnreachable(&clientv3.Config{Endpoints: []string{server.URL}, TLS: ok}); err != nil {
		t.Errorf("nothing is wrong: %v", err)
	}
}

func TestCheckOptions(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"folder":       {Options{DataDir: t.TempDir()}, ""},
		"new folder":   {Options{DataDir: t.TempDir() + "/new/one"}, ""},
		"nowhere":      {Options{}, "one place"},
		"small":        {Options{DataDir: t.TempDir(), Quota: 1}, "64 MiB"},
		"cluster":      {Options{Endpoints: []string{"https://a:1", "b:2"}}, ""},
		"scheme":       {Options{Endpoints: []string{"ftp://a:1"}}, "give a URL"},
		"port":         {Options{Endpoints: []string{"http://a"}}, "give a URL"},
		"no password":  {Options{Endpoints: []string{"http://a:1"}, User: "x"}, "needs a password"},
		"no user":      {Options{Endpoints: []string{"http://a:1"}, Password: "x"}, "needs a password"},
		"no authority": {Options{Endpoints: []string{"http://a:1"}, CAFile: "missing"}, "certificate authority"},
		"half a pair":  {Options{Endpoints: []string{"http://a:1"}, CertFile: "x"}, "needs both"},
	} {
		err := c.o.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}
