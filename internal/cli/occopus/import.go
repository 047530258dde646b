package occopus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/format/occopus"
)

func importProgram() program {
	return program{
		name: "import", use: "[--cfg F] datafile", quiet: true, args: []string{"datafile"},
		help: "Stores the node definitions of a file, with all that they import.",
		add:  func(f *pflag.FlagSet, o *options) { o.addLenient(f) },
		run:  importDefinitions,
	}
}

func importDefinitions(ctx context.Context, r *run, args []string) error {
	text, err := occopus.FromDisk(args[0])
	if err != nil {
		return err
	}
	definitions, documents, warnings, err := ReadDefinitions(args[0], text)
	for _, w := range warnings {
		fmt.Fprintln(r.Err, "WARNING:", w.Error.Error())
	}
	if err != nil {
		err = r.refused(err)
		var f failure
		if errors.As(err, &f) {
			return r.options.forgiven(f.text)
		}
		return err
	}
	if r.Env("TROUPE_URL") == "" {
		if err := errors.Join(r.meet(definitions), r.notePlaces(definitions)); err != nil {
			return err
		}
	}
	c, err := r.connect()
	if err != nil {
		return err
	}
	names := make([]string, len(documents))
	for n, d := range documents {
		names[n] = definitions[n].Name
		if _, err := c.Machines().Put(ctx, client.PutMachine{Document: d, Permissions: r.shared()}); err != nil {
			return err
		}
	}
	r.say("Successfully imported nodes: %s", strings.Join(names, ", "))
	return nil
}
