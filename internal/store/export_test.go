package store

import "crypto/tls"

// TLSConfig lets tests connect as the store does.
func (o *Options) TLSConfig() (*tls.Config, error) { return o.tlsConfig() }
