package occi

import (
	"errors"
	"fmt"
	"net/http"
)

// An Error is an answer that is not a success: what a backend or an authentication hook returns to choose the status,
// and what [Client] returns for what a server answered.
type Error struct {
	Status  int    // of HTTP
	Message string // the body
	// Header holds what the answer needs besides, such as WWW-Authenticate or Retry-After; nil for nothing.
	Header http.Header
	// Err is the cause, if there is one. Clients are not told.
	Err error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error with a message made by [fmt.Errorf]; what %w stands for becomes its cause.
func Errorf(status int, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Status: status, Message: err.Error(), Err: errors.Unwrap(err)}
}

// NotFound returns the Error for an entity that is not there, or not the caller's.
func NotFound(path string) *Error {
	return Errorf(http.StatusNotFound, "Resource not found: '%s'", path)
}

// Unauthorized returns the Error for a request without credentials or with wrong ones; challenge is the header
// WWW-Authenticate, such as `Basic realm="troupe"`.
func Unauthorized(challenge, message string) *Error {
	return &Error{Status: http.StatusUnauthorized, Message: message, Header: http.Header{"Www-Authenticate": {challenge}}}
}

// StatusOf returns the status that an error stands for: that of the [Error] in it, else 500.
func StatusOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return http.StatusInternalServerError
}

func badRequest(format string, args ...any) *Error {
	return Errorf(http.StatusBadRequest, format, args...)
}
