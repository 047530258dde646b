package occopus

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
)

func destroyProgram() program {
	return program{
		name: "destroy", use: "[--cfg F] [--auth_data_path F] -i ID",
		help: "Removes an infrastructure with all its machines.",
		add: func(f *pflag.FlagSet, o *options) {
			o.addInfra(f, "infra_id", "`id` of the infrastructure")
			o.addLenient(f)
			o.need("infra_id")
		},
		run: destroy,
	}
}

func destroy(ctx context.Context, r *run, _ []string) error {
	c, err := r.connect()
	if err != nil {
		return err
	}
	id := r.options.infra
	s, err := infrastructure(ctx, c, id)
	if client.IsNotFound(err) {
		r.say("Unknown infrastructure: \"%s\"", id)
		return r.delist(id)
	}
	if err != nil {
		return err
	}
	f := r.follow(c, id, &s)
	if err := f.acquaint(ctx); err != nil {
		return err
	}
	r.log("Start dropping infrastructure %s", id)
	if err := f.remove(ctx); err != nil {
		if ctx.Err() != nil {
			r.say("Ctrl+C - exiting. What is left of the infrastructure is removed by the next command.")
			return exitCode(exitInterrupted)
		}
		return err
	}
	r.log("Finished dropping infrastructure %s", id)
	return r.delist(id)
}

// remove removes the service and waits until it is gone. What cannot be removed stays on record, and is told.
func (f *follower) remove(ctx context.Context) error {
	f.leaving = true
	// The wish is written down even after Ctrl-C.
	if _, err := f.client.Services().Remove(context.WithoutCancel(ctx), f.ref, client.Undeploy{}); err != nil {
		if client.IsNotFound(err) {
			return nil
		}
		return err
	}
	s, err := f.until(ctx, func(s *client.Service) bool { return s.State == "FAILED_UNDEPLOYING" })
	if err == nil && s.State == client.Gone {
		f.event(f.id, "infradrop")
	}
	if err != nil || s.State == client.Gone {
		return err
	}
	for i, err := range f.client.Services().Instances(ctx, f.ref, client.InstanceFilter{Limit: 1000}) {
		if err != nil {
			return err
		}
		if i.Overdue {
			f.log("Error while dropping node '%s':", i.UUID)
			f.log("%s", i.Reason)
		}
	}
	return failed("The infrastructure %s is not gone: %s; its record stays, run occopus-destroy again", f.id, s.Reason)
}
