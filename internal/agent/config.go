package agent

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Config says what an agent reports, and where to. docs/agent.md describes it.
type Config struct {
	Interval   time.Duration     `yaml:"interval"`   // between reports; 0: DefaultInterval
	Hostname   string            `yaml:"hostname"`   // the dimension; "" for the machine's
	Dimensions map[string]string `yaml:"dimensions"` // of all measurements
	Troupe     *TroupeTarget     `yaml:"troupe"`
	Monasca    *MonascaTarget    `yaml:"monasca"`
	Buffer     int               `yaml:"buffer"`  // measurements kept through an outage; 0: DefaultBuffer
	Collect    []string          `yaml:"collect"` // of Collectors; nil for all
	// IgnoreInterfaces are beginnings of names; nil for those that Monasca's agent ignores.
	IgnoreInterfaces []string       `yaml:"ignore-interfaces"`
	Processes        []ProcessCheck `yaml:"processes"`
	HTTP             []HTTPCheck    `yaml:"http"`
	TCP              []TCPCheck     `yaml:"tcp"`

	place map[string]string // dimensions that the environment gives
}

// A TroupeTarget is a Troupe server and the token for it.
type TroupeTarget struct {
	URL       string `yaml:"url"`
	TokenFile string `yaml:"token-file"` // read anew when it changes
	Instance  string `yaml:"instance"`   // whose OneGate token it is; "" for a token of Troupe
	CACert    string `yaml:"cacert"`

	token string
}

// A MonascaTarget is a Monasca and the Keystone that gives tokens for it.
type MonascaTarget struct {
	KeystoneURL       string `yaml:"keystone-url"`
	Username          string `yaml:"username"`
	PasswordFile      string `yaml:"password-file"` // read anew when it changes
	UserDomainName    string `yaml:"user-domain-name"`
	ProjectName       string `yaml:"project-name"`
	ProjectID         string `yaml:"project-id"`
	ProjectDomainName string `yaml:"project-domain-name"`
	URL               string `yaml:"url"` // "" for the catalogue's
	RegionName        string `yaml:"region-name"`
	EndpointType      string `yaml:"endpoint-type"` // "" for public
	CACert            string `yaml:"cacert"`

	password string
}

// A ProcessCheck counts processes by name, or by a part of the command line.
type ProcessCheck struct {
	Name       string            `yaml:"name"`   // of the program; with Search the value of process_name alone
	Search     []string          `yaml:"search"` // parts of the command line: one must be in it
	User       string            `yaml:"user"`   // that runs it; "" for any
	Detailed   bool              `yaml:"detailed"`
	Dimensions map[string]string `yaml:"dimensions"`
}

func (c *ProcessCheck) label() string {
	if c.Name == "" && len(c.Search) > 0 {
		return c.Search[0]
	}
	return c.Name
}

// An HTTPCheck asks for a page.
type HTTPCheck struct {
	URL        string            `yaml:"url"`
	Match      string            `yaml:"match"`    // a regular expression that the page must match
	Interval   time.Duration     `yaml:"interval"` // 0: the agent's
	Timeout    time.Duration     `yaml:"timeout"`  // 0: 10 s
	CACert     string            `yaml:"cacert"`
	Dimensions map[string]string `yaml:"dimensions"`

	match *regexp.Regexp
}

// A TCPCheck connects to host:port.
type TCPCheck struct {
	Address    string            `yaml:"address"`
	Interval   time.Duration     `yaml:"interval"` // 0: the agent's
	Timeout    time.Duration     `yaml:"timeout"`  // 0: 10 s
	Dimensions map[string]string `yaml:"dimensions"`
}

// Collectors are the parts of a machine that an agent reports on.
var Collectors = []string{"cpu", "memory", "load", "disk", "network", "agent"}

// Defaults and bounds of a configuration.
const (
	DefaultInterval = 15 * time.Second
	ShortestSpan    = time.Second // between reports and between checks
	LongestSpan     = time.Hour
	DefaultBuffer   = 200_000
	LargestBuffer   = 10_000_000
	maxConfig       = 1 << 20
	maxChecks       = 100 // of each kind
	defaultTimeout  = 10 * time.Second
)

// ReadConfig reads a file. Its errors say where in the file they are.
func ReadConfig(name string) (*Config, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfig {
		return nil, fmt.Errorf("%s: larger than 1 MiB", name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return ParseConfig(name, text)
}

// ParseConfig reads the text of a configuration; name is for errors.
func ParseConfig(name string, text []byte) (*Config, error) {
	c := new(Config)
	err := yaml.UnmarshalWithOptions(text, c, yaml.DisallowUnknownField())
	if placed := yaml.Error(nil); errors.As(err, &placed) && placed.GetToken() != nil {
		at, hint := placed.GetToken().Position, ""
		if unknown := (*yaml.UnknownFieldError)(nil); errors.As(err, &unknown) {
			hint = nearest.Hint(unknown.GetToken().Value, settings(reflect.TypeFor[Config]()))
		}
		return nil, fmt.Errorf("%s:%d:%d: %s%s", name, at.Line, at.Column, placed.GetMessage(), hint)
	}
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", name, placeOfSpan(text), err)
	}
	return c, nil
}

// placeOfSpan returns :line:column of the first time span that is none: the reader's own error lacks it. "" when there is none.
func placeOfSpan(text []byte) string {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return ""
	}
	v := new(spanVisitor)
	for _, doc := range file.Docs {
		ast.Walk(v, doc)
	}
	return v.place
}

type spanVisitor struct{ place string }

// Visit implements ast.Visitor.
func (v *spanVisitor) Visit(node ast.Node) ast.Visitor {
	pair, ok := node.(*ast.MappingValueNode)
	if !ok || v.place != "" || pair.Key == nil || pair.Value == nil {
		return v
	}
	if key := pair.Key.GetToken().Value; key == "interval" || key == "timeout" {
		at := pair.Value.GetToken()
		if _, err := time.ParseDuration(at.Value); err != nil {
			v.place = fmt.Sprintf(":%d:%d", at.Position.Line, at.Position.Column)
		}
	}
	return v
}

// settings returns the names of all settings in a type.
func settings(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []string
	for f := range t.Fields() {
		if f.IsExported() {
			out = append(out, f.Tag.Get("yaml"))
			out = append(out, settings(f.Type)...)
		}
	}
	return out
}

// Complete checks the configuration and fills in the defaults. New does it too.
func (c *Config) Complete() error { return c.complete(true) }

// complete is Complete; without a target there need be none.
func (c *Config) complete(target bool) error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	errs = append(errs, checkSpan("interval", &c.Interval, DefaultInterval))
	if c.Buffer == 0 {
		c.Buffer = DefaultBuffer
	}
	if c.Buffer < 1 || c.Buffer > LargestBuffer {
		refuse("buffer: %d measurements are not between 1 and %d", c.Buffer, LargestBuffer)
	}
	if c.Collect == nil {
		c.Collect = Collectors
	}
	for i, name := range c.Collect {
		if !slices.Contains(Collectors, name) {
			refuse("collect[%d]: no part %q%s; there are %s", i, name, nearest.Hint(name, Collectors), strings.Join(Collectors, ", "))
		}
	}
	if c.IgnoreInterfaces == nil {
		c.IgnoreInterfaces = ignoredInterfaces
	}
	if c.Hostname != "" {
		if err := metric.CheckDimension("hostname", c.Hostname); err != nil {
			refuse("hostname: %w", err)
		}
	}
	errs = append(errs, checkDimensions("dimensions", c.Dimensions), c.completeChecks())
	if target {
		errs = append(errs, c.completeTarget())
	}
	return errors.Join(errs...)
}

func (c *Config) completeChecks() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n := max(len(c.Processes), len(c.HTTP), len(c.TCP)); n > maxChecks {
		refuse("%d checks of one kind; %d may be", n, maxChecks)
	}
	for i := range c.Processes {
		p, place := &c.Processes[i], fmt.Sprintf("processes[%d]", i)
		if p.label() == "" {
			refuse("%s: name or search is missing", place)
		}
		errs = append(errs, checkDimensions(place+".dimensions", p.Dimensions))
	}
	for i := range c.HTTP {
		h, place := &c.HTTP[i], fmt.Sprintf("http[%d]", i)
		errs = append(errs, checkSpan(place+".interval", &h.Interval, c.Interval), checkSpan(place+".timeout", &h.Timeout, defaultTimeout))
		var err error
		if h.match, err = regexp.Compile(h.Match); err != nil {
			refuse("%s.match: %w", place, err)
		}
		if h.Match == "" {
			h.match = nil
		}
		errs = append(errs, checkURL(place+".url", h.URL), checkDimensions(place+".dimensions", h.Dimensions))
	}
	for i := range c.TCP {
		t, place := &c.TCP[i], fmt.Sprintf("tcp[%d]", i)
		errs = append(errs, checkSpan(place+".interval", &t.Interval, c.Interval), checkSpan(place+".timeout", &t.Timeout, defaultTimeout))
		if _, port, err := net.SplitHostPort(t.Address); err != nil || port == "" {
			refuse("%s.address: %q is not host:port", place, t.Address)
		}
		errs = append(errs, checkDimensions(place+".dimensions", t.Dimensions))
	}
	return errors.Join(errs...)
}

func (c *Config) completeTarget() error {
	switch {
	case c.Troupe != nil && c.Monasca != nil:
		return errors.New("troupe and monasca are both given; an agent reports to one")
	case c.Troupe != nil:
		t := c.Troupe
		err := checkURL("troupe.url", t.URL)
		if t.TokenFile == "" && t.token == "" {
			err = errors.Join(err, errors.New("troupe.token-file: there is no token; name its file, or set TROUPE_TOKEN"))
		}
		return err
	case c.Monasca != nil:
		return c.Monasca.complete()
	}
	return errors.New("there is nowhere to report to: give troupe.url or monasca.keystone-url, or set TROUPE_URL or OS_AUTH_URL")
}

func (m *MonascaTarget) complete() error {
	for value, standard := range map[*string]string{
		&m.UserDomainName: "Default", &m.ProjectDomainName: "Default", &m.EndpointType: "public",
	} {
		if *value == "" {
			*value = standard
		}
	}
	m.EndpointType = strings.TrimSuffix(m.EndpointType, "URL") // publicURL was its name in version 2
	errs := []error{checkURL("monasca.keystone-url", m.KeystoneURL)}
	if m.URL != "" {
		errs = append(errs, checkURL("monasca.url", m.URL))
	}
	if m.Username == "" {
		errs = append(errs, errors.New("monasca.username is missing"))
	}
	if m.PasswordFile == "" && m.password == "" {
		errs = append(errs, errors.New("monasca.password-file: there is no password; name its file, or set OS_PASSWORD"))
	}
	return errors.Join(errs...)
}

// checkSpan gives a span its default and checks its bounds.
func checkSpan(place string, d *time.Duration, standard time.Duration) error {
	if *d == 0 {
		*d = standard
	}
	if *d < ShortestSpan || *d > LongestSpan {
		return fmt.Errorf("%s: %v is not between %v and %v", place, *d, ShortestSpan, LongestSpan)
	}
	return nil
}

func checkURL(place, text string) error {
	if text == "" {
		return fmt.Errorf("%s is missing", place)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("%s: no URL", place) // url's error would show it, with a password in it perhaps
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%s: wants http://… or https://…", place)
	case u.User != nil:
		return fmt.Errorf("%s: holds a user or a password, which do not belong there", place)
	}
	return nil
}

func checkDimensions(place string, all map[string]string) error {
	var errs []error
	if len(all) > metric.MaxDimensions/2 {
		errs = append(errs, fmt.Errorf("%s: %d are too many; %d may be", place, len(all), metric.MaxDimensions/2))
	}
	for name, value := range all {
		if err := metric.CheckDimension(name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", place, err))
		}
	}
	return errors.Join(errs...)
}
