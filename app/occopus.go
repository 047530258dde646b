package app

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/api/occopus"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
)

// Occopus says how the Occopus face differs from its defaults.
type Occopus struct {
	// Guest is the user that requests without credentials act as on the face's own listener: the clients of Occopus send
	// none. It must be on loopback; the user must exist, and be neither an administrator nor hold the grant "host". "" for
	// nobody.
	Guest       string
	StatusCodes bool // HTTP statuses of errors say what they are, instead of 200
	Simulate    bool // all machines are made by the driver sim, which shows what others would have been asked for
	// AtATime bounds how many instances of an infrastructure are made or removed at a time; 0 for no bound.
	AtATime int
}

// guests marks the listener as one that asks for no credentials; nil for one that does.
func (o *Occopus) guests() func() (*identity.Caller, error) {
	if o.Guest == "" {
		return nil
	}
	return func() (*identity.Caller, error) { return nil, identity.ErrNoCredentials }
}

func (o *Options) verifyOccopus() error {
	if o.Occopus.Guest != "" && o.OccopusListen == "" {
		return errors.New("--occopus-guest is for the listener of --occopus-listen, which is missing")
	}
	return nil
}

// checkGuest refuses a start for whose guests there is no user, or one who may do too much.
func (a *App) checkGuest() error {
	if a.opts.Occopus.Guest == "" {
		return nil
	}
	if _, err := a.occopusGuest(); err != nil {
		return optionsError{err}
	}
	return nil
}

// occopusGuest returns whom requests without credentials act as. It is asked at each of them: users change.
func (a *App) occopusGuest() (*identity.Caller, error) {
	name := a.opts.Occopus.Guest
	refuse := func(why string) error {
		return &api.Problem{Status: http.StatusForbidden, Detail: fmt.Sprintf("--occopus-guest %.60s: %s", name, why)}
	}
	u, err := a.directory.UserNamed(name)
	if err != nil {
		return nil, refuse("there is no such user; start without it, and make one with `troupe user add`")
	}
	who, err := a.directory.As(u.ID)
	switch {
	case err != nil:
		return nil, refuse("there is no such user any more")
	case who.Admin:
		return nil, refuse("administrators need credentials; name another user")
	case who.Host:
		return nil, refuse("who may run commands on this host needs credentials; name a user without the grant \"host\"")
	}
	who.Scopes = identity.ScopeRead | identity.ScopeOperate
	return who, nil
}

// occopusFace makes the Occopus face.
func (a *App) occopusFace(c *control.Control) *occopus.Occopus {
	return occopus.New(occopus.Options{Control: c, Settings: occopus.Settings{StatusCodes: a.opts.Occopus.StatusCodes, Simulate: a.opts.Occopus.Simulate, AtATime: a.opts.Occopus.AtATime}, Log: a.opts.Log.With("face", "occopus")})
}
