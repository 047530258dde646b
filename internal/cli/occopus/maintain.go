package occopus

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/format/occopus"
)

func maintainProgram() program {
	return program{
		name: "maintain", use: "[--cfg F] [--auth_data_path F] [--parallelize | --sequential] [-l] [-r] [-i ID] [-c] [-t SECONDS] [-o FILE] [-f TEXT]",
		help: "Brings an infrastructure to what it should be: once, or with -c for as long as the program runs.",
		add: func(f *pflag.FlagSet, o *options) {
			o.addOrder(f)
			f.BoolVarP(&o.list, "list", "l", false, "list the infrastructures")
			f.BoolVarP(&o.report, "report", "r", false, "list the nodes of an infrastructure with their addresses")
			o.addInfra(f, "infraid", "`id` of the infrastructure")
			f.BoolVarP(&o.cyclic, "cyclic", "c", false, "go on until Ctrl-C")
			f.Float64VarP(&o.interval, "interval", "t", 10, "with -c: `seconds` from one log of a pass to the next; what fails is replaced at once")
			f.StringVarP(&o.output, "output", "o", "", "with -r: a `file` for the addresses, one line an instance")
			f.StringVarP(&o.filter, "filter", "f", "", "with -r: only nodes whose names have this `text`")
		},
		run: maintain,
	}
}

func maintain(ctx context.Context, r *run, _ []string) error {
	id := r.options.infra
	if id == "" && !r.options.list {
		return failed("ERROR: No infra_id (-i) specified! ")
	}
	c, err := r.connect()
	if err != nil {
		return err
	}
	if id == "" {
		return r.showList(ctx, c)
	}
	s, err := infrastructure(ctx, c, id)
	switch {
	case client.IsNotFound(err) && r.options.report:
		r.log("%s", reportHeading)
		return nil
	case client.IsNotFound(err):
		r.say("Unexpected error:")
		return failed("('Unknown infrastructure', '%s')", id)
	case err != nil:
		return err
	}
	f := r.follow(c, id, &s)
	if err := f.heard(ctx); err != nil {
		return err
	}
	switch {
	case r.options.report:
		return f.report(ctx)
	case r.options.cyclic:
		return f.cycle(ctx)
	}
	return f.once(ctx, &s)
}

// showList lists the infrastructures in the order of their creation.
func (r *run) showList(ctx context.Context, c *client.Client) error {
	var ids []string
	for s, err := range c.Services().List(ctx, client.ServiceFilter{Limit: 1000}) {
		if err != nil {
			return err
		}
		if s.Format == occopus.Format && s.State != "DONE" {
			ids = append(ids, cmp.Or(s.Alias, s.Ref()))
		}
	}
	if len(ids) == 0 {
		r.say("No active infrastructure!")
		return nil
	}
	r.say("List of active infrastructure:")
	for _, id := range ids {
		r.say("%s", id)
	}
	return nil
}

// heard waits until the server knows how the infrastructure's machines are: as far as their back ends answer, and with
// a round of health checks behind them.
func (f *follower) heard(ctx context.Context) error {
	denied := false
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		used, checking := map[string]bool{}, false
		for i, err := range f.client.Services().Instances(ctx, f.ref, client.InstanceFilter{Limit: 1000}) {
			if err != nil {
				return err
			}
			used[memberOf(&i).backend], checking = true, checking || i.Checking
		}
		listed := denied
		if !denied {
			status, err := f.client.Status(ctx)
			switch denied = client.IsDenied(err); { // it is somebody else's server, which has been running
			case denied:
				listed = true
			case err != nil:
				return err
			default:
				listed = !slices.ContainsFunc(status.Backends, func(b client.Backend) bool { return used[b.Key] && b.Listed == nil && b.Error == "" })
			}
		}
		if listed && !checking {
			return nil
		}
		if !wait(ctx, pause) {
			return ctx.Err()
		}
	}
}

// tellDown logs which instances' services are down, as a pass of Occopus finds them.
func (f *follower) tellDown(ctx context.Context) error {
	for i, err := range f.client.Services().Instances(ctx, f.ref, client.InstanceFilter{Limit: 1000}) {
		if err != nil {
			return err
		}
		if m := memberOf(&i); m.up && i.Failing != nil {
			f.log("Health checking for node %s", &m)
			f.log("Health checking result: pending")
			f.logAt(levelWarning, "Service on node %s is down for %.3f seconds!", &m, time.Since(*i.Failing).Seconds())
		}
	}
	return nil
}

const reportHeading = "Report list of nodes/instances/addresses:"

func (f *follower) report(ctx context.Context) error {
	f.log("%s", reportHeading)
	if err := f.listing(ctx, f.options.filter); err != nil || f.options.output == "" {
		return err
	}
	f.log("Saving list of node addresses to file \"%s\"...", f.options.output)
	nodes, members, err := f.members(ctx, f.options.filter)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, node := range nodes {
		for _, m := range members[node] {
			text.WriteString(strings.Join(m.addresses, " ") + "\n")
		}
	}
	if err := os.WriteFile(f.options.output, []byte(text.String()), 0o666); err != nil {
		return err
	}
	f.log("Done.")
	return nil
}

func (f *follower) atATime() int {
	if f.options.sequential {
		return 1
	}
	return 0
}

// pass has the service managed until all that is wished has settled, or a new instance has failed, and returns it as it is
// then. One that is managed by somebody else is only waited for.
func (f *follower) pass(ctx context.Context, s *client.Service, atATime int) (client.Service, error) {
	if s.Mode == "managed" {
		return f.until(ctx, func(s *client.Service) bool { return s.Mode == "unmanaged" || settled(s) })
	}
	if _, err := f.client.Services().Attach(context.WithoutCancel(ctx), f.ref, client.Attach{Once: true, AtATime: atATime}); err != nil {
		return client.Service{}, err
	}
	now, err := f.until(ctx, func(s *client.Service) bool { return unmanaged(s) || f.mishap != "" })
	if err != nil || f.mishap == "" {
		return now, err
	}
	if ended(&now) {
		return now, errors.New(f.mishap)
	}
	if _, err := f.client.Services().Detach(context.WithoutCancel(ctx), f.ref); err != nil {
		return now, err
	}
	return now, errors.New(f.mishap)
}

// settled says that a managed service has come to rest.
func settled(s *client.Service) bool {
	switch s.State {
	case "RUNNING", "WARNING", "COOLDOWN", "HOLD", "DONE":
		return true
	}
	return s.Failed()
}

func (f *follower) once(ctx context.Context, s *client.Service) error {
	if err := f.acquaint(ctx); err != nil {
		return err
	}
	f.log("Start maintaining the infrastructure %s", f.id)
	if err := f.tellDown(ctx); err != nil {
		return err
	}
	now, err := f.pass(ctx, s, f.atATime())
	switch {
	case ctx.Err() != nil:
		f.log("Cancelling pending instructions")
		if _, err := f.client.Services().Detach(context.WithoutCancel(ctx), f.ref); err != nil {
			return err
		}
		f.say("Ctrl+C - exiting.")
		return nil
	case err == nil && now.Failed(), err == nil && now.State == client.Gone:
		err = errors.New(cmp.Or(now.Reason, "the infrastructure is "+now.State))
	case err == nil && now.Pass != nil && now.Pass.Failure != "":
		err = errors.New(now.Pass.Failure)
	}
	if err != nil {
		f.say("Unexpected error:")
		return err
	}
	f.log("Finished maintaining the infrastructure %s", f.id)
	f.event(f.id, "infraready")
	return nil
}

// cycle has the service managed until the context ends. What fails meanwhile is replaced when it fails.
func (f *follower) cycle(ctx context.Context) error {
	if err := f.acquaint(ctx); err != nil {
		return err
	}
	interval := time.Duration(f.options.interval * float64(time.Second))
	for ctx.Err() == nil {
		f.log("Start maintaining the infrastructure %s", f.id)
		_, err := f.client.Services().Attach(ctx, f.ref, client.Attach{AtATime: f.atATime()})
		switch {
		case client.IsNotFound(err):
			f.say("Unexpected error:")
			return failed("('Unknown infrastructure', '%s')", f.id)
		case err == nil:
			err = f.watchOver(ctx, interval)
		}
		if errors.Is(err, errGone) {
			f.say("The infrastructure has been removed.")
			return nil
		}
		if err != nil && ctx.Err() == nil {
			f.log("Unexpected error: %v", err)
			wait(ctx, interval)
		}
	}
	f.log("Cancelling pending instructions")
	if _, err := f.client.Services().Detach(context.WithoutCancel(ctx), f.ref); err != nil && !client.IsNotFound(err) {
		return err
	}
	f.say("Ctrl+C - exiting.")
	return nil
}

var errGone = errors.New("the infrastructure has been removed")

// watchOver tells what happens until the interval has passed.
func (f *follower) watchOver(ctx context.Context, interval time.Duration) error {
	over, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	finished, trouble := false, ""
	s, err := f.until(over, func(s *client.Service) bool {
		switch {
		case s.Failed() && trouble != s.Reason:
			trouble = s.Reason
			f.log("Unexpected error: %s", s.Reason)
		case !finished && settled(s) && !s.Failed():
			finished = true
			f.log("Finished maintaining the infrastructure %s", f.id)
			f.event(f.id, "infraready")
		}
		return ended(s)
	})
	switch {
	case err == nil && (ended(&s) || s.State == client.Gone):
		return errGone
	case over.Err() != nil:
		return nil
	}
	return err
}
