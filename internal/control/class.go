package control

import (
	"errors"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/store"
)

// A Class sorts the errors that come from below control, for faces to put into their own words.
type Class uint8

// The classes.
const (
	Other      Class = iota // none of these
	Paused                  // all effects are off
	Unanswered              // may have happened; to be sent again with the same id
	Missing                 // there is no such thing
	NotNow                  // it is there, and cannot do that
	Taken                   // another one has that name
	Wrong                   // the back end refused the request itself
	Down                    // the back end is
)

// ClassOf returns the class of an error.
func ClassOf(err error) Class {
	for _, c := range [...]struct {
		class Class
		errs  []error
	}{
		{Paused, []error{engine.ErrPaused}},
		{Unanswered, []error{engine.ErrUnavailable, store.ErrClosed, store.ErrAmbiguous}},
		{Missing, []error{engine.ErrNoService, engine.ErrNoInstance, engine.ErrNoRevision}},
		{Taken, []error{engine.ErrAliasTaken}},
		{NotNow, []error{engine.ErrNoMachine, engine.ErrNotHalted, driver.ErrUnsupported}},
		{Down, []error{driver.ErrUnavailable, driver.ErrThrottled}},
		{Wrong, []error{driver.ErrInvalid}},
		{Missing, []error{driver.ErrNotFound}},
	} {
		for _, e := range c.errs {
			if errors.Is(err, e) {
				return c.class
			}
		}
	}
	return Other
}

// A BackendStatus says how a back end is.
type BackendStatus = engine.BackendStatus
