package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/troupe-dev/troupe/internal/api/onegate"
	"github.com/troupe-dev/troupe/orchestrator"
)

// Options say how a server runs. DataDir must be set; zero values of the others mean the defaults.
type Options struct {
	// DataDir holds the state (unless Etcd names a cluster), the master key, the audit trail and the
	// folders of drivers.
	DataDir string
	Etcd    Etcd
	// MasterKey is the file of the key that encrypts secrets; "" for master.key in DataDir. Servers
	// that share a cluster need the same.
	MasterKey string
	// Quota is the most bytes that the embedded database may take; 0 for 8 GiB.
	Quota int64

	// Listen is the address of the main listener; "" for 127.0.0.1:7070.
	Listen string
	// Socket is the path of a Unix socket that serves what the main listener serves. Only processes of this one's own
	// user may connect, and need no credentials: they are the first user. "" for none.
	Socket string
	// OneFlowListen is where the OneFlow face is served at the root as well; "" for nowhere.
	OneFlowListen string
	// PublicURL and OneGateURL are what instances are told of this server and of its OneGate; "" for the listeners' addresses.
	PublicURL, OneGateURL string
	// OneGateListen, OccopusListen, OCCIListen, MonascaListen, KeystoneListen and HeatListen are where these faces are served at the root as
	// well; "" for nowhere.
	OneGateListen, OccopusListen, OCCIListen, MonascaListen, KeystoneListen, HeatListen string
	// HurtleListen are where single service managers are served at the root, each as ADDR or TERM=ADDR: without a term the first
	// address is for the manager that was added first, and so on. HurtleCloudListen is where the Cloud Controller is.
	HurtleListen      []string
	HurtleCloudListen string
	// Orchestrators run in this process, for service managers whose program has their name.
	Orchestrators map[string]orchestrator.Factory
	// Certificate and Key are PEM files: with them every listener speaks TLS.
	Certificate, Key string
	Insecure         bool // allow listeners beyond loopback without TLS
	OpenMetrics      bool // show /metrics to everybody
	ReadyFile        string

	// Admin is the name of the first user; "" for oneadmin.
	Admin string
	// AdminPasswordFile holds the first user's first password; "" to generate one.
	AdminPasswordFile string
	// Announce is told of a generated password, once; nil for nobody (see App.Password).
	Announce io.Writer

	// Accounts are the back ends; nil for one of each driver.
	Accounts []Account
	// Supervisor runs a supervisor of the process driver; nil for this program's own sub-command.
	Supervisor []string
	OneFlow    OneFlow
	OneGate    onegate.Settings
	Occopus    Occopus
	Monasca    Monasca
	Heat       Heat
	Keystone   Keystone
	// OneFlowConf is an oneflow-server.conf whose settings are taken over; "" for none.
	OneFlowConf string

	Metrics       Metrics
	Notifications Notifications

	// Retain is how long finished services are kept; 0 for 24 hours.
	Retain time.Duration
	// AuditRetain is how long the audit trail is kept; 0 for 90 days.
	AuditRetain time.Duration

	Version string // of this program, shown to clients
	Log     *slog.Logger
}

// Etcd names an external cluster. Without end points the state is kept in DataDir.
type Etcd struct {
	Endpoints          []string
	Cert, Key, CA      string // PEM files
	User, PasswordFile string
}

// OneFlow says how the OneFlow face differs from its defaults.
type OneFlow struct {
	BareErrors bool // the bare text of an error instead of {"error":{"message":…}}
	Reference  bool // answer 500 where OpenNebula's own server does
	NewForm    bool // show bodies in the keys of OpenNebula 7
}

// An Account is one back end: a driver, and how it is opened.
type Account struct {
	Driver string
	Name   string // "" for the driver's default account
	Values map[string]any
}

func (a *Account) key() string {
	if a.Name == "" {
		return a.Driver
	}
	return a.Driver + ":" + a.Name
}

// defaultAddress is where the main listener is unless told otherwise.
const defaultAddress = "127.0.0.1:7070"

func (o *Options) fill() error {
	if o.DataDir == "" {
		return errors.New("a server needs a data folder: give --data-dir")
	}
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	o.DataDir = dir
	if o.Socket != "" {
		if o.Socket, err = filepath.Abs(o.Socket); err != nil {
			return fmt.Errorf("socket: %w", err)
		}
	}
	if o.MasterKey == "" {
		o.MasterKey = filepath.Join(o.DataDir, "master.key")
	}
	if o.Listen == "" {
		o.Listen = defaultAddress
	}
	if o.Admin == "" {
		o.Admin = "oneadmin"
	}
	if o.Accounts == nil {
		o.Accounts = []Account{{Driver: "process"}, {Driver: "docker"}, {Driver: "sim"}}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Supervisor == nil {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		o.Supervisor = []string{self, "supervise"}
	}
	return nil
}
