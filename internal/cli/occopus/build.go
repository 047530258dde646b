package occopus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/format/occopus"
)

func buildProgram() program {
	return program{
		name: "build", use: "[--cfg F] [--auth_data_path F] [--parallelize | --sequential] [-i ID] infra_def",
		help: "Builds the infrastructure that a file describes and prints its id, or changes the one with the id to what the file says.",
		args: []string{"infra_def"},
		add: func(f *pflag.FlagSet, o *options) {
			o.addOrder(f)
			o.addInfra(f, "infra_id", "`id` of the infrastructure; a new one without it")
			f.BoolVar(&o.simulate, "simulate", false, "make the machines on the driver sim, which shows what the real ones would have been asked for")
			f.BoolVar(&o.tearDown, "tear-down", false, "remove the whole infrastructure when a change of it fails, as Occopus 1.10 does")
			o.addLenient(f)
		},
		run: build,
	}
}

func build(ctx context.Context, r *run, args []string) error {
	text, err := occopus.FromDisk(args[0])
	if err != nil {
		return err
	}
	d, err := ReadDescription(args[0], text)
	r.warn(d.Warnings)
	if err != nil {
		return r.refused(err)
	}
	d.Simulate = r.options.simulate || r.config.DryRun
	c, err := r.connect()
	if err != nil {
		return err
	}
	id := r.options.infra
	if id == "" {
		id = uuid.NewString()
	}
	s, err := infrastructure(ctx, c, id)
	if err == nil && s.Leaving && s.State != "DONE" { // a removal that was broken off
		if s, err = r.follow(c, id, &s).until(ctx, ended); err == nil && s.State == "FAILED_UNDEPLOYING" {
			return failed("infrastructure %s is being removed, and cannot be: %s", id, s.Reason)
		}
	}
	b := &builder{run: r, client: c, id: id, description: d}
	switch {
	case ctx.Err() != nil:
		return b.cancelled()
	case err != nil && !client.IsNotFound(err):
		return err
	case err != nil, s.State == "DONE", s.State == client.Gone:
		return b.create(ctx)
	}
	return b.update(ctx, &s)
}

// A builder makes or changes one infrastructure.
type builder struct {
	*run
	client      *client.Client
	id          string
	description *Description
	follower    *follower
}

const (
	tornDown = "An unrecoverable error occured; the partially built infrastructure has been torn down, because of the following error:"
	undone   = "An unrecoverable error occured; what was changed of the infrastructure has been undone, because of the following error:"
)

// unmanaged says that a pass is over, or that the service is gone.
func unmanaged(s *client.Service) bool { return s.Mode == "unmanaged" || ended(s) }

// ended says that nothing is left to be done for a service that is being removed.
func ended(s *client.Service) bool { return s.State == "DONE" || s.State == "FAILED_UNDEPLOYING" }

func (b *builder) atATime() int {
	if b.options.sequential {
		return 1
	}
	return 0
}

func (b *builder) create(ctx context.Context) error {
	// What was asked for must be known before the command ends, even after Ctrl-C.
	s, err := b.client.Services().Create(context.WithoutCancel(ctx), client.CreateService{
		Document: b.description.Document, Alias: b.id, Managed: "build", OnFailure: "abort", AtATime: b.atATime(),
	})
	if err != nil {
		b.say("%s", tornDown)
		return err
	}
	b.follower = b.follow(b.client, b.id, &s)
	b.tellWarnings(ctx)
	b.log("Submitted infrastructure: '%s'", b.id)
	b.event(b.id, "infrastart")
	b.log("Start maintaining the infrastructure %s", b.id)
	s, err = b.follower.until(ctx, unmanaged)
	if err == nil && s.Mode == "unmanaged" && s.State == "RUNNING" {
		return b.built(ctx)
	}
	why := err
	if err == nil {
		why = b.reason(&s)
	}
	if err := b.tearDown(ctx); err != nil {
		return errors.Join(why, err)
	}
	if ctx.Err() != nil {
		return b.cancelled()
	}
	b.say("%s", tornDown)
	return why
}

// tellWarnings logs what the server warns of, beyond what reading the description has told.
func (b *builder) tellWarnings(ctx context.Context) {
	story, err := b.client.Services().Events(ctx, b.follower.ref, 100)
	if err != nil { // they stay in the service's story
		return
	}
	told := map[string]bool{}
	for _, w := range b.description.Warnings {
		known := w.Error
		known.File = b.description.File // as the server calls it
		told[known.Error()] = true
	}
	for _, e := range story {
		if text, ok := strings.CutPrefix(e.Message, "Warning: "); ok && !told[text] {
			b.logAt(levelWarning, "WARNING: %s", text)
		}
	}
}

// reason says why a build has failed.
func (b *builder) reason(s *client.Service) error {
	if len(b.follower.errors) > 0 {
		return errors.New(b.follower.errors[0])
	}
	if s.Reason != "" {
		return errors.New(s.Reason)
	}
	return fmt.Errorf("the infrastructure is %s", s.State)
}

// cancelled tells that Ctrl-C has ended the build, once nothing is left.
func (b *builder) cancelled() error {
	b.say("Cancelled starting infrastructure (Ctrl+C); the partially built infrastructure has been torn down.")
	return b.options.interrupted()
}

func (o *options) interrupted() error {
	if o.lenient {
		return exitCode(exitOK)
	}
	return exitCode(exitInterrupted)
}

// tearDown removes the infrastructure, whatever has become of the context.
func (b *builder) tearDown(ctx context.Context) error {
	return b.follower.remove(context.WithoutCancel(ctx))
}

// built tells of an infrastructure that stands.
func (b *builder) built(ctx context.Context) error {
	b.log("Finished maintaining the infrastructure %s", b.id)
	b.event(b.id, "infraready")
	if err := b.enlist(b.id); err != nil {
		return err
	}
	b.log("Query infrastructure details: '%s'", b.id)
	b.log("Submitted infrastructure: '%s'", b.id)
	b.log("List of nodes/instances/addresses:")
	if err := b.follower.listing(context.WithoutCancel(ctx), ""); err != nil {
		return err
	}
	b.say("%s", b.id)
	return nil
}

// update changes an infrastructure that is there. What it does is undone when it fails, and what was there stays.
func (b *builder) update(ctx context.Context, s *client.Service) error {
	b.log("Updating infrastructure: '%s'", b.id)
	b.follower = b.follow(b.client, b.id, s)
	if err := b.follower.acquaint(ctx); err != nil {
		return err
	}
	whole := context.WithoutCancel(ctx)
	before := s.Revision
	if _, err := b.client.Services().Update(whole, s.Ref(), client.UpdateService{Document: b.description.Document, AtATime: b.atATime()}); err != nil {
		b.say("%s", undone)
		return err
	}
	wished, err := b.client.Services().Get(whole, s.Ref())
	if err != nil {
		return err
	}
	b.log("Submitted infrastructure: '%s'", b.id)
	b.log("Start maintaining the infrastructure %s", b.id)
	now, err := b.follower.pass(ctx, &wished, b.atATime())
	if err == nil && now.Revision == wished.Revision && (now.Pass == nil || now.Pass.Failure == "") && !ended(&now) && !now.Failed() {
		return b.built(ctx)
	}
	why := err
	if err == nil {
		why = b.reason(&now)
	}
	switch {
	case b.options.tearDown:
		err = b.tearDown(ctx)
	default:
		err = b.goBack(whole, before, wished.Revision)
	}
	if err != nil {
		return errors.Join(why, err)
	}
	if ctx.Err() != nil {
		b.say("Cancelled updating infrastructure (Ctrl+C); what was changed of the infrastructure has been undone.")
		return b.options.interrupted()
	}
	if b.options.tearDown {
		b.say("%s", tornDown)
	} else {
		b.say("%s", undone)
	}
	return why
}

// goBack returns to the revision before the update, unless the server has done so by itself.
func (b *builder) goBack(ctx context.Context, before, wished uint32) error {
	ref := b.follower.ref
	now, err := b.client.Services().Get(ctx, ref)
	if err != nil {
		return err
	}
	if now.Revision != wished && now.Mode == "unmanaged" {
		return nil
	}
	if now.Revision == wished && before != wished {
		if _, err := b.client.Services().Rollback(ctx, ref, before); err != nil {
			return err
		}
	}
	b.follower.known, b.follower.mishap = nil, ""
	_, err = b.follower.pass(ctx, &now, 0)
	return err
}
