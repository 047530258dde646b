package oneflow

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// MaxConf is the longest oneflow-server.conf, in bytes.
const MaxConf = 64 << 10

const maxBrackets = 500

// Settings are what of oneflow-server.conf means something to Troupe.
type Settings struct {
	Host               string
	Port               int
	Cooldown           time.Duration // default_cooldown
	ShutdownAction     string        // shutdown_action
	ActionNumber       int           // action_number
	ActionPeriod       time.Duration // action_period
	NamePattern        string        // vm_name_template
	AutoscalerInterval time.Duration // autoscaler_interval
	LogLevel           slog.Level    // log.level, or debug_level of older files
}

// DefaultSettings returns the settings of an empty file.
func DefaultSettings() Settings {
	return Settings{
		Host:               "127.0.0.1",
		Port:               2474,
		Cooldown:           300 * time.Second,
		ShutdownAction:     "terminate",
		ActionNumber:       1,
		ActionPeriod:       60 * time.Second,
		NamePattern:        "$ROLE_NAME_$VM_NUMBER_(service_$SERVICE_ID)",
		AutoscalerInterval: 90 * time.Second,
		LogLevel:           slog.LevelInfo,
	}
}

// Keys of oneflow-server.conf that need no counterpart: Troupe has no OpenNebula core above it and
// no polling loops.
var meaningless = []string{"one_xmlrpc", "subscriber_endpoint", "lcm_interval", "wait_timeout", "concurrency", "retries",
	"force_deletion", "vr_name_template", "vn_name_template", "page_size", "core_auth"}

var meaningful = []string{"host", "port", "default_cooldown", "shutdown_action", "action_number", "action_period",
	"vm_name_template", "autoscaler_interval", "debug_level", "log"}

// ParseConf reads a oneflow-server.conf: YAML whose keys are Ruby symbols (":host:"); plain keys are
// taken too. Keys that mean nothing here, and unknown ones, are warnings.
func ParseConf(data []byte) (Settings, []Warning, error) {
	settings := DefaultSettings()
	if len(data) > MaxConf {
		return settings, nil, &Error{Message: fmt.Sprintf("the file is longer than %d bytes", MaxConf)}
	}
	// The parser needs quadratic time for nested brackets.
	if bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxBrackets {
		return settings, nil, &Error{Message: fmt.Sprintf("the file has more than %d brackets", maxBrackets)}
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		e := &Error{Message: "not YAML: " + shorten(yaml.FormatError(err, false, false))}
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
			e.Message = "not YAML: " + shorten(at.GetMessage())
			e.Line, e.Column = at.GetToken().Position.Line, at.GetToken().Position.Column
		}
		return settings, nil, e
	}
	var warnings []Warning
	for _, doc := range file.Docs {
		pairs, err := mapping(doc.Body)
		if err != nil {
			return settings, nil, err
		}
		for _, pair := range pairs {
			key := symbol(pair.Key.String())
			switch {
			case slices.Contains(meaningless, key):
				warnings = append(warnings, Warning{Path: key, Message: "has no meaning here and is ignored"})
			case !slices.Contains(meaningful, key):
				warnings = append(warnings, Warning{Path: shorten(key), Message: "unknown key, ignored" + nearest.Hint(key, slices.Concat(meaningful, meaningless))})
			case key == "log":
				if err := settings.setLog(pair.Value); err != nil {
					return settings, nil, err
				}
			default:
				if err := settings.set(key, pair.Value); err != nil {
					return settings, nil, err
				}
			}
		}
	}
	return settings, warnings, nil
}

func mapping(node ast.Node) ([]*ast.MappingValueNode, error) {
	switch node := node.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return nil, nil
	case *ast.MappingNode:
		return node.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{node}, nil
	}
	return nil, confError(node, "", "expected lines like \":host: 127.0.0.1\"")
}

// symbol strips the colon of a Ruby symbol.
func symbol(text string) string { return strings.TrimPrefix(strings.Trim(text, `"'`), ":") }

func confError(node ast.Node, key, message string) error {
	e := &Error{Kind: Invalid, Path: key, Message: message}
	if t := node.GetToken(); t != nil && t.Position != nil {
		e.Line, e.Column = t.Position.Line, t.Position.Column
	}
	return e
}

func (s *Settings) setLog(node ast.Node) error {
	pairs, err := mapping(node)
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		if symbol(pair.Key.String()) == "level" {
			return s.set("debug_level", pair.Value)
		}
	}
	return nil
}

func (s *Settings) set(key string, node ast.Node) error {
	scalar, ok := node.(ast.ScalarNode)
	if !ok {
		return confError(node, key, "must be a single value")
	}
	text := strings.TrimSpace(fmt.Sprint(scalar.GetValue()))
	switch key {
	case "host":
		s.Host = text
		return nil
	case "vm_name_template":
		s.NamePattern = text
		return nil
	case "shutdown_action":
		if text = symbol(text); !slices.Contains(shutdowns, text) {
			return confError(node, key, "must be one of "+strings.Join(shutdowns, ", "))
		}
		s.ShutdownAction = text
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxInteger {
		return confError(node, key, fmt.Sprintf("must be a whole number, not '%s'", shorten(text)))
	}
	seconds := time.Duration(n) * time.Second
	switch key {
	case "port":
		if n > 65535 {
			return confError(node, key, "must be a port from 0 to 65535")
		}
		s.Port = n
	case "default_cooldown":
		s.Cooldown = seconds
	case "action_number":
		s.ActionNumber = n
	case "action_period":
		s.ActionPeriod = seconds
	case "autoscaler_interval":
		s.AutoscalerInterval = seconds
	case "debug_level":
		s.LogLevel = [...]slog.Level{slog.LevelError, slog.LevelWarn, slog.LevelInfo, slog.LevelDebug}[min(n, 3)]
	}
	return nil
}
