package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/format/hot"
)

// sourceOptions are what goes with a file that describes a service.
type sourceOptions struct {
	set          []string
	environments []string
	driver       string
	account      string
	simulate     bool
}

func (o *sourceOptions) addFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.set, "set", nil, "`KEY=VALUE` of an input, or of a parameter of a Heat template; may be repeated")
	f.StringArrayVar(&o.set, "param", nil, "the same as --set")
	f.StringArrayVarP(&o.environments, "environment", "e", nil, "`file` of an environment of a Heat template; may be repeated")
	f.StringVar(&o.driver, "driver", "", "of a Heat template: `name` of the driver that makes its servers (default process)")
	f.StringVar(&o.account, "account", "", "of a Heat template: `name` of the driver's account")
	f.BoolVar(&o.simulate, "simulate", false, "of an infrastructure description of Occopus, or a Heat template: make its machines on the driver sim")
}

// inputs returns the values of inputs.
func (o *sourceOptions) inputs() (map[string]string, error) { return assignments("--set", o.set) }

// readService reads a file that describes a service, with what goes with it.
func (o *sourceOptions) readService(t *terminal, name string) (*document, error) {
	d, err := t.readService(name)
	if err != nil {
		return nil, err
	}
	d.Simulate, d.Driver, d.Account = o.simulate, o.driver, o.account
	if d.Format != hot.Format {
		if len(o.environments) > 0 || o.driver != "" || o.account != "" {
			return nil, usageError("%s is no Heat template: only those take -e, --driver and --account", name)
		}
		return d, nil
	}
	return d, d.addTemplate(t, name, o.environments)
}

// addTemplate reads a Heat template with its environments: the files that they name are noted, to be sent along.
func (d *document) addTemplate(t *terminal, name string, environments []string) error {
	folder := filepath.Dir(name)
	var all []hot.File
	for _, file := range environments {
		text, err := t.readFile(file)
		if err != nil {
			return err
		}
		beside := file
		if !filepath.IsAbs(file) {
			if beside, err = filepath.Rel(folder, file); err != nil {
				return err
			}
		}
		all = append(all, hot.File{Name: filepath.ToSlash(beside), Text: text})
	}
	tp, err := hot.Parse(d.File, d.text, all, hot.Options{Open: func(path string) ([]byte, error) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(folder, path)
		}
		info, err := os.Stat(path)
		if err == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is no regular file", path)
		}
		if err != nil {
			return nil, err
		}
		return t.readFile(path)
	}})
	if err != nil {
		return withCode(exitInvalid, err)
	}
	d.Files = tp.Files()
	for _, e := range all {
		d.Environments = append(d.Environments, client.Text{Name: e.Name, Text: string(e.Text)})
	}
	return nil
}

// heatDocument is a Heat template as it is read: its service has the file's name.
func heatDocument(name string, text []byte) *document {
	base := shownName(name)
	d := &document{Name: strings.TrimSuffix(base, filepath.Ext(base)), text: text}
	d.Format, d.Source, d.File = hot.Format, string(text), base
	if name == "-" {
		d.Name = ""
	}
	return d
}
