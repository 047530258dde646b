package occopus

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/troupe-dev/troupe/internal/format/occopus"
)

// A run is one program at work.
type run struct {
	Terminal
	options options
	config  *occopus.Configuration
	auth    *occopus.Authentication

	mu      sync.Mutex // of what is printed
	sinks   []sink
	events  []sink
	files   []*os.File
	release func() error
}

// A failure is told as it stands, and ends the program with exit code 1.
type failure struct{ text string }

func (f failure) Error() string { return f.text }

func failed(format string, args ...any) error { return failure{fmt.Sprintf(format, args...)} }

// forgiven is a failure that Occopus ends with exit code 0.
func (o *options) forgiven(text string) error {
	if o.lenient {
		return forgiven{text}
	}
	return failure{text}
}

type forgiven struct{ text string }

func (f forgiven) Error() string { return f.text }

// start logs what every program but import logs first.
func (r *run) start() { r.log("Starting up; PID = %d", os.Getpid()) }

// say prints a plain line.
func (r *run) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.Out, format+"\n", args...)
}

func (r *run) close() (err error) {
	if r.release != nil {
		err = r.release()
	}
	for _, f := range r.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// codeOf returns the exit code of what a program ended with, and the text that is still to be told.
func codeOf(err error) (int, string) {
	var code exitCode
	switch {
	case err == nil:
		return exitOK, ""
	case errors.As(err, &code):
		return int(code), ""
	case errors.As(err, new(forgiven)):
		return exitOK, err.Error()
	}
	return exitFailed, err.Error()
}
