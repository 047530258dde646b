package occopus

import (
	"context"
	"net"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/format/occopus"
)

func restProgram() program {
	return program{
		name: "rest-service", use: "[--cfg F] [--auth_data_path F] [--host H] [--port P] [--parallelize | --sequential] [--guest USER]",
		help: "Serves the REST interface of Occopus until Ctrl-C. Infrastructures stay; after a start nothing is maintained until it is attached.",
		add: func(f *pflag.FlagSet, o *options) {
			f.StringVar(&o.host, "host", "", "`address` to listen at")
			f.IntVar(&o.port, "port", -1, "`port` to listen at")
			f.StringVar(&o.guest, "guest", "", "`user` that requests without credentials act as, made when there is none; the clients of Occopus send none")
			o.addOrder(f)
		},
		run: serve,
	}
}

func serve(ctx context.Context, r *run, _ []string) error {
	if r.Env("TROUPE_URL") != "" {
		return failed("The server that TROUPE_URL names serves this interface itself: at its path /occopus, and with `troupe server --occopus-listen` at a port of its own")
	}
	if r.options.guest != "" {
		if err := r.inviteGuest(ctx); err != nil {
			return err
		}
	}
	host, port := r.options.host, r.options.port
	if host == "" {
		host = r.config.Host
	}
	if port < 0 {
		port = r.config.Port
	}
	s, err := r.own(func(o *app.Options) {
		o.OccopusListen, o.Occopus.Guest, o.Occopus.Simulate = net.JoinHostPort(host, strconv.Itoa(port)), r.options.guest, r.config.DryRun
		if r.options.sequential {
			o.Occopus.AtATime = 1
		}
	})
	if err != nil {
		return err
	}
	if err := s.Hold(ctx); err != nil {
		return err
	}
	if err := r.leaveAlone(ctx, s.Client()); err != nil {
		return err
	}
	r.log("Serving the REST interface of Occopus at %s", s.Addrs()["occopus"])
	<-ctx.Done()
	r.log("Ctrl+C - exiting.")
	return r.leaveAlone(context.WithoutCancel(ctx), s.Client())
}

// inviteGuest makes the user that requests without credentials act as. A server starts with guests only when there is one.
func (r *run) inviteGuest(ctx context.Context) error {
	s, err := r.own(nil)
	if err != nil {
		return err
	}
	_, err = s.Client().Users().Get(ctx, r.options.guest)
	if client.IsNotFound(err) {
		_, err = s.Client().Users().Add(ctx, client.AddUser{Name: r.options.guest, Group: "users"})
	}
	if closed := r.release(); err == nil {
		err = closed
	}
	r.release = nil
	return err
}

// leaveAlone ends the maintenance of all infrastructures: whoever wants it attaches them.
func (r *run) leaveAlone(ctx context.Context, c *client.Client) error {
	for s, err := range c.Services().List(ctx, client.ServiceFilter{}) {
		if err != nil {
			return err
		}
		if s.Format != occopus.Format || s.Mode == "unmanaged" || s.Leaving {
			continue
		}
		if _, err := c.Services().Detach(ctx, s.Ref()); err != nil && !client.IsNotFound(err) {
			return err
		}
	}
	return nil
}
