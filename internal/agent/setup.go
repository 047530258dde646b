package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// A Setup is what has to be known to make a machine report: a configuration, where its secret goes, and a service of systemd.
type Setup struct {
	Config    *Config
	Secret    string   // the token or the password; written to a file of its own
	Command   []string // what the service runs, before --config FILE
	ConfigDir string
	UnitDir   string
	User      string // that the service runs as; "" for root
	Overwrite bool   // replace files that are there
}

// UnitName is the service's name.
const UnitName = "troupe-agent.service"

// ErrExists is wrapped when a file is there already and holds something else.
var ErrExists = errors.New("exists already and differs")

// A Written is a file that a Setup has written.
type Written struct {
	Name string
	Same bool // it held just that before
}

// Write makes the files and returns them: the secret, the configuration and the service. It writes none when one is there that differs,
// unless Overwrite is set. The configuration and the secret are readable by the service's user alone.
func (s *Setup) Write() ([]Written, error) {
	config, err := filepath.Abs(filepath.Join(s.ConfigDir, "agent.yaml"))
	if err != nil {
		return nil, err
	}
	secretFile := filepath.Join(filepath.Dir(config), "agent.secret")
	if t := s.Config.Troupe; t != nil {
		t.TokenFile = secretFile
	} else if m := s.Config.Monasca; m != nil {
		m.PasswordFile = secretFile
	}
	if err := s.Config.Complete(); err != nil {
		return nil, err
	}
	text, err := s.text()
	if err != nil {
		return nil, err
	}
	unit := filepath.Join(s.UnitDir, UnitName)
	files := []file{
		{secretFile, []byte(s.Secret + "\n"), 0o600, true}, {config, text, 0o600, true}, {unit, s.unit(config), 0o644, false},
	}
	written := make([]Written, len(files))
	for i, f := range files {
		old, err := os.ReadFile(f.name)
		written[i] = Written{f.name, err == nil && bytes.Equal(old, f.text)}
		if err == nil && !written[i].Same && !s.Overwrite {
			return nil, fmt.Errorf("%s %w", f.name, ErrExists)
		}
	}
	owner, group, err := ids(s.User)
	if err != nil {
		return nil, err
	}
	for i, f := range files { // one that is the same, too: its owner may be another
		if err := f.write(owner, group); err != nil {
			return written[:i], fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	return written, nil
}

type file struct {
	name  string
	text  []byte
	mode  os.FileMode
	owned bool // by the service's user
}

// write replaces the file as a whole, so that a running agent never reads half of one.
func (f *file) write(owner, group int) error {
	if err := os.MkdirAll(filepath.Dir(f.name), 0o755); err != nil {
		return err
	}
	half, err := os.CreateTemp(filepath.Dir(f.name), ".agent-*") // 0600 from the start
	if err != nil {
		return err
	}
	defer os.Remove(half.Name())
	_, err = half.Write(f.text)
	if f.owned && owner >= 0 {
		err = errors.Join(err, half.Chown(owner, group))
	}
	err = errors.Join(err, half.Chmod(f.mode), half.Sync(), half.Close())
	if err != nil {
		return err
	}
	return os.Rename(half.Name(), f.name)
}

// ids returns the numbers of a user and its group; -1 for "".
func ids(name string) (owner, group int, err error) {
	if name == "" {
		return -1, -1, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, fmt.Errorf("user %s: %w; make it first, for example with `useradd --system %s`", name, err, name)
	}
	owner, err1 := strconv.Atoi(u.Uid)
	group, err2 := strconv.Atoi(u.Gid)
	return owner, group, errors.Join(err1, err2)
}

// text words the configuration as YAML: what differs from the defaults.
func (s *Setup) text() ([]byte, error) {
	c := s.Config
	type list = yaml.MapSlice
	var all list
	put := func(to *list, key string, value any, is bool) {
		if is {
			*to = append(*to, yaml.MapItem{Key: key, Value: value})
		}
	}
	text := func(to *list, key, value, standard string) { put(to, key, value, value != "" && value != standard) }
	put(&all, "interval", c.Interval.String(), true)
	text(&all, "hostname", c.Hostname, "")
	put(&all, "dimensions", c.Dimensions, len(c.Dimensions) > 0)
	var to list
	if t := c.Troupe; t != nil {
		text(&to, "url", t.URL, "")
		text(&to, "token-file", t.TokenFile, "")
		text(&to, "instance", t.Instance, "")
		text(&to, "cacert", t.CACert, "")
		put(&all, "troupe", to, true)
	} else if m := c.Monasca; m != nil {
		text(&to, "keystone-url", m.KeystoneURL, "")
		text(&to, "username", m.Username, "")
		text(&to, "password-file", m.PasswordFile, "")
		text(&to, "user-domain-name", m.UserDomainName, "Default")
		text(&to, "project-name", m.ProjectName, "")
		text(&to, "project-id", m.ProjectID, "")
		text(&to, "project-domain-name", m.ProjectDomainName, "Default")
		text(&to, "url", m.URL, "")
		text(&to, "region-name", m.RegionName, "")
		text(&to, "endpoint-type", m.EndpointType, "public")
		text(&to, "cacert", m.CACert, "")
		put(&all, "monasca", to, true)
	}
	out, err := yaml.Marshal(all)
	if err != nil {
		return nil, err
	}
	head := "# Written by `troupe agent setup`. What can be here: docs/agent.md.\n"
	return append([]byte(head), out...), nil
}

// unit words the service. The agent reads all of the machine and writes nothing.
func (s *Setup) unit(config string) []byte {
	who := ""
	if s.User != "" {
		who = "User=" + s.User + "\n"
	}
	line := ""
	for _, word := range append(slices.Clone(s.Command), "--config") {
		line += quote(word) + " "
	}
	line += quote(config)
	return []byte(`[Unit]
Description=Troupe's agent: reports on this machine
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=` + line + `
` + who + `Restart=always
RestartSec=5
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
LockPersonality=yes

[Install]
WantedBy=multi-user.target
`)
}

// quote writes a word as systemd's command lines want it.
func quote(word string) string {
	word = strings.NewReplacer(`%`, `%%`, `$`, `$$`).Replace(word)
	if strings.ContainsAny(word, " \t\"'\\;") {
		return strconv.Quote(word)
	}
	return word
}

// ParseDimensions reads "a:b,c:d", as monasca-setup does; a value may hold colons.
func ParseDimensions(text string) (map[string]string, error) {
	out := make(map[string]string)
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		name, value, ok := strings.Cut(item, ":")
		if !ok {
			return nil, fmt.Errorf("dimension %q is not name:value", item)
		}
		name = strings.TrimSpace(name)
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%q: %s is given twice", item, name)
		}
		out[name] = strings.TrimSpace(value)
	}
	return out, checkDimensions("dimensions", out)
}
