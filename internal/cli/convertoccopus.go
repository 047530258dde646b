package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// specOfOccopus compiles an infrastructure description with the node definitions of these files.
func (t *terminal) specOfOccopus(name string, text []byte, nodes []string) (*service.Spec, error) {
	opts := occopus.Options{Open: occopus.FromDisk}
	infra, warnings, err := occopus.ParseInfrastructure(name, text, opts)
	if err != nil {
		return nil, withCode(exitInvalid, err)
	}
	definitions := map[string]*occopus.Definition{}
	var names []string
	for _, file := range nodes {
		text, err := t.readFile(file)
		if err != nil {
			return nil, err
		}
		found, more, err := occopus.ParseDefinitions(file, text, opts)
		if err != nil {
			return nil, withCode(exitInvalid, err)
		}
		warnings = append(warnings, more...)
		for i := range found {
			definitions[found[i].Name] = &found[i]
			names = append(names, found[i].Name)
		}
	}
	spec, more, err := occopus.Compile(infra, occopus.CompileOptions{Definition: func(kind string) (*occopus.Definition, error) {
		if d := definitions[kind]; d != nil {
			return d, nil
		}
		hint := nearest.Hint(kind, names)
		if hint == "" {
			hint = "; name the file that defines it with --nodes"
		}
		return nil, fmt.Errorf("no node definition %q%s", kind, hint)
	}})
	if err != nil {
		return nil, withCode(exitInvalid, err)
	}
	for _, w := range append(warnings, more...) {
		fmt.Fprintln(t.err, w.Error.Error())
	}
	for _, l := range infra.Lost() {
		fmt.Fprintf(t.err, "%s: %s\n", name, l)
	}
	spec.Format, spec.Document = "", nil
	return spec, nil
}

// convertToOccopus writes the two files of Occopus into a folder.
func (t *terminal) convertToOccopus(name string, spec *service.Spec, folder string) error {
	e, err := occopus.Encode(spec)
	if err != nil {
		return err
	}
	for _, l := range e.Lost {
		fmt.Fprintf(t.err, "%s: %s\n", name, l)
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	for file, text := range map[string][]byte{"infra.yaml": e.Infrastructure, "nodes.yaml": e.Definitions} {
		if err := writeNew(filepath.Join(folder, file), text); err != nil {
			return err
		}
	}
	return nil
}

// writeNew writes a file that is not there yet.
func writeNew(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: remove it, or name another folder with --out", name)
	} else if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
