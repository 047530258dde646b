package cli

import (
	stdbytes "bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/cli/occopus"
	"github.com/troupe-dev/troupe/internal/format/native"
	format "github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// A document is a user's file, checked as far as that goes without a server.
type document struct {
	client.Document
	Name string // of the service or machine definition
	text []byte
}

// readFile reads a file of the user's, "-" for standard input.
func (t *terminal) readFile(name string) ([]byte, error) {
	in := t.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, tree.MaxBytes+1))
	if err != nil {
		return nil, withCode(exitInvalid, err)
	}
	if len(text) > tree.MaxBytes {
		return nil, withCode(exitInvalid, fmt.Errorf("%s: larger than 8 MiB", name))
	}
	return text, nil
}

// readService reads the description of a service in whatever format it has.
func (t *terminal) readService(name string) (*document, error) {
	text, err := t.readFile(name)
	if err != nil {
		return nil, err
	}
	switch {
	case format.Describes(text):
		return t.readDescription(name, text)
	case format.Defines(text):
		return nil, withCode(exitInvalid, fmt.Errorf("%s: these are node definitions of Occopus: store them with `troupe machine add`, then name the infrastructure description", name))
	case formatOf(text) == "oneflow":
		body, err := parseOneFlow(name, text)
		if err != nil {
			return nil, err
		}
		d := &document{Name: body.Root().Text("name"), text: text}
		d.Format, d.Source, d.File = "oneflow", string(text), shownName(name)
		return d, nil
	}
	d := &document{text: text}
	spec, err := native.Parse(name, text, d.offline(name))
	if err != nil {
		return nil, withCode(exitInvalid, err)
	}
	d.Name, d.Format, d.Source, d.File = spec.Name, "native", string(text), shownName(name)
	return d, nil
}

// readDescription reads an infrastructure description of Occopus.
func (t *terminal) readDescription(name string, text []byte) (*document, error) {
	found, err := occopus.ReadDescription(name, text)
	if err != nil {
		return nil, withCode(exitInvalid, err)
	}
	return &document{Document: found.Document, Name: found.Infrastructure.Name, text: text}, nil
}

// readMachines reads a machine definition, or all node definitions of a file of Occopus.
func (t *terminal) readMachines(name string) ([]client.Document, error) {
	text, err := t.readFile(name)
	if err != nil {
		return nil, err
	}
	switch {
	case format.Describes(text):
		return nil, withCode(exitInvalid, fmt.Errorf("%s: this is an infrastructure description: deploy it with `troupe up`", name))
	case format.Defines(text):
		_, documents, warnings, err := occopus.ReadDefinitions(name, text)
		for _, w := range warnings {
			fmt.Fprintln(t.err, "Warning:", w.Error.Error())
		}
		return documents, withCode(exitInvalid, err)
	}
	d := &document{text: text}
	m, err := native.ParseMachine(name, text, d.offline(name))
	if err != nil {
		return nil, withCode(exitInvalid, err)
	}
	d.Name, d.Format, d.Source, d.File = m.Name, "native", string(text), shownName(name)
	return []client.Document{d.Document}, nil
}

func shownName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return filepath.Base(name)
}

// offline are the options to read a native document without a server: included files are noted, to be
// sent along; named machine definitions and drivers are the server's to know.
func (d *document) offline(name string) native.Options {
	open := native.Dir(filepath.Dir(name))
	return native.Options{
		Open: func(path string) ([]byte, error) {
			text, err := open(path)
			if err == nil {
				if d.Files == nil {
					d.Files = make(map[string]string)
				}
				d.Files[path] = string(text)
			}
			return text, err
		},
		Machine: unknownMachine,
	}
}

// unknownMachine stands for a definition that only the server knows.
func unknownMachine(name string) (service.Machine, error) {
	return service.Machine{Name: name, Implementations: []service.Implementation{{Driver: "process"}}}, nil
}

// formatOf tells a OneFlow template, whose roles are an array in JSON, from a native document.
func formatOf(text []byte) string {
	if !stdbytes.HasPrefix(stdbytes.TrimSpace(stripComments(text)), []byte("{")) {
		return "native"
	}
	body, err := oneflow.Parse(text)
	if err != nil {
		return "native" // whose reader says what is wrong
	}
	if roles := body.Root().Get("roles"); roles != nil {
		if _, array := roles.([]any); array {
			return "oneflow"
		}
	}
	return "native"
}

// stripComments skips the comments that may come before a JSON document.
func stripComments(text []byte) []byte {
	for {
		text = stdbytes.TrimSpace(text)
		var end string
		switch {
		case stdbytes.HasPrefix(text, []byte("//")):
			end = "\n"
		case stdbytes.HasPrefix(text, []byte("/*")):
			end = "*/"
		default:
			return text
		}
		_, rest, found := stdbytes.Cut(text, []byte(end))
		if !found {
			return text
		}
		text = rest
	}
}

func parseOneFlow(name string, text []byte) (*oneflow.Body, error) {
	body, err := oneflow.Parse(text)
	if err == nil {
		_, err = body.Normalise()
	}
	if err != nil {
		return nil, withCode(exitInvalid, fmt.Errorf("%s: %w", name, err))
	}
	return body, nil
}

// assignments reads KEY=VALUE arguments.
func assignments(flag string, args []string) (map[string]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(args))
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		if !ok || key == "" {
			return nil, usageError("%s %q: give KEY=VALUE", flag, a)
		}
		if _, twice := out[key]; twice {
			return nil, usageError("%s %q: %s is given twice", flag, a, key)
		}
		out[key] = value
	}
	return out, nil
}
