package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// openExternal connects to a cluster and checks that it answers.
func openExternal(ctx context.Context, opts *Options) (backend, error) {
	tlsConfig, err := opts.tlsConfig()
	if err != nil {
		return nil, err
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: opts.Endpoints, TLS: tlsConfig, Username: opts.User, Password: opts.Password,
		DialTimeout: 5 * time.Second, DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 2 * time.Second,
		Logger: zap.New(slogCore{opts.Log}),
	})
	if err != nil {
		return nil, fmt.Errorf("store: connect to etcd at %s: %w", strings.Join(opts.Endpoints, ","), classify(err))
	}
	e := &etcd{client: client, maxOps: MaxOps, maxBytes: MaxBytes}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, _, err := e.get(ctx, opts.Prefix+"schema", false); err != nil {
		client.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil, fmt.Errorf("store: connect to etcd at %s: %w", strings.Join(opts.Endpoints, ","), err)
	}
	return e, nil
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
