package hot

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/troupe-dev/troupe/internal/format/tree"
)

// A Bundle is what a service was made from: it is kept with the service's specification.
type Bundle struct {
	Template     File                  `json:"template"`
	Environments []File                `json:"environments,omitempty"`
	Files        map[string]string     `json:"files,omitempty"`
	Name         string                `json:"name,omitempty"`
	Project      string                `json:"project,omitempty"`
	Parameters   map[string]any        `json:"parameters,omitempty"` // as they were given
	Driver       string                `json:"driver"`
	Account      string                `json:"account,omitempty"`
	Random       map[string]randomText `json:"random,omitempty"`
	// Updated is when the service was last changed to another template or to other parameters; zero for never.
	Updated time.Time `json:"updated,omitzero"`
}

// packed is a bundle as it is stored: compressed, since templates repeat themselves.
type packed struct {
	Packed []byte `json:"packed"`
}

// Encode returns the bundle as it is stored.
func (b *Bundle) Encode() (json.RawMessage, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("store a template: %w", err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err = z.Write(text); err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("store a template: %w", err)
	}
	return json.Marshal(packed{out.Bytes()})
}

// DecodeBundle reads what Encode made.
func DecodeBundle(document json.RawMessage) (*Bundle, error) {
	var p packed
	b := new(Bundle)
	err := json.Unmarshal(document, &p)
	if err == nil {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(p.Packed)); err == nil {
			var text []byte
			if text, err = io.ReadAll(io.LimitReader(z, 4*tree.MaxTotal)); err == nil {
				err = json.Unmarshal(text, b)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read a stored template: %w", err)
	}
	for k, v := range b.Parameters {
		b.Parameters[k] = whole(v)
	}
	return b, nil
}

// bundle returns what the evaluation came from.
func (c *compiler) bundle(t *Template) *Bundle {
	b := &Bundle{Template: t.source, Environments: t.environments, Files: t.doc.files, Name: c.opts.Name, Project: c.opts.Project,
		Parameters: maps.Clone(c.opts.Parameters), Driver: c.opts.Driver, Account: c.opts.Account, Random: c.random}
	if c.opts.Previous == nil {
		return b
	}
	for i := range t.Parameters { // what stays from before stays on
		p := &t.Parameters[i]
		if v, ok := c.opts.Previous.Parameters[p.Name]; ok && !p.HasDefault && b.Parameters[p.Name] == nil && c.env.parameters[p.Name] == nil && c.env.defaults[p.Name] == nil {
			if b.Parameters == nil {
				b.Parameters = map[string]any{}
			}
			b.Parameters[p.Name] = v
		}
	}
	return b
}

// Parse reads the bundle's template again.
func (b *Bundle) Parse() (*Template, error) {
	return Parse(b.Template.Name, b.Template.Text, b.Environments, Options{Open: func(path string) ([]byte, error) {
		if text, ok := b.Files[path]; ok {
			return []byte(text), nil
		}
		return nil, fmt.Errorf("the file %q is not kept with the service", path)
	}})
}
