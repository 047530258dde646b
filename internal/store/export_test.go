package store

import (
	"crypto/tls"

	"go.uber.org/zap"
)

// TLSConfig lets tests connect as the store does.
func (o *Options) TLSConfig() (*tls.Config, error) { return o.tlsConfig() }

// Doom lets the embedded etcd meet a fatal error.
func (s *Store) Doom(err error) {
	go s.db.(*embedded).server.GetLogger().Fatal("failed to commit tx", zap.Error(err))
}
