package occopus

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/format/occopus"
)

// A run is one program at work.
type run struct {
	Terminal
	options options
	config  *occopus.Configuration
	auth    *occopus.Authentication

	mu      sync.Mutex // of what is printed
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

// log prints a line of the log: time, tab, text; every line of the text by itself.
func (r *run) log(format string, args ...any) {
	now := time.Now()
	stamp := now.Format("2006-01-02 15:04:05") + fmt.Sprintf(",%03d", now.Nanosecond()/1_000_000)
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintf(r.Out, "** %s\t%s\n", stamp, line)
	}
}

// say prints a plain line.
func (r *run) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.Out, format+"\n", args...)
}

func (r *run) close() error {
	if r.release == nil {
		return nil
	}
	return r.release()
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
