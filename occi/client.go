package occi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A Client asks an OCCI service. It takes what services in the field answer: JSON of OCCI 1.2 and of Hurtle, and texts with
// what they lack or have too much. Its methods may be called from several goroutines at once; errors that a service
// answered are of type [Error].
//
// Paths are below the root of the service: "/compute/1c2d". Scheme and host of the URLs in answers are not looked at, as
// services behind proxies do not know their own; only what links lead to may be elsewhere, by its host.
type Client struct {
	// URL is the root of the service: "https://cloud.example.org/occi".
	URL string
	// HTTP sends the requests; nil for http.DefaultClient. Its timeout bounds each.
	HTTP *http.Client
	// Header is sent with every request: credentials such as X-Auth-Token, or a User-Agent.
	Header http.Header
	// Login is called, if it is there, when the service wants other credentials, with its WWW-Authenticate. What it returns is sent
	// besides Header from then on.
	Login func(ctx context.Context, challenge string) (http.Header, error)
	// InHeaders sends what there is to say in headers, as text/occi, for services that read no bodies. It is not for
	// long attributes.
	InHeaders bool
	// Accept is the list of media types that are asked for; "" for JSON first and text otherwise.
	Accept string

	mu     sync.Mutex
	logged http.Header // of the last Login
}

const (
	clientAccept = JSON + ", " + TextPlain + ";q=0.9, " + TextOCCI + ";q=0.8"
	// Lists are best as URLs alone.
	clientList = TextPlain + ", " + TextURIList + ";q=0.9, " + TextOCCI + ";q=0.8, " + JSON + ";q=0.5"
	maxAnswer  = 64 << 20 // bytes
)

// clientLimits bound what a service may answer.
var clientLimits = Limits{Categories: 1 << 20, Links: 1 << 20, Attributes: 1 << 20, Locations: 1 << 20, Value: maxAnswer}

// Discover reads the query interface. Categories that contradict others are left out.
func (c *Client) Discover(ctx context.Context) (*Model, error) {
	a, err := c.do(ctx, http.MethodGet, queryPath, "", nil)
	if err != nil {
		return nil, err
	}
	all, err := a.read()
	if err != nil {
		return nil, fmt.Errorf("read the query interface of %s: %w", c.URL, err)
	}
	var categories []Category
	for _, m := range all {
		for _, category := range m.categories {
			if category.Location != "" {
				category.Location = c.path(category.Location)
			}
			if category.Class == 0 {
				category.Class = classOf(&category)
			}
			categories = append(categories, category)
		}
	}
	return newModel(categories, true)
}

// classOf guesses the class of a category that does not tell.
func classOf(c *Category) Class {
	for _, id := range c.Depends {
		if id.Scheme() == CoreScheme {
			c.Parent, c.Depends = id, nil
			return Kind
		}
	}
	switch {
	case c.ID.Scheme() == CoreScheme:
		return Kind
	case c.Location == "":
		return Action
	}
	return Mixin
}

// List returns the paths of the entities in a collection that have one of the categories, if there are any, and all of the
// attributes.
func (c *Client) List(ctx context.Context, collection string, categories []Category, attributes Attributes) ([]string, error) {
	var filter http.Header
	if len(categories) > 0 || len(attributes) > 0 {
		filter = inHeaders(writeRequest(categories, attributes, nil))
	}
	a, err := c.send(ctx, http.MethodGet, collection, clientList, filter, nil)
	if err != nil {
		return nil, err
	}
	all, err := a.read()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", collection, err)
	}
	paths := []string{}
	for _, m := range all {
		locations := m.locations
		if id := m.attributes.Text(AttrID); len(locations) == 0 && strings.Contains(id, "/") {
			locations = []string{id}
		}
		for _, location := range locations {
			paths = append(paths, c.path(location))
		}
	}
	return paths, nil
}

// Get returns an entity.
func (c *Client) Get(ctx context.Context, path string) (*Entity, error) {
	a, err := c.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return nil, err
	}
	return c.entity(a, path)
}

// Create makes an entity in a collection, usually the location of its kind, and returns its path. Where e has a Path it is
// made there, if the service lets clients choose.
func (c *Client) Create(ctx context.Context, collection string, e *Entity) (string, error) {
	attributes := e.Attributes
	if e.Target.Location != "" {
		attributes = append(Attributes{{AttrSource, c.reference(e.Source)}, {AttrTarget, c.reference(e.Target)}}, attributes...)
	}
	method, at := http.MethodPost, collection
	if e.Path != "" {
		method, at = http.MethodPut, e.Path
	}
	a, err := c.do(ctx, method, at, "", writeRequest(typed(e), attributes, c.links(e)))
	if err != nil {
		return "", err
	}
	if location := a.header.Get("Location"); location != "" {
		return c.path(location), nil
	}
	if text := trim(string(a.body)); !strings.ContainsAny(text, "\n\" ") && (strings.HasPrefix(text, "/") || strings.Contains(text, "://")) {
		return c.path(text), nil
	}
	if all, err := a.read(); err == nil && len(all) > 0 {
		if m := all[0]; len(m.locations) > 0 {
			return c.path(m.locations[0]), nil
		} else if id := m.attributes.Text(AttrID); strings.Contains(id, "/") {
			return c.path(id), nil
		} else if id != "" {
			return strings.TrimSuffix(collection, "/") + "/" + strings.TrimPrefix(id, "urn:uuid:"), nil
		}
	}
	if e.Path != "" {
		return e.Path, nil
	}
	return "", fmt.Errorf("create in %s: the service answered %d, but not where the entity is", collection, a.status)
}

// Update changes an entity and returns it as the service shows it then. Mixins are added and removed one after the other.
func (c *Client) Update(ctx context.Context, path string, kind TypeID, change Change) (*Entity, error) {
	var categories []Category
	method := http.MethodPost
	if change.Full {
		method = http.MethodPut
		categories = append(categories, Category{ID: kind, Class: Kind})
	}
	for _, id := range change.Add {
		categories = append(categories, Category{ID: id, Class: Mixin})
	}
	if _, err := c.do(ctx, method, path, "", writeRequest(categories, change.Attributes, nil)); err != nil {
		return nil, err
	}
	if len(change.Remove) > 0 {
		model, err := c.Discover(ctx)
		if err != nil {
			return nil, err
		}
		for _, id := range change.Remove {
			mixin := model.Find(id)
			if mixin == nil {
				return nil, badRequest("the service has no mixin %s", id)
			}
			if _, err := c.do(ctx, http.MethodDelete, mixin.Location, "", &request{locations: []string{c.root() + escapePath(path)}}); err != nil {
				return nil, err
			}
		}
	}
	return c.Get(ctx, path)
}

// Act invokes an action of an entity, or of all members of a collection.
func (c *Client) Act(ctx context.Context, path string, i Invocation) error {
	_, err := c.do(ctx, http.MethodPost, path, "?action="+url.QueryEscape(i.Action.Term()), writeRequest([]Category{{ID: i.Action, Class: Action}}, i.Attributes, nil))
	return err
}

// Delete removes an entity, or all members of a collection. The attributes are for services that want to be told some; none are
// usual.
func (c *Client) Delete(ctx context.Context, path string, attributes ...Attribute) error {
	var say *request
	if len(attributes) > 0 {
		say = writeRequest(nil, attributes, nil)
	}
	_, err := c.do(ctx, http.MethodDelete, path, "", say)
	return err
}

// Define makes mixins of one's own known; Undefine removes them from the service.
func (c *Client) Define(ctx context.Context, mixins ...Category) error {
	_, err := c.do(ctx, http.MethodPost, queryPath, "", writeRequest(mixins, nil, nil))
	return err
}

// Undefine removes mixins of one's own from the service.
func (c *Client) Undefine(ctx context.Context, mixins ...TypeID) error {
	var categories []Category
	for _, id := range mixins {
		categories = append(categories, Category{ID: id, Class: Mixin})
	}
	_, err := c.do(ctx, http.MethodDelete, queryPath, "", writeRequest(categories, nil, nil))
	return err
}

// Set changes those attributes of an entity that are given, none perhaps, and does not ask how it is then.
func (c *Client) Set(ctx context.Context, path string, attributes Attributes) error {
	_, err := c.do(ctx, http.MethodPost, path, "", writeRequest(nil, attributes, nil))
	return err
}

// typed returns the categories of an entity.
func typed(e *Entity) []Category {
	out := []Category{{ID: e.Kind, Class: Kind}}
	for _, id := range e.Mixins {
		out = append(out, Category{ID: id, Class: Mixin})
	}
	return out
}

// root returns the URL of the service without a slash at its end.
func (c *Client) root() string { return strings.TrimSuffix(c.URL, "/") }

// path returns the path of a location below the root.
func (c *Client) path(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return location
	}
	path := u.Path
	if root, err := url.Parse(c.root()); err == nil && strings.HasPrefix(path, root.Path+"/") {
		path = path[len(root.Path):]
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path
}

// reference returns the location of a link's end as the service knows it.
func (c *Client) reference(r Reference) string {
	if strings.HasPrefix(r.Location, "/") {
		u, err := url.Parse(c.root())
		if err != nil {
			return r.Location
		}
		return u.Path + escapePath(r.Location)
	}
	return r.Location
}

// An answer is what a service answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// read reads an answer in whatever rendering it is.
func (a *answer) read() ([]*message, error) {
	media := mediaType(a.header)
	m := &message{limits: &clientLimits, tolerant: true}
	all, err := []*message{m}, error(nil)
	if media == TextOCCI || media == "" {
		err = m.readHeaders(a.header)
	} else {
		all, err = m.read(media, a.header, a.body)
	}
	if err != nil { // which is no Error: no service has answered so
		return nil, errors.New(err.Error())
	}
	return all, nil
}

// entity returns the entity in an answer.
func (c *Client) entity(a *answer, path string) (*Entity, error) {
	all, err := a.read()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(all) != 1 || len(all[0].categories) == 0 {
		return nil, fmt.Errorf("read %s: the service answered no entity", path)
	}
	m := all[0]
	e := &Entity{Path: path}
	for _, category := range m.categories {
		if category.Class == Kind || category.Class == 0 && e.Kind == "" {
			e.Kind = category.ID
		} else {
			e.Mixins = append(e.Mixins, category.ID)
		}
	}
	e.take(m.attributes, c)
	for _, action := range m.actions {
		e.Actions = append(e.Actions, action.action)
	}
	for i := range m.links {
		l := &m.links[i]
		one := &Entity{Source: Reference{Location: path, Kind: e.Kind}}
		if l.self != "" {
			one.Path = c.path(l.self)
		}
		if len(l.category) > 0 {
			one.Kind, one.Mixins = l.category[0], l.category[1:]
		}
		one.take(l.attributes, c)
		one.Target = Reference{Location: c.location(l.target)}
		if len(l.rel) > 0 {
			one.Target.Kind = l.rel[0]
		}
		e.Links = append(e.Links, one)
	}
	return e, nil
}

// take gives an entity its attributes, those that are fields among them.
func (e *Entity) take(attributes Attributes, c *Client) {
	for _, a := range attributes {
		switch a.Name {
		case AttrID:
			e.ID = valueText(a.Value)
		case AttrSource:
			e.Source.Location = c.location(valueText(a.Value))
		case AttrTarget:
			e.Target.Location = c.location(valueText(a.Value))
		default:
			e.Attributes = append(e.Attributes, a)
		}
	}
}

// location returns the path of what is of the service, and any other URL as it is.
func (c *Client) location(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	root, err := url.Parse(c.root())
	if u.Host != "" && err == nil && !strings.EqualFold(u.Host, root.Host) {
		return s
	}
	return c.path(s)
}

// do sends a request and logs in if the service wants that.
func (c *Client) do(ctx context.Context, method, path, query string, say *request) (*answer, error) {
	accept := c.Accept
	if accept == "" {
		accept = clientAccept
	}
	var header http.Header
	var body []byte
	switch {
	case say == nil:
	case c.InHeaders:
		header = inHeaders(say)
	default:
		header, body = http.Header{"Content-Type": {TextPlain}}, say.plain()
	}
	return c.send(ctx, method, path+query, accept, header, body)
}

func (c *Client) send(ctx context.Context, method, path, accept string, header http.Header, body []byte) (*answer, error) {
	a, err := c.once(ctx, method, path, accept, header, body)
	if err != nil || a.status != http.StatusUnauthorized || c.Login == nil {
		return a.orError(method, path, err)
	}
	logged, err := c.Login(ctx, a.header.Get("WWW-Authenticate"))
	if err != nil {
		return nil, fmt.Errorf("log in to %s: %w", c.URL, err)
	}
	c.mu.Lock()
	c.logged = logged
	c.mu.Unlock()
	a, err = c.once(ctx, method, path, accept, header, body)
	return a.orError(method, path, err)
}

func (c *Client) once(ctx context.Context, method, path, accept string, header http.Header, body []byte) (*answer, error) {
	path, query, found := strings.Cut(path, "?")
	target := c.root() + escapePath(path)
	if found {
		target += "?" + query
	}
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	logged := c.logged
	c.mu.Unlock()
	for _, h := range []http.Header{c.Header, logged, header} {
		for name, values := range h {
			r.Header[name] = values
		}
	}
	r.Header.Set("Accept", accept)
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // all that is wanted has been read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, target, err)
	}
	if len(text) > maxAnswer {
		return nil, fmt.Errorf("%s %s: the answer has more than %d bytes", method, target, maxAnswer)
	}
	return &answer{resp.StatusCode, resp.Header, text}, nil
}

// orError returns the answer if it is a success.
func (a *answer) orError(method, path string, err error) (*answer, error) {
	if err != nil {
		return nil, err
	}
	if a.status < 300 {
		return a, nil
	}
	text := trim(string(a.body[:min(len(a.body), 2000)]))
	if text == "" {
		text = http.StatusText(a.status)
	}
	return nil, &Error{Status: a.status, Header: a.header, Message: fmt.Sprintf("%s %s: %d: %s", method, path, a.status, printable(strings.ToValidUTF8(text, "?")))}
}

// RetryAfter returns how long a service that is down wants to be left alone; 0 if it does not say.
func (e *Error) RetryAfter() time.Duration {
	d, err := time.ParseDuration(e.Header.Get("Retry-After") + "s")
	if err != nil {
		return 0
	}
	return max(0, d)
}
