package occopus

import (
	"path"
	"path/filepath"

	"github.com/troupe-dev/troupe/client"
	drivers "github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/format/occopus"
)

// A Description is an infrastructure description as a server takes it, with all that it imports.
type Description struct {
	client.Document
	Infrastructure *occopus.Infrastructure
	Warnings       []occopus.Warning
}

// ReadDescription reads an infrastructure description and the files that it imports. name is the file's. The error,
// if any, is an *occopus.Invalid.
func ReadDescription(name string, text []byte) (*Description, error) {
	d := &Description{Document: client.Document{Format: occopus.Format, Source: string(text), File: filepath.Base(name)}}
	folder := path.Dir(filepath.ToSlash(name))
	infra, warnings, err := occopus.ParseInfrastructure(name, text, occopus.Options{Open: func(file string) ([]byte, error) {
		text, err := occopus.FromDisk(file)
		if err == nil {
			if d.Files == nil {
				d.Files = map[string]string{}
			}
			d.Files[inFolder(folder, file)] = string(text)
		}
		return text, err
	}})
	d.Infrastructure, d.Warnings = infra, warnings
	return d, err
}

// inFolder returns the name of a file as a document in the folder calls it.
func inFolder(folder, file string) string {
	if rel, err := filepath.Rel(folder, file); err == nil && !path.IsAbs(file) {
		return filepath.ToSlash(rel)
	}
	return file
}

// ReadDefinitions reads a file of node definitions with all that it imports, and makes a document of each, in the order
// of the file. The error, if any, is an *occopus.Invalid.
func ReadDefinitions(name string, text []byte) (all []occopus.Definition, out []client.Document, warnings []occopus.Warning, err error) {
	all, warnings, err = occopus.ParseDefinitions(name, text, occopus.Options{Open: occopus.FromDisk})
	if err != nil {
		return nil, nil, warnings, err
	}
	for n := range all {
		if err := all[n].Check(drivers.Kinds().Find); err != nil {
			return nil, nil, warnings, err
		}
		source, err := all[n].Text()
		if err != nil {
			return nil, nil, warnings, err
		}
		out = append(out, client.Document{Format: occopus.Format, Source: string(source), File: filepath.Base(name)})
	}
	return all, out, warnings, nil
}
