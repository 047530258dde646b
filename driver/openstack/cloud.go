package openstack

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/troupe-dev/troupe/driver"
)

// What is asked of the services: tags at creation, flavors within servers, floating addresses by Neutron alone, types of
// boot volumes. Every cloud since 2019 has it.
const (
	novaVersion   = "2.67"
	cinderVersion = "3.44"
)

// makeTime is how long a request that makes something may take, whatever becomes of whoever asked.
const makeTime = 2 * time.Minute

// A cloud is one opened account: one project of one region, as one installation sees it.
type cloud struct {
	access       *access
	ctx          context.Context // of the account; what outlives its caller ends with it
	installation string
	measures     bool
	transport    *http.Transport
	names        names
	claims       driver.Claims
	tokens       driver.Tokens

	mu       sync.Mutex
	entering chan struct{} // closed when a log-in under way has ended; nil for none
	services *services     // nil before the first log-in
}

// services are the parts of a cloud.
type services struct {
	nova, neutron, glance *gophercloud.ServiceClient
	cinder                *gophercloud.ServiceClient // nil where the cloud has no volumes
	heat                  *gophercloud.ServiceClient // nil where it has no stacks
	project               *tokens.Project            // of the account; nil where Keystone does not tell
}

// open asks the cloud nothing: it need not be there before it is used.
func open(ctx context.Context, cfg driver.Config) (driver.Driver, error) {
	c, err := newCloud(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return driver.Order(c), nil
}

func newCloud(ctx context.Context, cfg driver.Config) (*cloud, error) {
	a, err := accessOf(cfg.Values)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.TLSClientConfig, t.MaxIdleConnsPerHost, t.ResponseHeaderTimeout = a.tls, 16, makeTime
	context.AfterFunc(ctx, t.CloseIdleConnections)
	return &cloud{access: a, ctx: ctx, installation: cfg.Installation, measures: driver.Get[bool](cfg.Values, "measure"), transport: t}, nil
}

// connect returns the services, after logging in if that has not been done. Later the client logs in by itself when its
// token has run out. It may be called at once by many, of whom one logs in.
func (c *cloud) connect(ctx context.Context) (*services, error) {
	for {
		c.mu.Lock()
		s, entering := c.services, c.entering
		if s == nil && entering == nil {
			c.entering = make(chan struct{})
		}
		c.mu.Unlock()
		if s != nil {
			return s, ctx.Err()
		}
		if entering != nil {
			select {
			case <-entering:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		s, err := c.logIn(ctx)
		c.mu.Lock()
		c.services = s
		close(c.entering)
		c.entering = nil
		c.mu.Unlock()
		return s, err
	}
}

func (c *cloud) logIn(ctx context.Context) (*services, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := openstack.NewClient(c.access.auth.IdentityEndpoint)
	if err != nil {
		return nil, err
	}
	p.UserAgent.Prepend("troupe")
	p.HTTPClient = http.Client{Transport: c.transport, CheckRedirect: sameHost}
	if err := openstack.Authenticate(ctx, p, c.access.auth); err != nil {
		return nil, &loginError{err}
	}
	s := &services{}
	if token, ok := p.GetAuthResult().(tokens.CreateResult); ok {
		if s.project, err = token.ExtractProject(); err != nil {
			return nil, err
		}
	}
	for _, part := range []struct {
		to   **gophercloud.ServiceClient
		open func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)
	}{{&s.nova, openstack.NewComputeV2}, {&s.neutron, openstack.NewNetworkV2}, {&s.glance, openstack.NewImageV2}, {&s.cinder, openstack.NewBlockStorageV3}, {&s.heat, openstack.NewOrchestrationV1}} {
		client, err := part.open(p, c.access.at)
		if (part.to == &s.cinder || part.to == &s.heat) && isNone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		*part.to = client
	}
	s.nova.Microversion = novaVersion
	if s.cinder != nil {
		s.cinder.Microversion = cinderVersion
	}
	return s, nil
}

// sameHost lets services redirect to themselves, as Heat does: the token goes with the request.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 5 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// A loginError is one of Keystone's.
type loginError struct{ error }

func (e *loginError) Error() string { return "log in to Keystone: " + e.error.Error() }
func (e *loginError) Unwrap() error { return e.error }

// making returns a context for a request that makes something. It outlives its caller, so that it is always known what
// became of the request before anybody removes what it may have made, but not the account.
func (c *cloud) making(ctx context.Context) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithTimeout(context.WithoutCancel(ctx), makeTime)
	stop := context.AfterFunc(c.ctx, cancel)
	return inner, func() { stop(); cancel() }
}

// claimed runs a call that makes something, while nobody else works on what it is about. When ctx ends first it returns,
// and the call goes on to the end of the request that it has sent and no further.
func claimed[T any](ctx context.Context, c *cloud, id driver.MachineID, call func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	release, err := c.claims.Claim(ctx, id)
	if err != nil {
		return none, err
	}
	done := make(chan answer, 1)
	go func() {
		defer release()
		v, err := call()
		done <- answer{v, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// mark is the tag of everything of this installation.
func (c *cloud) mark() string { return tag("troupe=" + c.installation) }

// description is what the things of Neutron say that are made for a machine or as a resource: the one thing that is
// written with their creation and that can be asked for.
func (c *cloud) description(what string, id driver.MachineID) string {
	return "Troupe " + c.installation + " " + what + " " + string(id)
}

// tag makes a tag of a text: at most 60 characters, without commas and slashes.
func tag(text string) string {
	if len(text) <= 60 && !strings.ContainsAny(text, ",/") {
		return text
	}
	return text[:min(strings.IndexByte(text, '=')+1, 20)] + digest(text)
}
