package occi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Options make a Server.
type Options struct {
	Backend Backend // required
	// Authenticate says who makes a request, or returns an [Error] with the answer for those who may not: 401 with its
	// challenge (see [Unauthorized]), 403 or 400. It is asked before anything else is looked at. nil means that all are Caller{}.
	Authenticate func(r *http.Request) (Caller, error)
	// Hurtle makes the server speak the dialect of Hurtle: all values in quotes and read as text, entities with their
	// categories in full, comments in text/uri-list, JSON older than OCCI 1.2 (unless the client's User-Agent says OCCI/1.2),
	// and the words of the original in errors.
	Hurtle bool
	// Check says what becomes of attributes that are not as the model defines them. Hurtle's services want Unchecked.
	Check Check
	// Prefix is cut from paths before the server sees them ("/occi"): it stands before paths in answers, and is cut from those
	// in requests.
	Prefix string
	// URL returns scheme and authority of the URLs in answers ("https://cloud.example.org"); nil means what the client called.
	URL func(r *http.Request) string
	// Product is the first token of the header Server ("troupe/1.2"); "" means "troupe".
	Product string
	// Version restricts what the server says it speaks to "1.1" or "1.2"; "" means both.
	Version string
	// Default is the media type of answers to clients that do not care; "" means text/plain.
	Default string
	// LocalTargets refuses links to what is not of this listener, as OCCI 1.1 does.
	LocalTargets bool
	// Mixins are those that users define; nil means that they are kept in memory alone.
	Mixins *Mixins
	Limits Limits
	Log    *slog.Logger // of answers with 500; nil for none
}

// A Server serves OCCI over a Backend. It is an [http.Handler] whose requests have paths without the prefix.
type Server struct {
	opts    Options
	product []string // the value of the header Server
	version string   // the highest that it speaks
}

// NewServer returns a server.
func NewServer(o Options) *Server {
	if o.Product == "" {
		o.Product = "troupe"
	}
	if o.Default == "" {
		o.Default = TextPlain
	}
	if o.Mixins == nil {
		o.Mixins, _ = NewMixins(context.Background(), nil) // without a store nothing can fail
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Authenticate == nil {
		o.Authenticate = func(*http.Request) (Caller, error) { return Caller{}, nil }
	}
	o.Limits = o.Limits.withDefaults()
	s := &Server{opts: o, version: "1.2"}
	if o.Version == "" {
		s.product = []string{o.Product + " OCCI/1.1 OCCI/1.2"}
	} else {
		s.product, s.version = []string{o.Product + " OCCI/" + o.Version}, o.Version
	}
	return s
}

// The paths of the query interface.
const (
	queryPath = "/-/"
	wellKnown = "/.well-known/org/ogf/occi/-/"
)

// An exchange is a request with its answer.
type exchange struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	ctx     context.Context
	caller  Caller
	accept  string // the media type of the answer
	catalog *catalog
	view    view
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Server"] = s.product
	x := &exchange{s: s, w: w, r: r}
	if err := x.serve(); err != nil {
		s.WriteError(w, r, err)
	}
}

// serve answers the request, or returns an error before anything is written.
func (x *exchange) serve() error {
	if err := x.s.checkVersion(x.r.UserAgent()); err != nil {
		return err
	}
	caller, err := x.s.opts.Authenticate(x.r)
	if err != nil {
		return err
	}
	x.caller, x.ctx = caller, WithCaller(x.r.Context(), caller)
	if x.accept = negotiate(x.r.Header["Accept"], x.s.opts.Default); x.accept == "" {
		return x.s.unacceptable(x.r.Header.Get("Accept"))
	}
	model, err := x.s.opts.Backend.Model(x.ctx)
	if err != nil {
		return err
	}
	x.catalog = &catalog{Model: model, own: x.s.opts.Mixins, tenant: caller.Tenant}
	x.view = view{host: x.host(), prefix: x.s.opts.Prefix, hurtle: x.s.opts.Hurtle, model: x.catalog}
	path := x.r.URL.Path
	switch {
	case path == queryPath || path == wellKnown:
		return x.query()
	case path == "" || path[len(path)-1] == '/':
		return x.collection(path)
	}
	return x.entity(path)
}

// host returns scheme and authority of the URLs in answers.
func (x *exchange) host() string {
	if x.s.opts.URL != nil {
		return x.s.opts.URL(x.r)
	}
	if x.r.TLS != nil {
		return "https://" + x.r.Host
	}
	return "http://" + x.r.Host
}

// checkVersion refuses clients that say they speak a version beyond the server's.
func (s *Server) checkVersion(agent string) error {
	_, version, ok := strings.Cut(agent, "OCCI/")
	if !ok {
		return nil
	}
	end := strings.IndexFunc(version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end >= 0 {
		version = version[:end]
	}
	if v, err := strconv.ParseFloat(version, 64); err == nil {
		if highest, _ := strconv.ParseFloat(s.version, 64); v > highest {
			return Errorf(http.StatusNotImplemented, "this service speaks OCCI up to version %s, not %s", s.version, version)
		}
	}
	return nil
}

// unacceptable returns the error for a client that accepts nothing the server writes.
func (s *Server) unacceptable(accept string) error {
	if s.opts.Hurtle {
		return Errorf(http.StatusNotAcceptable, "This service is unable to understand the  mime type: '%.100s'", accept)
	}
	return Errorf(http.StatusNotAcceptable, "this service writes %s, %s, %s and %s, but not %s", TextPlain, TextOCCI, TextURIList, JSON, excerpt(accept))
}

// notAllowed returns the error for a method that a URL does not have.
func (x *exchange) notAllowed(allowed ...string) error {
	e := Errorf(http.StatusMethodNotAllowed, "%s is not supported here; use %s", x.r.Method, strings.Join(allowed, " or "))
	if x.s.opts.Hurtle {
		e.Message = "Method not supported."
	}
	e.Header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
	return e
}

// filters reads what the headers of a GET ask for.
func (x *exchange) filters() (*message, error) {
	m := &message{words: x.s.opts.Hurtle, limits: &x.s.opts.Limits}
	if err := m.readHeaders(x.r.Header); err != nil {
		return nil, err
	}
	return m, nil
}

// read reads the body of a write, or its headers: several messages only for several entities.
func (x *exchange) read() ([]*message, error) {
	media := mediaType(x.r.Header)
	limit := x.s.opts.Limits.Body
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, Errorf(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", tooLarge.Limit)
	case err != nil:
		return nil, badRequest("the body could not be read: %w", err)
	}
	if media == "" {
		if media = TextPlain; len(body) == 0 {
			media = TextOCCI // whatever there is to say is in headers
		}
	}
	m := &message{words: x.s.opts.Hurtle, limits: &x.s.opts.Limits}
	out, err := m.read(media, x.r.Header, body)
	return out, clientError(err)
}

// readOne reads a write that may hold one entity alone.
func (x *exchange) readOne() (*message, error) {
	all, err := x.read()
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, badRequest("one entity is wanted here, not %d", len(all))
	}
	return all[0], nil
}

// clientError gives errors of readers the status 400, unless they have one.
func clientError(err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return badRequest("%w", err)
}

// query returns the parameters behind "?". A ";" between them is as good as "&".
func (x *exchange) parameters() (url.Values, error) {
	raw := x.r.URL.RawQuery
	if raw == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(strings.ReplaceAll(raw, ";", "&"))
	if err != nil {
		return nil, badRequest("the query %s cannot be read: %w", excerpt(raw), err)
	}
	return values, nil
}

// local returns the path of a location that a client gave, and whether it is of this listener. A location of another
// service stays as it is.
func (x *exchange) local(location string) (string, bool) {
	u, err := url.Parse(location)
	if err != nil {
		return location, false
	}
	if u.Host != "" && !strings.EqualFold(u.Scheme+"://"+u.Host, x.view.host) && !strings.EqualFold(u.Host, x.r.Host) {
		return location, false
	}
	if u.Host == "" && u.Scheme != "" {
		return location, false
	}
	path := u.Path
	if p := x.s.opts.Prefix; p != "" && strings.HasPrefix(path, p+"/") {
		path = path[len(p):]
	}
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	return path, isClean(path)
}
