package client

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Problem is an error that the server answered (RFC 9457).
type Problem struct {
	Type   string  `json:"type,omitempty"`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Detail string  `json:"detail,omitempty"`
	Errors []Place `json:"errors,omitempty"`
	// Request is the request's id, by which the server's log knows it.
	Request string `json:"request,omitempty"`
	// RetryAfter is when the server wants to be asked again; 0 if it does not say.
	RetryAfter time.Duration `json:"-"`
}

// A Place says what is wrong where: in a document (File, Line, Column), or in the request (Location).
type Place struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Path     string `json:"path,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Location string `json:"location,omitempty"`
	Message  string `json:"message,omitempty"`
}

// String returns place and mistake in one line, as "web.yaml:3:5: roles.app: …".
func (p Place) String() string {
	where, what := p.Location, p.Message
	if p.Detail != "" {
		where, what = p.File, p.Detail
		if p.Line > 0 {
			where += fmt.Sprintf(":%d:%d", p.Line, p.Column)
		}
		if p.Path != "" {
			where = strings.TrimPrefix(where+": "+p.Path, ": ")
		}
	}
	if where == "" {
		return what
	}
	return where + ": " + what
}

// Error returns what is wrong, a line for each place.
func (p *Problem) Error() string {
	var lines []string
	for _, e := range p.Errors {
		lines = append(lines, e.String())
	}
	switch {
	case len(lines) > 0 && lines[0] != "":
		return strings.Join(lines, "\n")
	case p.Detail != "":
		return p.Detail
	case p.Title != "":
		return p.Title
	}
	return "the server answered " + strconv.Itoa(p.Status)
}

// IsNotFound reports whether there is no such thing.
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

// IsDenied reports whether the caller lacks a right, or a quota is used up.
func IsDenied(err error) bool { return hasStatus(err, http.StatusForbidden) }

// IsUnauthorized reports whether the login is wrong or missing.
func IsUnauthorized(err error) bool { return hasStatus(err, http.StatusUnauthorized) }

// IsInvalid reports whether the request was wrong in itself.
func IsInvalid(err error) bool {
	return hasStatus(err, http.StatusBadRequest) || hasStatus(err, http.StatusUnprocessableEntity)
}

// IsConflict reports whether the state of things does not allow the request now.
func IsConflict(err error) bool { return hasStatus(err, http.StatusConflict) }

// IsStale reports whether the object has changed since the revision that the request named.
func IsStale(err error) bool { return hasStatus(err, http.StatusPreconditionFailed) }

// IsUnavailable reports whether the server cannot answer now.
func IsUnavailable(err error) bool { return hasStatus(err, http.StatusServiceUnavailable) }

func hasStatus(err error, status int) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == status
}

// problemOf reads the problem of an answer, whatever form it has.
func problemOf(resp *http.Response) *Problem {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what cannot be read is no detail
	p := &Problem{}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		_ = json.Unmarshal(text, p)          // likewise
		if p.Detail == "" && p.Title == "" { // Prometheus' form, or OTLP's
			var e struct {
				Error string `json:"error"`
				OTLPFailure
			}
			_ = json.Unmarshal(text, &e)
			p.Detail = cmp.Or(e.Error, e.Message)
		}
	}
	if p.Detail == "" && len(p.Errors) == 0 && p.Title == "" {
		p.Title = http.StatusText(resp.StatusCode)
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
			p.Detail = strings.TrimSpace(string(text))
		}
	}
	p.Status = resp.StatusCode
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}

// unheard reports whether err shows that the request never reached the server.
func unheard(err error) bool {
	var op *net.OpError
	return errors.Is(err, syscall.ECONNREFUSED) || (errors.As(err, &op) && op.Op == "dial")
}
