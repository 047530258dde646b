// Package occi is the OCCI face: Troupe's services as OCCI's infrastructure. An instance is a compute, a network or
// volume of a service is a network or storage, and links join them. A compute that is created here is a service of one instance.
// The protocol is [github.com/troupe-dev/troupe/occi]'s; this package is the backend behind it.
//
// Paths are made of the service's number: /compute/7-3 is instance 3 of service 7, /network/7-back its network "back". What
// was created here has a service of its own, whose number alone is its path: /compute/7.
package occi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/occi"
)

// Format marks the services that were made here.
const Format = "occi"

// Options make an OCCI.
type Options struct {
	Control   *control.Control
	PublicURL string // of the main listener, for URLs in answers; "" for what the client called
	Version   string // of Troupe, in the header Server
	Log       *slog.Logger
}

// An OCCI serves the face.
type OCCI struct {
	Options
	mixins *occi.Mixins
	notes  *notes

	mu     sync.Mutex
	models map[string]*occi.Model // by what a caller may see
	made   uint64                 // the state of the machine definitions that models is of
}

// New returns the face over a Control. It reads what the face has kept.
func New(ctx context.Context, o Options) (*OCCI, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &OCCI{Options: o, models: make(map[string]*occi.Model)}
	var err error
	if f.notes, err = loadNotes(ctx, o.Control); err != nil {
		return nil, err
	}
	f.mixins, err = occi.NewMixins(ctx, mixinStore{o.Control})
	return f, err
}

// Face returns the face under a prefix: "/occi", or "" at the root of a port of its own.
func (f *OCCI) Face(prefix string) api.Face {
	product := "troupe"
	if f.Version != "" {
		product += "/" + f.Version
	}
	server := occi.NewServer(occi.Options{
		Backend: f, Authenticate: callerOf, Prefix: prefix, Product: product, LocalTargets: true, Mixins: f.mixins, Log: f.Log,
		URL: func(r *http.Request) string { return api.BaseURL(r, f.PublicURL) },
	})
	return api.Face{Name: "occi", Prefix: prefix, Challenge: `Basic realm="troupe"`,
		Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := control.WithOrigin(r.Context(), control.Origin{Request: api.RequestID(r.Context()), Face: "occi"})
			r.Pattern = pattern(r.URL.Path)
			server.ServeHTTP(w, r.WithContext(ctx))
		}),
		Errors:       func(w http.ResponseWriter, r *http.Request, err error) { server.WriteError(w, r, failure(err)) },
		Authenticate: api.ByToken}
}

// callerOf tells the server who asks: whoever has passed the listener's login. Tokens that may only read change nothing.
func callerOf(r *http.Request) (occi.Caller, error) {
	who := api.Caller(r.Context())
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !who.Can(identity.ScopeOperate) {
		return occi.Caller{}, occi.Errorf(http.StatusForbidden, "the token may only read")
	}
	return occi.Caller{Tenant: strconv.Itoa(who.Group), Value: who}, nil
}

// caller returns who asks.
func caller(ctx context.Context) *identity.Caller {
	who, _ := occi.CallerOf(ctx).Value.(*identity.Caller)
	return who
}

// tenant is whose recorded links and mixins a caller sees.
func tenant(ctx context.Context) string { return occi.CallerOf(ctx).Tenant }

// pattern is the label of a path in the metrics.
func pattern(path string) string {
	switch {
	case path == "/-/" || path == "/.well-known/org/ogf/occi/-/":
		return "query interface"
	case path == "" || path[len(path)-1] == '/':
		return "collection"
	}
	return "entity"
}

// failure returns the answer to an error of control or of the API.
func failure(err error) error {
	if err == nil {
		return nil
	}
	var known *occi.Error
	var refusal *service.Refusal
	var problems service.Problems
	var misplaced *control.Misplaced
	answer := func(status int) error {
		return &occi.Error{Status: status, Message: err.Error(), Err: err}
	}
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &refusal):
		switch refusal.Kind {
		case service.NoSuch:
			return answer(http.StatusNotFound)
		case service.BadValue:
			return answer(http.StatusBadRequest)
		}
		return answer(http.StatusConflict)
	case errors.As(err, &problems), errors.As(err, &misplaced) && !errors.Is(err, identity.ErrDenied):
		return answer(http.StatusBadRequest)
	}
	switch control.ClassOf(err) {
	case control.Paused, control.Unanswered, control.Down:
		return &occi.Error{Status: http.StatusServiceUnavailable, Message: err.Error(), Err: err, Header: http.Header{"Retry-After": {"5"}}}
	case control.Missing:
		return answer(http.StatusNotFound)
	case control.NotNow, control.Taken:
		return answer(http.StatusConflict)
	case control.Wrong:
		return answer(http.StatusBadRequest)
	}
	p := api.ProblemOf(err)
	if p.Status == http.StatusInternalServerError {
		return err // logged, and not shown
	}
	return &occi.Error{Status: p.Status, Message: p.Error(), Err: err}
}
