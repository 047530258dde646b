package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/api/onegate"
	"github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/openstack"
	"github.com/troupe-dev/troupe/internal/store"
)

// ErrOptions is the class of errors that say which option is wrong: another start with the same ones
// would be refused as well.
var ErrOptions = errors.New("the server's options are wrong")

// optionsError is of class ErrOptions and says what is wrong in its own words.
type optionsError struct{ error }

func (e optionsError) Unwrap() []error { return []error{ErrOptions, e.error} }

// Check says everything for which New would refuse the options, as far as that shows without touching
// anything: neither a folder that is in use, nor an address, nor a cluster. The error is of class ErrOptions.
func (o Options) Check() error {
	if err := o.fill(); err != nil {
		return optionsError{err}
	}
	_, err := o.verify(all.Kinds())
	return err
}

// verified is what the files hold that the options name.
type verified struct {
	oneflow  oneflow.Settings
	store    store.Options
	password string // the first user's; "" to generate one
	guests   *openstack.Guests
	mail     string // password for the mail server; "" for none
}

// verify reads the files that the options name and refuses what is wrong with either.
func (o *Options) verify(kinds all.Drivers) (v verified, err error) {
	var errs []error
	check := func(err error) { errs = append(errs, err) }
	check(o.verifyAccounts(kinds))
	v.oneflow, err = o.readOneFlow()
	check(err)
	v.store, err = o.storeOptions()
	check(err)
	if err == nil {
		check(v.store.Check())
	}
	check(mayWrite("data folder", o.DataDir))
	check(o.verifyMasterKey())
	check(o.verifyListeners())
	check(o.verifyReadyFile())
	check(o.verifyOneGate())
	check(o.verifyOccopus())
	check(o.verifyHurtle())
	check(o.verifyHeat(kinds))
	check(o.verifyMonasca())
	v.guests, err = o.Keystone.guests()
	check(err)
	if o.AdminPasswordFile != "" {
		if v.password, err = secretFile(o.AdminPasswordFile); err != nil {
			check(fmt.Errorf("first password: %w", err))
		}
	}
	check(o.Metrics.verify())
	v.mail, err = o.Notifications.verify()
	check(err)
	check(identity.CheckBootstrap(o.Admin, v.password))
	if err := errors.Join(errs...); err != nil {
		return v, optionsError{err}
	}
	return v, nil
}

var accountName = regexp.MustCompile(`^[A-Za-z0-9_-]{0,63}$`)

func (o *Options) verifyAccounts(kinds all.Drivers) error {
	seen := make(map[string]bool)
	var errs []error
	for _, account := range o.Accounts {
		errs = append(errs, o.verifyAccount(kinds, account))
		if seen[account.key()] {
			errs = append(errs, fmt.Errorf("drivers: account %s is given twice; give one of them another name", account.key()))
		}
		seen[account.key()] = true
	}
	return errors.Join(errs...)
}

func (o *Options) verifyAccount(kinds all.Drivers, account Account) error {
	kind, err := kinds.Find(account.Driver)
	if err != nil {
		return fmt.Errorf("drivers: %w", err)
	}
	if !accountName.MatchString(account.Name) {
		return fmt.Errorf("drivers: account name %q: use letters, digits, '-' and '_'", account.Name)
	}
	values, err := kind.CheckAccount(account.Values)
	if err == nil && kind.Verify != nil {
		err = kind.Verify(driver.Config{Values: values, Dir: o.driverDir(account), Supervisor: o.Supervisor, Log: o.Log})
	}
	if err != nil {
		return fmt.Errorf("drivers: account %s: %w", account.key(), err)
	}
	return nil
}

// driverDir is the folder that a driver has to itself for an account.
func (o *Options) driverDir(account Account) string {
	return filepath.Join(o.DataDir, "drivers", strings.ReplaceAll(account.key(), ":", "-"))
}

func (o *Options) verifyMasterKey() error {
	if _, err := os.Stat(o.MasterKey); errors.Is(err, fs.ErrNotExist) {
		return mayWrite("folder of the master key", filepath.Dir(o.MasterKey))
	}
	return store.CheckMasterKey(o.MasterKey)
}

func (o *Options) readOneFlow() (oneflow.Settings, error) {
	settings := oneflow.DefaultSettings()
	if o.OneFlowConf == "" {
		return settings, nil
	}
	text, err := os.ReadFile(o.OneFlowConf)
	if err != nil {
		return settings, fmt.Errorf("OneFlow settings: %w", err)
	}
	settings, warnings, err := oneflow.ParseConf(text)
	if err != nil {
		return settings, fmt.Errorf("%s: %w", o.OneFlowConf, err)
	}
	for _, w := range warnings {
		o.Log.Warn("OneFlow settings", "file", o.OneFlowConf, "key", w.Path, "warning", w.Message)
	}
	return settings, nil
}

// storeOptions says where the state is.
func (o *Options) storeOptions() (store.Options, error) {
	s := store.Options{Schema: schema, Quota: o.Quota, Log: o.Log.With("part", "store")}
	s.Name, _ = os.Hostname()
	e := o.Etcd
	if len(e.Endpoints) == 0 {
		if e.Cert+e.Key+e.CA+e.User+e.PasswordFile != "" {
			return s, errors.New("etcd: credentials without a cluster: give its URLs with etcd")
		}
		s.DataDir = o.DataDir
		return s, nil
	}
	s.Endpoints, s.CertFile, s.KeyFile, s.CAFile, s.User = e.Endpoints, e.Cert, e.Key, e.CA, e.User
	if e.PasswordFile != "" {
		var err error
		if s.Password, err = secretFile(e.PasswordFile); err != nil {
			return s, fmt.Errorf("password of etcd: %w", err)
		}
	}
	return s, nil
}

// verifyListeners makes the API's server, which reads the certificate, and throws it away.
func (o *Options) verifyListeners() error {
	server, err := api.New(o.apiOptions())
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range o.listeners() {
		errs = append(errs, server.Admit(l))
	}
	return errors.Join(errs...)
}

// listeners are the names and addresses that are to be served.
func (o *Options) listeners() []api.Listener {
	list := []api.Listener{{Name: "main", Address: o.Listen}}
	if o.Socket != "" {
		list = append(list, api.Listener{Name: "socket", Address: "unix:" + o.Socket})
	}
	for _, face := range [...]api.Listener{{Name: "oneflow", Address: o.OneFlowListen}, {Name: "onegate", Address: o.OneGateListen},
		{Name: "occopus", Address: o.OccopusListen, Guest: o.Occopus.guests()}, {Name: "occi", Address: o.OCCIListen}, {Name: "monasca", Address: o.MonascaListen}, {Name: "keystone", Address: o.KeystoneListen}, {Name: "heat", Address: o.HeatListen}} {
		if face.Address != "" {
			list = append(list, face)
		}
	}
	return append(list, o.hurtleListeners()...)
}

func (o *Options) apiOptions() api.Options {
	return api.Options{Log: o.Log.With("part", "api"), Certificate: o.Certificate, Key: o.Key, Insecure: o.Insecure, OpenMetrics: o.OpenMetrics}
}

func (o *Options) verifyOneGate() error {
	for _, name := range o.OneGate.Off {
		if known := onegate.Operations(); !slices.Contains(known, name) {
			return fmt.Errorf("OneGate has no operation %.40q to switch off%s; it has %s", name, nearest.Hint(name, known), strings.Join(known, ", "))
		}
	}
	for _, u := range [...]string{o.PublicURL, o.OneGateURL} {
		if p, err := url.Parse(u); u != "" && (err != nil || p.Host == "" || p.Scheme != "http" && p.Scheme != "https" || strings.HasSuffix(u, "/")) {
			return fmt.Errorf("%.100q is no URL for instances; write it as http://HOST:PORT, without a slash at its end", u)
		}
	}
	return nil
}

func (o *Options) verifyReadyFile() error {
	if o.ReadyFile == "" {
		return nil
	}
	dir := filepath.Dir(o.ReadyFile)
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("folder of the ready file: %w", err)
	}
	if info, err := os.Stat(o.ReadyFile); err == nil && info.IsDir() {
		return fmt.Errorf("ready file: %s is a folder", o.ReadyFile)
	}
	return mayWrite("folder of the ready file", dir)
}

// mayWrite refuses a folder that this process may neither write to nor make.
func mayWrite(what, dir string) error {
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at):
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", what, err)
		case !info.IsDir():
			return fmt.Errorf("%s %s: %s is not a directory", what, dir, at)
		}
		if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
			return fmt.Errorf("%s %s %w: %s: %w; give this user the right to write there, or name another folder", what, dir, store.ErrReadOnly, at, err)
		}
		return nil
	}
}

// secretFile reads a secret: the first line of a file.
func secretFile(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return line, nil
}
