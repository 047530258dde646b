package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// openExternal connects to a cluster and checks that it answers.
func openExternal(ctx context.Context, opts *Options) (backend, error) {
	config, err := opts.clientConfig()
	if err != nil {
		return nil, err
	}
	client, err := clientv3.New(*config)
	if err != nil {
		return nil, fmt.Errorf("store: connect to etcd at %s: %w", strings.Join(opts.Endpoints, ","), classify(err))
	}
	e := &etcd{client: client, maxOps: MaxOps, maxBytes: MaxBytes}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, _, err := e.get(ctx, opts.Prefix+"schema", false); err != nil {
		client.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(err, whyUnreachable(config)))
		}
		return nil, fmt.Errorf("store: connect to etcd at %s: %w", strings.Join(opts.Endpoints, ","), err)
	}
	return e, nil
}

// whyUnreachable asks the members over HTTP, whose errors name what gRPC keeps to itself: a connection that is
// refused, an unknown authority, a certificate that is missing.
func whyUnreachable(config *clientv3.Config) error {
	transport := &http.Transport{TLSClientConfig: config.TLS, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 2 * time.Second}
	var errs []error
	for _, e := range config.Endpoints {
		if !strings.Contains(e, "://") {
			e = "http://" + e
		}
		answer, err := client.Get(e + "/version")
		silent := err != nil && errors.Is(err, io.EOF)
		if err == nil {
			answer.Body.Close()
			silent = answer.StatusCode == http.StatusBadRequest
		}
		if silent && strings.HasPrefix(e, "http:") {
			err = fmt.Errorf("%s answers, but not without TLS: should its URL begin with https:?", e)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// clientConfig says how the cluster is reached, and refuses what cannot reach any.
func (o *Options) clientConfig() (*clientv3.Config, error) {
	for _, e := range o.Endpoints {
		scheme, address, whole := strings.Cut(e, "://")
		if !whole {
			scheme, address = "http", e
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil || host == "" || port == "" || scheme != "http" && scheme != "https" {
			return nil, fmt.Errorf("store: etcd at %q: give a URL such as http://10.0.0.1:2379", e)
		}
	}
	if (o.User == "") != (o.Password == "") {
		return nil, errors.New("store: a user of etcd needs a password and a password its user")
	}
	tlsConfig, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	return &clientv3.Config{
		Endpoints: o.Endpoints, TLS: tlsConfig, Username: o.User, Password: o.Password,
		DialTimeout: 5 * time.Second, DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 2 * time.Second,
		Logger: zap.New(slogCore{o.Log}),
	}, nil
}

// tlsConfig returns nil when nothing asks for TLS.
func (o *Options) tlsConfig() (*tls.Config, error) {
	secure := o.CertFile != "" || o.KeyFile != "" || o.CAFile != ""
	for _, e := range o.Endpoints {
		secure = secure || strings.HasPrefix(e, "https://")
	}
	if !secure {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("store: read the certificate authority of etcd: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("store: %s holds no PEM certificate", o.CAFile)
		}
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, fmt.Errorf("store: a client certificate for etcd needs both its certificate file and its key file")
	}
	if o.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile); err != nil {
			return nil, fmt.Errorf("store: read the client certificate for etcd: %w", err)
		}
		// Read at each handshake, so that a renewed certificate needs no restart.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
			return &pair, err
		}
	}
	return c, nil
}
