package occopus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// An Authentication is the content of auth_data.yaml: which credentials belong to which resources.
type Authentication struct {
	entries []authEntry
}

type authEntry struct {
	section string         // "resource" or "config_management"
	match   map[string]any // keys that the section must have with equal values
	data    map[string]any
	at      tree.Place
}

// credentialKeys are the keys of auth_data by section and type; of several sets, one must be there whole.
var credentialKeys = map[string][][]string{
	"resource ec2":           {{"accesskey", "secretkey"}},
	"resource nova":          {{"username", "password"}, {"type", "id", "secret"}},
	"resource azure_vm":      {{"tenant_id", "client_id", "client_secret", "subscription_id"}},
	"resource azure_aci":     {{"tenant_id", "client_id", "client_secret", "subscription_id"}},
	"resource cloudbroker":   {{"email", "password"}},
	"resource cloudsigma":    {{"email", "password"}},
	"config_management chef": {{"client_name", "client_key"}},
}

// ParseAuthentication reads auth_data.yaml. name is the file's, for messages and imports. The error, if any,
// is an *Invalid; its messages hold no credentials.
func ParseAuthentication(name string, data []byte, opts Options) (*Authentication, error) {
	d := newDecoder(opts)
	root := d.load(name, data)
	if root == nil {
		return nil, d.err()
	}
	a := &Authentication{}
	kinds := []string{"resource", "config_management"}
	for _, e := range root.Entries {
		switch {
		case !known(kinds, e.Key):
			d.fail(e.At, e.Key, "", "unknown key%s", nearest.Hint(e.Key, kinds))
		case e.Value.Kind == tree.Null:
		case e.Value.Kind != tree.List:
			d.fail(e.Value.At, e.Key, "", "expected a list, found %s", e.Value.Kind)
		default:
			for i, item := range e.Value.Items {
				d.credentials(a, e.Key, fmt.Sprintf("%s[%d]", e.Key, i), item)
			}
		}
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return a, nil
}

func (d *decoder) credentials(a *Authentication, section, path string, item *tree.Node) {
	if item.Kind != tree.Mapping {
		d.fail(item.At, path, "", "expected type, auth_data and what narrows the match, found %s", item.Kind)
		return
	}
	e := authEntry{section: section, match: map[string]any{}, at: item.At}
	for _, k := range item.Entries {
		if k.Key != "auth_data" {
			e.match[k.Key] = k.Value.Any()
		}
	}
	kind, _ := e.match["type"].(string)
	if kind == "" {
		d.fail(item.At, path, "", "needs a type")
	}
	data := item.Get("auth_data")
	if data == nil || data.Kind != tree.Mapping {
		d.fail(item.At, path, "", "needs auth_data with the credentials as keys and values")
		return
	}
	e.data = data.Any().(map[string]any)
	if sets := credentialKeys[section+" "+kind]; sets != nil && !complete(e.data, sets) {
		var words []string
		for _, set := range sets {
			words = append(words, strings.Join(set, ", "))
		}
		d.fail(data.At, path+".auth_data", "", "credentials of type %s are %s", kind, strings.Join(words, "; or "))
	}
	if t, ok := e.data["type"].(string); ok && kind == "nova" && t != "application_credential" {
		d.fail(data.Get("type").At, path+".auth_data.type", "", "%q is no type of credentials: leave it out for username and password, or write application_credential", t)
	}
	a.entries = append(a.entries, e)
}

func complete(data map[string]any, sets [][]string) bool {
	for _, set := range sets {
		all := true
		for _, key := range set {
			all = all && data[key] != nil
		}
		if all {
			return true
		}
	}
	return false
}

// ambiguous is what Occopus says of entries that it cannot tell apart.
const ambiguous = "Cannot determine authorization information"

// Match returns the credentials for a section ("resource" or "config_management") with these values: those of
// the one entry whose keys all have equal values there. It returns nil when there is none; more than one is
// an error, which names their lines.
func (a *Authentication) Match(section string, values map[string]any) (map[string]any, error) {
	if a == nil {
		return nil, nil
	}
	var found *authEntry
	for i := range a.entries {
		e := &a.entries[i]
		if e.section != section || !e.matches(values) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%s: the entries in line %d and line %d of %s both match; add a key, such as endpoint, that tells them apart",
				ambiguous, found.at.Line, e.at.Line, e.at.File.Name)
		}
		found = e
	}
	if found == nil {
		return nil, nil
	}
	return found.data, nil
}

func (e *authEntry) matches(values map[string]any) bool {
	for k, v := range e.match {
		if have, ok := values[k]; !ok || !same(have, v) {
			return false
		}
	}
	return true
}

// same reports whether two values of YAML or JSON are equal.
func same(a, b any) bool {
	x, err1 := json.Marshal(service.Values{"": a})
	y, err2 := json.Marshal(service.Values{"": b})
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// Demands returns what the entries for resources ask of accounts, in the order of the file. The key of each is the same
// for as long as the entry belongs to the same resources, whatever else is in the file.
func (a *Authentication) Demands() []Demand {
	if a == nil {
		return nil
	}
	var out []Demand
	seen := map[string]bool{}
	for _, e := range a.entries {
		kind, _ := e.match["type"].(string)
		t := typeOf(kind)
		if e.section != "resource" || t == nil {
			continue
		}
		endpoint, _ := e.match["endpoint"].(string)
		key, err := json.Marshal(e.match)
		if err != nil || seen[string(key)] {
			continue // an entry that stands there twice belongs to nothing: see Match
		}
		seen[string(key)] = true
		out = append(out, Demand{Key: string(key), Driver: t.driver, Endpoint: endpoint, Credentials: e.data})
	}
	return out
}
