package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strconv"
)

// An InstanceFilter chooses instances; empty fields choose all.
type InstanceFilter struct {
	Role  string
	Phase string
	Limit int // instances of one page; 100 when 0
}

// Instances yields the instances of a service, in the order of their serials.
func (s *Services) Instances(ctx context.Context, service string, f InstanceFilter) iter.Seq2[Instance, error] {
	return pages(func(cursor string) (Page[Instance], error) {
		q := url.Values{}
		set(q, "role", f.Role)
		set(q, "phase", f.Phase)
		setPage(q, f.Limit, cursor)
		return ask[Page[Instance]](ctx, s.c, get("services", service, "instances").with(q))
	})
}

// Instance returns one instance.
func (s *Services) Instance(ctx context.Context, service string, serial uint32) (Instance, error) {
	return ask[Instance](ctx, s.c, get("services", service, "instances", number(serial)))
}

// Report writes down an attribute of an instance, such as READY=YES; an empty value removes it.
func (s *Services) Report(ctx context.Context, service string, serial uint32, attributes map[string]string) error {
	return s.c.do(ctx, put(attributes, "services", service, "instances", number(serial), "attributes"), nil)
}

// LogOptions choose which part of an instance's output is read.
type LogOptions struct {
	Follow bool
	Tail   int  // lines from the end; 0 for all that is kept
	Stderr bool // only the error output; otherwise both, in the order written
}

// Logs opens what an instance printed. The caller closes the reader.
func (s *Services) Logs(ctx context.Context, service string, serial uint32, o LogOptions) (io.ReadCloser, error) {
	q := url.Values{}
	flag(q, "follow", o.Follow)
	flag(q, "stderr", o.Stderr)
	if o.Tail > 0 {
		q.Set("tail", strconv.Itoa(o.Tail))
	}
	r := get("services", service, "instances", number(serial), "logs").with(q)
	r.stream = true
	resp, _, err := s.c.open(ctx, r)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// An Exec is a command to be run inside an instance.
type Exec struct {
	Command []string          `json:"command" minItems:"1" maxItems:"1000"`
	Env     map[string]string `json:"env,omitempty"`
	Stdin   []byte            `json:"stdin,omitempty" doc:"Base64."`
	// Stdout and Stderr receive the output as it comes; nil discards it.
	Stdout io.Writer `json:"-"`
	Stderr io.Writer `json:"-"`
}

// An ExecFrame is a line of the answer to an Exec: a piece of output, or in the end the exit code or an
// error.
type ExecFrame struct {
	Stdout []byte `json:"stdout,omitempty" doc:"Base64."`
	Stderr []byte `json:"stderr,omitempty" doc:"Base64."`
	Exit   *int   `json:"exit,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Exec runs a command inside an instance and returns its exit code. It is never repeated.
func (s *Services) Exec(ctx context.Context, service string, serial uint32, x Exec) (int, error) {
	q := post(x, "services", service, "instances", number(serial), "exec")
	q.stream = true
	resp, _, err := s.c.open(ctx, q)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	frames := json.NewDecoder(bufio.NewReader(resp.Body))
	for {
		var f ExecFrame
		if err := frames.Decode(&f); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, fmt.Errorf("exec: the answer broke off, the command may still run: %w", err)
		}
		if err := f.pass(x); err != nil {
			return 0, err
		}
		switch {
		case f.Error != "":
			return 0, errors.New(f.Error)
		case f.Exit != nil:
			return *f.Exit, nil
		}
	}
}

// pass writes the frame's output to where it belongs.
func (f *ExecFrame) pass(x Exec) error {
	if x.Stdout != nil && len(f.Stdout) > 0 {
		if _, err := x.Stdout.Write(f.Stdout); err != nil {
			return err
		}
	}
	if x.Stderr != nil && len(f.Stderr) > 0 {
		if _, err := x.Stderr.Write(f.Stderr); err != nil {
			return err
		}
	}
	return nil
}
