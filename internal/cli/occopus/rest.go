package occopus

import (
	"context"

	"github.com/spf13/pflag"
)

func restProgram() program {
	return program{
		name: "rest-service", use: "[--cfg F] [--auth_data_path F] [--host H] [--port P] [--parallelize | --sequential]",
		help: "Serves the REST interface of Occopus.",
		add: func(f *pflag.FlagSet, o *options) {
			f.StringVar(&o.host, "host", "", "`address` to listen at")
			f.IntVar(&o.port, "port", 0, "`port` to listen at")
			o.addOrder(f)
		},
		run: serve,
	}
}

func serve(_ context.Context, r *run, _ []string) error {
	if err := r.settle(false); err != nil {
		return err
	}
	return failed("The REST interface of Occopus is not part of this program yet; `troupe server` serves Troupe's own")
}
