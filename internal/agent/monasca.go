package agent

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// monasca is a Monasca whose tokens come from Keystone.
type monasca struct {
	client   *http.Client
	keystone *keystone
	address  string // explicit; "" for the catalogue's
}

func newMonasca(c *MonascaTarget) (*monasca, error) {
	client, err := newClient(c.CACert)
	if err != nil {
		return nil, err
	}
	return &monasca{client, &keystone{client: client, config: c, password: secret{file: c.PasswordFile, value: c.password}}, c.URL}, nil
}

func (m *monasca) String() string {
	if m.address != "" {
		return m.address
	}
	return "the Monasca of " + m.keystone.config.KeystoneURL
}

// post sends with the token that there is; one that is refused is replaced once.
func (m *monasca) post(ctx context.Context, body []byte) error {
	err := m.try(ctx, body)
	if Denied(err) && m.keystone.forget() {
		return m.try(ctx, body)
	}
	return err
}

func (m *monasca) try(ctx context.Context, body []byte) error {
	t, err := m.keystone.token(ctx)
	if err != nil {
		return fmt.Errorf("get a token: %w", err)
	}
	address := m.address
	if address == "" {
		address = t.monasca
	}
	return postMetrics(ctx, m.client, versioned(address)+"/metrics", http.Header{"X-Auth-Token": {t.id}}, body)
}

// versioned adds the version to an address that lacks it: many a catalogue was written without.
func versioned(address string) string {
	address = strings.TrimRight(address, "/")
	if !strings.HasSuffix(address, "/v2.0") {
		address += "/v2.0"
	}
	return address
}
