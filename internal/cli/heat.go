package cli

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/format/hot"
	"github.com/troupe-dev/troupe/internal/service"
)

// sourceOptions are what goes with a file that describes a service.
type sourceOptions struct {
	set, params  []string
	environments []string
	driver       string
	account      string
	simulate     bool
}

func (o *sourceOptions) addFlags(f *pflag.FlagSet) {
	o.addTemplateFlags(f)
	f.BoolVar(&o.simulate, "simulate", false, "of an infrastructure description of Occopus, or a Heat template: make its machines on the driver sim")
}

// addTemplateFlags adds those that go with a Heat template, and with inputs.
func (o *sourceOptions) addTemplateFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.set, "set", nil, "`KEY=VALUE` of an input, or of a parameter of a Heat template; may be repeated")
	f.StringArrayVar(&o.params, "param", nil, "`KEY=VALUE`, the same as --set")
	f.StringArrayVarP(&o.environments, "environment", "e", nil, "`file` of an environment of a Heat template; may be repeated")
	f.StringVar(&o.driver, "driver", "", "of a Heat template: `name` of the driver that makes its servers (default process)")
	f.StringVar(&o.account, "account", "", "of a Heat template: `name` of the driver's account")
}

// inputs returns the values of inputs.
func (o *sourceOptions) inputs() (map[string]string, error) {
	return assignments("--set", append(slices.Clone(o.set), o.params...))
}

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
	tp, texts, err := t.readTemplate(name, d.text, environments)
	if err != nil {
		return err
	}
	d.Files = tp.Files()
	for _, e := range texts {
		d.Environments = append(d.Environments, client.Text{Name: e.Name, Text: string(e.Text)})
	}
	return nil
}

// readTexts reads files that are sent along under their own names.
func (t *terminal) readTexts(files []string) (out []client.Text, err error) {
	for _, file := range files {
		text, err := t.readFile(file)
		if err != nil {
			return nil, err
		}
		out = append(out, client.Text{Name: shownName(file), Text: string(text)})
	}
	return out, nil
}

// readTemplate reads a Heat template with its environments, which it returns under names beside the template's.
func (t *terminal) readTemplate(name string, text []byte, environments []string) (*hot.Template, []hot.File, error) {
	folder := filepath.Dir(name)
	var beside []hot.File
	for _, file := range environments {
		text, err := t.readFile(file)
		if err != nil {
			return nil, nil, err
		}
		shown := file
		if !filepath.IsAbs(file) {
			if shown, err = filepath.Rel(folder, file); err != nil {
				return nil, nil, err
			}
		}
		beside = append(beside, hot.File{Name: filepath.ToSlash(shown), Text: text})
	}
	tp, err := hot.Parse(shownName(name), text, beside, hot.Options{Open: func(path string) ([]byte, error) {
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
	return tp, beside, withCode(exitInvalid, err)
}

// specOfHeat compiles a Heat template without a server: no machine definition is known.
func (t *terminal) specOfHeat(name string, text []byte, o *sourceOptions) (*service.Spec, error) {
	tp, _, err := t.readTemplate(name, text, o.environments)
	if err != nil {
		return nil, err
	}
	inputs, err := o.inputs()
	if err != nil {
		return nil, err
	}
	opts := hot.CompileOptions{Driver: cmp.Or(o.driver, "process"), Account: o.account, Kinds: all.Kinds().Find, Parameters: map[string]any{}}
	for k, v := range inputs {
		opts.Parameters[k] = v
	}
	spec, warnings, err := tp.Compile(opts)
	for _, w := range warnings {
		fmt.Fprintln(t.err, w)
	}
	if err != nil {
		return nil, withCode(exitInvalid, err)
	}
	for _, o := range tp.Outputs {
		fmt.Fprintf(t.err, "%s: outputs.%s: left out\n", name, o.Name)
	}
	spec.Format, spec.Document = "", nil
	return spec, nil
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
