package occopus

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// names gives templates the names that Occopus has, beside those of every format.
func (b *builder) names(x *service.Implementation) {
	node := &b.infra.Nodes[b.node]
	x.Names = service.Values{
		"infra_name": b.infra.Name, "user_id": b.infra.UserID, "name": node.Name, "type": node.Type, "mappings": b.mappings(node.Name),
	}
	x.Rendered = service.Values{"node_id": "{{ instance.uuid }}", "resource": map[string]any(x.Labels)}
	if b.opts.ID != "" {
		x.Names["infra_id"] = b.opts.ID
	} else {
		x.Rendered["infra_id"] = "{{ service.id }}"
	}
	if scaling := node.Scaling.values(); scaling != nil {
		x.Names["scaling"] = scaling
	}
	if node.Filter != nil {
		x.Names["filter"] = map[string]any(node.Filter)
	}
	for name, section := range map[string]service.Values{"contextualisation": b.in.Contextualisation, "health_check": b.in.HealthCheck} {
		if section != nil {
			x.Names[name] = map[string]any(section)
		}
	}
	if b.in.ConfigManagement != nil {
		x.Rendered["config_management"] = map[string]any(b.in.ConfigManagement)
	}
	if b.in.ConfigManagement["type"] == "puppet_solo" {
		puppet := map[string]any{}
		for _, key := range []string{"manifests", "modules", "attributes"} {
			puppet[key] = ""
			if b.in.ConfigManagement[key] != nil {
				puppet[key] = "{{ config_management." + key + " | join(' ') }}"
			}
		}
		x.Rendered["puppet"] = puppet
	}
}

// values returns what templates see of a scaling; nil when there is none.
func (s Scaling) values() map[string]any {
	if s == (Scaling{}) {
		return nil
	}
	out := map[string]any{}
	if s.Min != nil {
		out["min"] = int64(*s.Min)
	}
	if s.Max != nil {
		out["max"] = int64(*s.Max)
	}
	return out
}

func (b *builder) mappings(node string) map[string]any {
	return mappings(node, b.needs[node], b.neededBy[node])
}

// contextualise fills in what the machine finds when it starts.
func (b *builder) contextualise(t *resourceType, x *service.Implementation) {
	section := b.in.Contextualisation
	switch kind, _ := section["type"].(string); kind {
	case "cloudinit":
		switch template := section["context_template"].(type) {
		case string:
			x.UserData = template
		case map[string]any:
			text, err := render.ContextTemplate(template)
			if err != nil {
				b.wrong("contextualisation.context_template", "%v", err)
			}
			x.UserData = text
		}
	case "docker":
		b.contextVariables(section["context_variables"], x)
		b.environment(t, section["env"], x)
		b.command(t, section["command"], x)
	}
	if attributes, ok := section["attributes"].(map[string]any); ok {
		x.Rendered["attributes"] = attributes
	}
}

// contextVariables makes the keys of context_variables names for the templates.
func (b *builder) contextVariables(v any, x *service.Implementation) {
	if written, ok := v.(string); ok {
		root, err := new(tree.Reader).Read("context_variables", []byte(written))
		if err != nil || root.Kind != tree.Mapping {
			b.wrong("contextualisation.context_variables", "the text must be keys and values before its templates are filled in, too: quote the templates")
			return
		}
		v = stored(root.Any())
	}
	if m, ok := v.(map[string]any); ok {
		maps.Copy(x.Rendered, m)
	}
}

// environment parts env into names and values.
func (b *builder) environment(t *resourceType, env any, x *service.Implementation) {
	items, _ := env.([]any)
	for _, item := range items {
		line := text(item)
		name, value, ok := strings.Cut(line, "=")
		switch {
		case templated(name):
			b.wrong("contextualisation.env", "%q: the name of the variable must stand before =, without a template", line)
		case !ok && t.name == "azure_aci":
			b.warn(b.at(b.node), b.path("contextualisation.env"), "", "%q has no =: it is left out", line)
		case !ok || name == "":
			b.wrong("contextualisation.env", "%q is no variable: write NAME=VALUE", line)
		default:
			if x.Env == nil {
				x.Env = map[string]string{}
			}
			x.Env[name] = value
		}
	}
}

func (b *builder) command(t *resourceType, command any, x *service.Implementation) {
	var words []string
	line, isText := command.(string)
	switch v := command.(type) {
	case nil:
		return
	case []any:
		for _, item := range v {
			words = append(words, text(item))
		}
	default:
		line, isText = text(v), true
	}
	switch {
	case isText && t.name == "azure_aci":
		b.wrong("contextualisation.command", "must be a list for azure_aci")
	case t.name == "process" && isText:
		x.Options["command"] = line
	case t.name == "process":
		x.Options["args"] = list(words)
	case isText:
		var err error
		if words, err = splitCommand(line); err != nil {
			b.wrong("contextualisation.command", "%q: %v", line, err)
		}
		fallthrough
	default:
		if t.name != "sim" {
			x.Options["command"] = list(words)
		}
	}
}

func list(words []string) []any {
	out := make([]any, len(words))
	for i, w := range words {
		out[i] = w
	}
	return out
}

// Health checks as Occopus makes them.
const (
	defaultTimeout = 600 * time.Second // a service that is down for longer is replaced
	pingWait       = time.Second
	urlWait        = 10 * time.Second
	// checkEvery is the time between two rounds. Occopus looks once a pass, every 10 s, and so learns late of what fails.
	checkEvery = time.Second
)

// timeout returns how long the service may be down.
func (b *builder) timeout() time.Duration {
	if v, ok := b.in.HealthCheck["timeout"].(int64); ok {
		return time.Duration(v) * time.Second
	}
	return defaultTimeout
}

// checks returns the health checks, in the order in which Occopus makes them.
func (b *builder) checks() []service.Check {
	section := b.in.HealthCheck
	down := b.timeout()
	var out []service.Check
	if ping, set := section["ping"].(bool); ping || !set && b.in.Resource["type"] != "sim" {
		out = append(out, service.Check{Ping: true, Timeout: pingWait, Down: down})
	}
	items := func(key string) []any {
		list, _ := section[key].([]any)
		return list
	}
	for _, port := range items("ports") {
		out = append(out, service.Check{TCP: ":" + text(port), Down: down})
	}
	for _, url := range items("urls") {
		out = append(out, service.Check{HTTP: ownAddress.ReplaceAllStringFunc(text(url), toAddress), Method: "HEAD", Timeout: urlWait, Down: down})
	}
	for _, item := range items("mysqldbs") {
		db, _ := item.(map[string]any)
		out = append(out, service.Check{MySQL: &service.MySQL{Database: text(db["name"]), User: text(db["user"]), Password: text(db["pass"])}, Down: down})
	}
	for n := range out {
		out[n].Interval = checkEvery
	}
	return out
}

// URLs of checks call the address of the instance ip; it is instance.address.
var (
	ownAddress = regexp.MustCompile(`\{[{%].*?[%}]\}`)
	ipName     = regexp.MustCompile(`(^|[^\w.'"])ip\b`)
	fromIP     = regexp.MustCompile(`\binstance\.address\b`)
)

func toAddress(template string) string {
	return ipName.ReplaceAllString(template, "${1}instance.address")
}

func toIP(template string) string { return fromIP.ReplaceAllString(template, "ip") }

// simulated returns an implementation by the driver sim that shows what the one given asks for.
func (b *builder) simulated(t *resourceType, x service.Implementation) service.Implementation {
	request := map[string]any{}
	for key, v := range x.Options {
		switch {
		case t.secretOption(key):
			v = driver.Redacted
		default:
			v = hidePassword(v)
		}
		request[key] = inWord(v)
	}
	x.Driver, x.Account, x.Checks = "sim", "", nil // nothing answers at the addresses of simulated machines
	x.Options = map[string]any{"instead_of": t.driver, "request": request}
	return x
}

func (t *resourceType) secretOption(option string) bool {
	return slices.ContainsFunc(t.keys, func(k resourceKey) bool { return k.option == option && k.secret })
}

// hidePassword hides the one secret that a description of a machine may hold.
func hidePassword(v any) any {
	m, ok := v.(map[string]any)
	if !ok || m["vnc_password"] == nil {
		return v
	}
	m = maps.Clone(m)
	m["vnc_password"] = driver.Redacted
	return m
}

// inWord returns a value as a scalar: lists and mappings as JSON.
func inWord(v any) any {
	switch v.(type) {
	case map[string]any, []any:
		out, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(out)
	case bool, string:
		return v
	}
	return text(v)
}
