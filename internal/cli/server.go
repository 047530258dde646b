package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/internal/api/onegate"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// serverOptions are the flags of `troupe server`.
type serverOptions struct {
	app       app.Options
	config    string
	compat    bool
	measure   time.Duration
	logFormat string
	logLevel  string
}

func (o *serverOptions) addFlags(f *pflag.FlagSet, env func(string) string) {
	f.StringVar(&o.config, "config", "", "configuration `file` (YAML); flags and environment override it")
	f.StringVar(&o.app.DataDir, "data-dir", defaultDataDir(env), "`folder` of state, key, audit trail and machines")
	f.StringSliceVar(&o.app.Etcd.Endpoints, "etcd", nil, "`URLs` of an etcd cluster that holds the state instead")
	f.StringVar(&o.app.Etcd.CA, "etcd-ca", "", "PEM `file` of the cluster's authority")
	f.StringVar(&o.app.Etcd.Cert, "etcd-cert", "", "PEM `file` of this server's certificate for the cluster")
	f.StringVar(&o.app.Etcd.Key, "etcd-key", "", "PEM `file` of its key")
	f.StringVar(&o.app.Etcd.User, "etcd-user", "", "`user` of the cluster")
	f.StringVar(&o.app.Etcd.PasswordFile, "etcd-password-file", "", "`file` with that user's password")
	f.StringVar(&o.app.MasterKey, "master-key", "", "`file` of the key that encrypts secrets (default master.key in the data folder)")
	f.Var(sizeFlag{&o.app.Quota}, "quota", "most `bytes` of the embedded database, such as 16G (default 8 GiB)")
	f.StringVar(&o.app.Listen, "listen", "127.0.0.1:7070", "`address` of the main listener")
	f.StringVar(&o.app.Socket, "socket", "", "Unix socket `file` that serves the same to this user's own processes, without credentials")
	f.StringVar(&o.app.OneFlowListen, "oneflow-listen", "", "`address` at whose root OneFlow is served too")
	f.StringVar(&o.app.OneGateListen, "onegate-listen", "", "`address` at whose root OneGate is served too")
	f.StringVar(&o.app.OccopusListen, "occopus-listen", "", "`address` at whose root Occopus is served too")
	f.StringVar(&o.app.Occopus.Guest, "occopus-guest", "", "`user` that requests there act as, without credentials; neither an administrator nor granted the host")
	f.BoolVar(&o.app.Occopus.StatusCodes, "occopus-status-codes", false, "Occopus answers errors with HTTP statuses that say what they are, instead of 200")
	f.StringVar(&o.app.OCCIListen, "occi-listen", "", "`address` at whose root OCCI is served too")
	f.StringVar(&o.app.MonascaListen, "monasca-listen", "", "`address` at whose root Monasca is served too")
	f.StringVar(&o.app.KeystoneListen, "keystone-listen", "", "`address` at whose root Keystone is served too")
	f.StringVar(&o.app.HeatListen, "heat-listen", "", "`address` at whose root Heat is served too")
	f.StringVar(&o.app.Heat.Driver, "heat-driver", "", "`driver` of servers of Heat templates whose image no machine definition stands for; default that of the only account, else process")
	f.StringVar(&o.app.Heat.Account, "heat-account", "", "`account` of that driver")
	f.StringSliceVar(&o.app.HurtleListen, "hurtle-listen", nil, "`addresses` at whose roots single service managers are served, each HOST:PORT or TERM=HOST:PORT; without a term the first is for the manager that was added first")
	f.StringVar(&o.app.HurtleCloudListen, "hurtle-cc-listen", "", "`address` at whose root Hurtle's Cloud Controller is served")
	f.BoolVar(&o.compat, "compat", false, "serve OneFlow, OneGate, Occopus, OCCI, Monasca, Keystone, Heat and the first of Hurtle's managers at 127.0.0.1 on their customary ports 2474, 5030, 5000, 8787, 8070, 35357, 8004 and 8888 too")
	f.StringVar(&o.app.Keystone.Validate, "keystone-validate", "", "`URL` of a real Keystone whose tokens are good for Monasca")
	f.StringVar(&o.app.Keystone.Service, "keystone-service", "", "openrc `file` of a user who may validate tokens there")
	f.StringSliceVar(&o.app.Keystone.Projects, "keystone-project", nil, "`ID=GROUP`, the group that stands for a project there; others get one of their own")
	f.Var(spanFlag{&o.app.Keystone.Remember}, "keystone-remember", "how long its answer about a token is good, and so how long a revoked one may be (default 5m)")
	o.app.Monasca.Profile = "fast"
	f.Var(choice{&o.app.Monasca.Profile, []string{"fast", "compat"}}, "monasca-profile", "when definitions that come from Monasca's clients decide")
	f.BoolVar(&o.app.Monasca.Extended, "monasca-extended", false, "take Troupe's expressions from Monasca's clients, too")
	f.StringVar(&o.app.PublicURL, "public-url", "", "`URL` of the main listener that instances and clients are told")
	f.StringVar(&o.app.OneGateURL, "onegate-url", "", "`URL` of OneGate that instances are told")
	f.StringSliceVar(&o.app.OneGate.Protected, "onegate-protected", onegate.DefaultProtected, "`attributes` that no instance may set by OneGate")
	f.StringSliceVar(&o.app.OneGate.Restricted, "onegate-restricted", onegate.DefaultRestricted, "`actions` that no instance may perform by OneGate")
	f.StringSliceVar(&o.app.OneGate.Off, "onegate-off", nil, "`operations` of OneGate that are switched off, such as service.change_cardinality")
	f.StringVar(&o.app.OneFlowConf, "oneflow-conf", "", "oneflow-server.conf `file` whose settings are taken over")
	f.BoolVar(&o.app.OneFlow.BareErrors, "oneflow-bare-errors", false, "OneFlow answers errors as bare text")
	f.BoolVar(&o.app.OneFlow.Reference, "oneflow-reference", false, "OneFlow answers 500 where OpenNebula's own server does")
	f.BoolVar(&o.app.OneFlow.NewForm, "oneflow-new-form", false, "OneFlow shows bodies in the keys of OpenNebula 7")
	f.StringVar(&o.app.Certificate, "tls-cert", "", "PEM `file` of the certificate of all listeners")
	f.StringVar(&o.app.Key, "tls-key", "", "PEM `file` of its key")
	f.BoolVar(&o.app.Insecure, "insecure", false, "listen beyond this host without TLS")
	f.BoolVar(&o.app.OpenMetrics, "open-metrics", false, "show /metrics without credentials")
	f.StringVar(&o.app.ReadyFile, "ready-file", "", "`file` that gets the addresses once the server is ready")
	f.StringVar(&o.app.Admin, "admin", "oneadmin", "`name` of the first user")
	f.StringVar(&o.app.AdminPasswordFile, "admin-password-file", "", "`file` with the first user's password (default: one is generated and printed)")
	o.addReactionFlags(f)
	o.app.Retain, o.app.AuditRetain = 24*time.Hour, 90*24*time.Hour
	f.Var(spanFlag{&o.app.Retain}, "retain", "how long finished services are kept")
	f.Var(spanFlag{&o.app.AuditRetain}, "audit-retain", "how long the audit trail is kept")
	o.logFormat, o.logLevel = "text", "info"
	f.Var(choice{&o.logFormat, []string{"text", "json"}}, "log-format", "how log lines look")
	f.Var(choice{&o.logLevel, []string{"debug", "info", "warn", "error"}}, "log-level", "least level that is logged")
}

// addReactionFlags adds those about metrics and notifications.
func (o *serverOptions) addReactionFlags(f *pflag.FlagSet) {
	m := &o.app.Metrics
	m.Retain, o.measure, m.Limits = 15*24*time.Hour, 10*time.Second, telemetry.Limits{Series: telemetry.DefaultLimits.Series, Rate: telemetry.DefaultLimits.Rate}
	f.Var(spanFlag{&m.Retain}, "metrics-retain", "how long samples are kept")
	f.Var(sizeFlag{&m.Size}, "metrics-size", "most `bytes` of samples on disk, such as 16G (0: no bound)")
	f.StringVar(&m.Forward, "metrics-forward", "", "`URL` of a remote write receiver that gets all samples too")
	f.Var(spanFlag{&o.measure}, "measure-every", "how often machines are measured from outside, where their driver can (0: never)")
	f.IntVar(&m.Limits.Series, "metrics-series-limit", m.Limits.Series, "most series of one project at once")
	f.Float64Var(&m.Limits.Rate, "metrics-rate-limit", m.Limits.Rate, "most samples a second of one project; five times as many at once beyond that")
	n := &o.app.Notifications
	f.Var(networksFlag{&n.Allow}, "notify-allow", "`CIDR` of a network that webhooks may reach although it is this host's own or its link's; repeatable")
	f.StringVar(&n.Mail.Server, "smtp-server", "", "`address` of the mail server; without one there is no e-mail")
	f.StringVar(&n.Mail.From, "smtp-from", "", "`sender` of e-mail, such as 'Troupe <troupe@example.org>'")
	f.StringVar(&n.Mail.User, "smtp-user", "", "`name` to log in to the mail server with")
	f.StringVar(&n.MailPasswordFile, "smtp-password-file", "", "`file` with that name's password")
	f.Var(choice{&n.Mail.Encryption, []string{notify.StartTLS, notify.TLS, notify.Plain}}, "smtp-encryption", "encryption of the way to the mail server (default "+notify.StartTLS+")")
	f.Var(commandsFlag{&n.Commands}, "notify-command", "program that notification methods may name, `NAME=PROGRAM,ARGS`; repeatable")
}

// settle fills in what environment and file say.
func (o *serverOptions) settle(flags *pflag.FlagSet, env func(string) string) error {
	if o.config == "" {
		o.config = env("TROUPE_CONFIG")
	}
	var file *configFile
	if o.config != "" {
		var err error
		if file, err = readConfig(o.config, flags); err != nil {
			return err
		}
		o.app.Accounts = file.accounts
	}
	if err := settle(flags, env, file); err != nil {
		return err
	}
	if o.app.Metrics.Measure = o.measure; o.measure == 0 {
		o.app.Metrics.Measure = -1
	}
	if o.compat {
		for address, customary := range map[*string]string{&o.app.OneFlowListen: "127.0.0.1:2474", &o.app.OneGateListen: "127.0.0.1:5030", &o.app.OccopusListen: "127.0.0.1:5000",
			&o.app.OCCIListen: "127.0.0.1:8787", &o.app.MonascaListen: "127.0.0.1:8070", &o.app.KeystoneListen: "127.0.0.1:35357", &o.app.HeatListen: "127.0.0.1:8004"} {
			*address = cmp.Or(*address, customary)
		}
		if len(o.app.HurtleListen) == 0 {
			o.app.HurtleListen = []string{"127.0.0.1:8888"}
		}
	}
	return nil
}

func (o *serverOptions) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(o.logLevel)) // one of the choices
	options := &slog.HandlerOptions{Level: level}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func newServerCommand(t *terminal) *cobra.Command {
	var o serverOptions
	cmd := &cobra.Command{
		Use:   "server",
		Short: "run the control plane",
		Long: "Run the control plane: it keeps the state, works on services and serves the APIs.\n\n" +
			"Each flag may also be given in the environment (TROUPE_DATA_DIR for --data-dir) or in the file of\n" +
			"--config (data-dir: ...). In the file, \"drivers\" lists the back ends: driver, name and options each.",
		Example: "  troupe server --data-dir /var/lib/troupe\n  troupe server --etcd https://a:2379,https://b:2379 --etcd-ca ca.pem",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runServer(cmd.Context(), t, &o, cmd.LocalFlags())
		},
	}
	o.addFlags(cmd.Flags(), t.env)
	cmd.AddCommand(newServerStatusCommand(t), newServerResumeCommand(t))
	return cmd
}

func runServer(ctx context.Context, t *terminal, o *serverOptions, flags *pflag.FlagSet) error {
	if err := o.settle(flags, t.env); err != nil {
		return err
	}
	o.app.Log = o.logger(t.err)
	o.app.Announce = t.out
	o.app.Version = version()
	a, err := app.New(ctx, o.app)
	switch {
	case errors.Is(err, store.ErrInUse):
		return withCode(exitRefused, err)
	case errors.Is(err, store.ErrDamaged), errors.Is(err, app.ErrOptions):
		return withCode(exitInvalid, err)
	case err != nil:
		return withCode(exitError, err) // what it could not reach is not the server
	}
	switch err = a.Run(ctx); {
	case errors.Is(err, app.ErrReplaced):
		return withCode(exitRefused, err)
	case errors.Is(err, app.ErrOptions): // what only users that are known can tell
		return withCode(exitInvalid, err)
	}
	return withCode(exitError, err)
}

// newConfigCommand checks the configuration file without starting anything.
func newConfigCommand(t *terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "look after the server's configuration file"}
	var o serverOptions
	check := &cobra.Command{
		Use: "check FILE", Short: "check a configuration file", Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.config = args[0]
			server := pflag.NewFlagSet("server", pflag.ContinueOnError)
			o.addFlags(server, t.env)
			o.config = args[0]
			if err := o.settle(server, func(string) string { return "" }); err != nil {
				return err
			}
			if err := o.app.Check(); err != nil {
				return withCode(exitInvalid, fmt.Errorf("%s: %w", args[0], err))
			}
			fmt.Fprintf(t.out, "%s is good\n", args[0])
			return nil
		},
	}
	cmd.AddCommand(check)
	return cmd
}
