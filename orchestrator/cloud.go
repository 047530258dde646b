package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
)

// A Cloud is what an orchestrator finds services with and acts through, for one tenant: the catalogue of an identity service, Troupe's
// own or an OpenStack's. Its methods may be called from several goroutines at once.
type Cloud struct {
	opts   CloudOptions
	client *http.Client

	mu    sync.Mutex
	token string // the one that scope was got with
	scope *scope
}

// CloudOptions say which cloud, and for whom.
type CloudOptions struct {
	// Design is the URL of the identity service, "http://127.0.0.1:35357/v3". The environment variable DESIGN_URI has precedence.
	Design string
	// Token returns the token to act with.
	Token  func() string
	Tenant string // the project's name
	Region string // "" means RegionOne
	Public bool   // use the services' public addresses, not the internal ones
	Client *http.Client
}

// Errors of clouds. What a service answered is told by [gophercloud.ErrUnexpectedResponseCode], which [gophercloud.ResponseCodeIs]
// asks for.
var (
	// ErrNoDesign means that nobody said where the identity service is.
	ErrNoDesign = errors.New("no identity service is known: set DESIGN_URI")
	// ErrNoService means that the catalogue has no such service in the region.
	ErrNoService = errors.New("no such service")
	// ErrNoTenant means that the token is not good for the tenant.
	ErrNoTenant = errors.New("the token is not good for the tenant")
)

// callTime is how long one call may take.
const callTime = 30 * time.Second

// NewCloud returns the cloud; it is not called yet.
func NewCloud(o CloudOptions) *Cloud {
	if uri := os.Getenv("DESIGN_URI"); uri != "" {
		o.Design = uri
	}
	if o.Region == "" {
		o.Region = "RegionOne"
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: callTime}
	}
	return &Cloud{opts: o, client: o.Client}
}

// Cloud returns the cloud that the instance's token and tenant are of, in a region; "" means RegionOne. It is the same each time.
func (i *Instance) Cloud(region string) *Cloud {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.clouds[region]
	if c == nil {
		c = NewCloud(CloudOptions{Token: i.Token, Tenant: i.record.Tenant, Region: region})
		if i.clouds == nil {
			i.clouds = make(map[string]*Cloud)
		}
		i.clouds[region] = c
	}
	return c
}

// A scope is what a token is good for.
type scope struct {
	token     string // for the tenant
	projectID string
	expires   time.Time
	catalog   []tokens.CatalogEntry
}

// service returns a client for a service at an address.
func (c *Cloud) service(token, url string) *gophercloud.ServiceClient {
	if !strings.HasSuffix(url, "/") {
		url += "/"
	}
	p := &gophercloud.ProviderClient{TokenID: token, HTTPClient: *c.client}
	p.UserAgent.Prepend("troupe-orchestrator")
	return &gophercloud.ServiceClient{ProviderClient: p, Endpoint: url}
}

// Design returns the address of version 3 of the identity service, whatever version was named.
func (c *Cloud) Design() (string, error) {
	uri := strings.TrimRight(c.opts.Design, "/")
	if uri == "" {
		return "", ErrNoDesign
	}
	for _, version := range []string{"/v2.0", "/v3"} {
		uri = strings.TrimSuffix(uri, version)
	}
	return uri + "/v3", nil
}

// enter returns the scope of the present token, which is asked for once.
func (c *Cloud) enter(ctx context.Context) (*scope, error) {
	token := c.opts.Token()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scope != nil && c.token == token && time.Until(c.scope.expires) > time.Minute {
		return c.scope, nil
	}
	s, err := c.scopeOf(ctx, token, c.opts.Tenant)
	if err != nil {
		return nil, err
	}
	c.token, c.scope = token, s
	return s, nil
}

// scopeOf asks what a token is good for, and has it exchanged for one of the tenant where it is of another or of none.
func (c *Cloud) scopeOf(ctx context.Context, token, tenant string) (*scope, error) {
	design, err := c.Design()
	if err != nil {
		return nil, err
	}
	client := c.service(token, design)
	shown := tokens.Get(ctx, client, token)
	if refused(shown.Err) {
		return nil, fmt.Errorf("%w %s", ErrNoTenant, tenant)
	}
	if shown.Err != nil {
		return nil, fmt.Errorf("ask %s about a token: %w", design, shown.Err)
	}
	project, err := shown.ExtractProject()
	if err == nil && project != nil && (project.Name == tenant || project.ID == tenant) {
		return newScope(token, project, &shown)
	}
	made := tokens.Create(ctx, client, &tokens.AuthOptions{TokenID: token, Scope: tokens.Scope{ProjectName: tenant, DomainID: "default"}})
	if refused(made.Err) {
		return nil, fmt.Errorf("%w %s", ErrNoTenant, tenant)
	}
	if made.Err != nil {
		return nil, fmt.Errorf("ask %s for a token of tenant %s: %w", design, tenant, made.Err)
	}
	if project, err = made.ExtractProject(); err != nil || project == nil {
		return nil, fmt.Errorf("%s: the token for tenant %s is of no project (%w)", design, tenant, err)
	}
	text, err := made.ExtractTokenID()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", design, err)
	}
	return newScope(text, project, &made)
}

// refused reports whether an identity service does not take a token, or not for what was asked.
func refused(err error) bool {
	return gophercloud.ResponseCodeIs(err, http.StatusUnauthorized) || gophercloud.ResponseCodeIs(err, http.StatusForbidden) || gophercloud.ResponseCodeIs(err, http.StatusNotFound)
}

// newScope reads the rest of an answer about a token.
func newScope(text string, project *tokens.Project, answer interface {
	ExtractToken() (*tokens.Token, error)
	ExtractServiceCatalog() (*tokens.ServiceCatalog, error)
}) (*scope, error) {
	token, err := answer.ExtractToken()
	if err != nil {
		return nil, fmt.Errorf("read an answer about a token: %w", err)
	}
	catalog, err := answer.ExtractServiceCatalog()
	if err != nil {
		return nil, fmt.Errorf("read a catalogue of services: %w", err)
	}
	s := &scope{token: text, projectID: project.ID, expires: token.ExpiresAt}
	if catalog != nil {
		s.catalog = catalog.Entries
	}
	return s, nil
}

// Verify reports whether a token is good for a tenant. An error means that this cannot be found out now. It fits
// [Options].Verify.
func (c *Cloud) Verify(ctx context.Context, token, tenant string) (bool, error) {
	_, err := c.scopeOf(ctx, token, tenant)
	if errors.Is(err, ErrNoTenant) {
		return false, nil
	}
	return err == nil, err
}

// Services returns the types of all services of the tenant's catalogue.
func (c *Cloud) Services(ctx context.Context) ([]string, error) {
	s, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	types := make(map[string]bool)
	for _, e := range s.catalog {
		types[e.Type] = true
	}
	return slices.Sorted(maps.Keys(types)), nil
}

// Endpoints returns the addresses of the services of a type in the region, [ErrNoService] if there are none.
func (c *Cloud) Endpoints(ctx context.Context, serviceType string) ([]string, error) {
	s, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	face := "internal"
	if c.opts.Public {
		face = "public"
	}
	var out []string
	for _, e := range s.catalog {
		if e.Type != serviceType {
			continue
		}
		for _, p := range e.Endpoints {
			if p.Interface == face && (p.Region == c.opts.Region || p.RegionID == c.opts.Region) {
				out = append(out, strings.NewReplacer("%(tenant_id)s", s.projectID, "$(tenant_id)s", s.projectID).Replace(p.URL))
			}
		}
	}
	if out == nil {
		return nil, fmt.Errorf("%w: the endpoint of %s could not be found in region %s; is the service registered?", ErrNoService, serviceType, c.opts.Region)
	}
	return out, nil
}

// Endpoint returns the address of the service of a type; of several it is the last.
func (c *Cloud) Endpoint(ctx context.Context, serviceType string) (string, error) {
	all, err := c.Endpoints(ctx, serviceType)
	if err != nil {
		return "", err
	}
	return all[len(all)-1], nil
}

// to returns a client for the service of a type.
func (c *Cloud) to(ctx context.Context, serviceType string) (*gophercloud.ServiceClient, error) {
	url, err := c.Endpoint(ctx, serviceType)
	if err != nil {
		return nil, err
	}
	s, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	return c.service(s.token, url), nil
}
