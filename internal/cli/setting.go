package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// Settings of the server come from its flags, then the environment (TROUPE_DATA_DIR for --data-dir), then
// the configuration file, whose keys are the flags' names, then the defaults.

// configFile is the configuration file: the flags that it sets and the accounts of drivers.
type configFile struct {
	name     string
	values   map[string]string   // by flag
	lists    map[string][]string // those of them that are lists
	lines    map[string]int
	accounts []app.Account
}

// accountNode is one element of "drivers" in the file.
type accountNode struct {
	Driver  string         `yaml:"driver"`
	Name    string         `yaml:"name"`
	Options map[string]any `yaml:"options"`
}

const maxConfig = 1 << 20

// readConfig reads a configuration file whose keys must be among the flags.
func readConfig(name string, flags *pflag.FlagSet) (*configFile, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, withCode(exitInvalid, fmt.Errorf("configuration: %w", err))
	}
	if info.Size() > maxConfig {
		return nil, withCode(exitInvalid, fmt.Errorf("configuration %s: larger than 1 MiB", name))
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c, err := parseConfig(name, text, flags)
	return c, withCode(exitInvalid, err)
}

func parseConfig(name string, text []byte, flags *pflag.FlagSet) (*configFile, error) {
	c := &configFile{name: name, values: make(map[string]string), lists: make(map[string][]string), lines: make(map[string]int)}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, placed(name, err)
	}
	var errs []error
	for _, doc := range file.Docs {
		switch body := doc.Body.(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode:
		case *ast.MappingNode:
			for _, v := range body.Values {
				errs = append(errs, c.take(v, flags))
			}
		case *ast.MappingValueNode:
			errs = append(errs, c.take(body, flags))
		default:
			return nil, fmt.Errorf("%s:%d: the configuration is a list of settings, \"key: value\"", name, body.GetToken().Position.Line)
		}
	}
	return c, errors.Join(errs...)
}

// take reads one setting.
func (c *configFile) take(v *ast.MappingValueNode, flags *pflag.FlagSet) error {
	at := v.Key.GetToken().Position
	key := v.Key.GetToken().Value
	place := fmt.Sprintf("%s:%d:%d: %s", c.name, at.Line, at.Column, key)
	if first, ok := c.lines[key]; ok {
		return fmt.Errorf("%s: is set in line %d already", place, first)
	}
	c.lines[key] = at.Line
	if key == "drivers" {
		return c.takeDrivers(place, v.Value)
	}
	if flags.Lookup(key) == nil || key == "config" {
		names := []string{"drivers"}
		flags.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "config" && f.Name != "help" {
				names = append(names, f.Name)
			}
		})
		return fmt.Errorf("%s: no such setting%s", place, nearest.Hint(key, names))
	}
	nodes := []ast.Node{v.Value}
	if list, ok := v.Value.(*ast.SequenceNode); ok {
		nodes = list.Values
	}
	parts := make([]string, len(nodes))
	for i, n := range nodes {
		var ok bool
		if parts[i], ok = scalar(n); !ok {
			return fmt.Errorf("%s: wants a value or a list of values", place)
		}
	}
	c.values[key] = strings.Join(parts, ",")
	if _, ok := v.Value.(*ast.SequenceNode); ok {
		c.lists[key] = parts
	}
	return nil
}

// scalar returns the text of a plain value.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	case *ast.NullNode:
		return "", true
	}
	return "", false
}

// placed words an error of the YAML reader as name:line:column: what.
func placed(name string, err error) error {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	at := e.GetToken().Position
	return fmt.Errorf("%s:%d:%d: %s", name, at.Line, at.Column, e.GetMessage())
}

func (c *configFile) takeDrivers(place string, node ast.Node) error {
	var nodes []accountNode
	if err := yaml.NodeToValue(node, &nodes, yaml.DisallowUnknownField()); err != nil {
		return fmt.Errorf("%w (drivers are a list of accounts, each with driver, name and options)", placed(c.name, err))
	}
	c.accounts = []app.Account{}
	for i, n := range nodes {
		if n.Driver == "" {
			return fmt.Errorf("%s[%d]: driver is missing", place, i)
		}
		c.accounts = append(c.accounts, app.Account{Driver: n.Driver, Name: n.Name, Values: n.Options})
	}
	return nil
}

// settle gives each flag that the command line left alone its value from the environment or the file.
func settle(flags *pflag.FlagSet, env func(string) string, c *configFile) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "config" || f.Name == "help" {
			return
		}
		name := envName(f.Name)
		value, place := env(name), name
		var list []string
		if value == "" && c != nil {
			v, ok := c.values[f.Name]
			if !ok {
				return
			}
			value, list, place = v, c.lists[f.Name], fmt.Sprintf("%s:%d: %s", c.name, c.lines[f.Name], f.Name)
		}
		if value == "" {
			return
		}
		set := func() error { return f.Value.Set(value) }
		if of, ok := f.Value.(pflag.SliceValue); ok && list != nil { // an element may hold commas
			set = func() error { return of.Replace(list) }
		}
		if err := set(); err != nil {
			errs = append(errs, withCode(exitInvalid, fmt.Errorf("%s: %q: %w", place, value, err)))
		}
	})
	return errors.Join(errs...)
}

func envName(flag string) string {
	return "TROUPE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// defaultDataDir is where a server keeps its data unless told otherwise.
func defaultDataDir(env func(string) string) string {
	if os.Geteuid() == 0 {
		return "/var/lib/troupe"
	}
	if dir := env("XDG_DATA_HOME"); dir != "" {
		return dir + "/troupe"
	}
	return env("HOME") + "/.local/share/troupe"
}

// choice is a flag that takes one of a few words.
type choice struct {
	value   *string
	choices []string
}

// String implements pflag.Value.
func (c choice) String() string { return *c.value }

// Type implements pflag.Value.
func (c choice) Type() string { return strings.Join(c.choices, "|") }

// Set implements pflag.Value.
func (c choice) Set(s string) error {
	if !slices.Contains(c.choices, s) {
		return fmt.Errorf("use one of %s", strings.Join(c.choices, ", "))
	}
	*c.value = s
	return nil
}

// sizeFlag is a flag that takes a number of bytes, with a unit or without.
type sizeFlag struct{ value *int64 }

// String implements pflag.Value.
func (s sizeFlag) String() string { return strconv.FormatInt(*s.value, 10) }

// Type implements pflag.Value.
func (s sizeFlag) Type() string { return "size" }

// Set implements pflag.Value.
func (s sizeFlag) Set(text string) error {
	n, err := driver.ParseSize(text)
	if err != nil {
		return errors.New("give a size, such as 512M or 8G")
	}
	*s.value = n
	return nil
}

// spanFlag is a flag that takes a time span: days too, which time.ParseDuration lacks.
type spanFlag struct{ value *time.Duration }

// String implements pflag.Value.
func (s spanFlag) String() string { return s.value.String() }

// Type implements pflag.Value.
func (s spanFlag) Type() string { return "duration" }

// Set implements pflag.Value.
func (s spanFlag) Set(text string) error {
	var d time.Duration
	var err error
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	} else {
		d, err = driver.ParseDuration(text)
	}
	if err != nil {
		return errors.New("give a time span, such as 90m, 24h or 7d")
	}
	*s.value = d
	return nil
}
