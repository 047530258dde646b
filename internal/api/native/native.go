// Package native is Troupe's own API: REST under /v1, described by the OpenAPI document that it serves.
// Its shapes are those of package client.
//
// routes.go is the map of the face; each resource has a file; wire.go turns what the server knows into
// the shapes of the wire.
package native

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// Name and Prefix are those of the face.
const (
	Name   = "native"
	Prefix = "/v1"
)

// Options adjust the face.
type Options struct {
	Version string    // of the server
	Started time.Time // of the server; zero for now
	// OneFlow are the settings by which templates in OneFlow's format become services; the zero value
	// stands for its defaults.
	OneFlow oneflow.Settings
	Log     *slog.Logger // nil for none
}

// New returns the face.
func New(c *control.Control, o Options) api.Face {
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	if o.OneFlow == (oneflow.Settings{}) {
		o.OneFlow = oneflow.DefaultSettings()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &face{control: c, options: o, mux: http.NewServeMux()}
	f.table()
	return api.Face{Name: Name, Prefix: Prefix, Routes: http.HandlerFunc(f.serve), Errors: f.fail, Challenge: `Basic realm="troupe", charset="UTF-8"`,
		Public: byInstance, AnyScope: true}
}

// serve lets tokens in that can do no more than send metrics, where metrics are sent.
func (f *face) serve(w http.ResponseWriter, r *http.Request) {
	if who := api.Caller(r.Context()); who != nil && !who.Can(identity.ScopeRead) && !takesMetrics(r) {
		f.fail(w, r, &api.Problem{Status: http.StatusForbidden, Detail: "the token is not good for this: it lacks the scope read"})
		return
	}
	f.mux.ServeHTTP(w, r)
}

// maxBody is as much as the server lets in: huma refuses what reaches it.
const maxBody = 8 << 20

type face struct {
	control *control.Control
	options Options
	mux     *http.ServeMux
	huma    huma.API
}

// begin sets the description of the API up, before the routes are added to it.
func (f *face) begin() {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	wrong := &huma.Response{Description: "What is wrong (RFC 9457).", Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: registry.Schema(reflect.TypeFor[client.Problem](), true, "Problem")}}}
	scale := registry.Map()[strings.TrimPrefix(registry.Schema(reflect.TypeFor[client.Scale](), true, "").Ref, "#/components/schemas/")]
	scale.Properties["cardinality"] = wishes(scale.Properties["cardinality"].Description)
	f.huma = huma.NewAPI(huma.Config{
		OpenAPI: &huma.OpenAPI{
			OnAddOperation: []huma.AddOpFunc{func(_ *huma.OpenAPI, op *huma.Operation) {
				op.Responses["default"] = wrong
				// huma's own words for errors never reach the wire; see reword.
				delete(registry.Map(), "ErrorModel")
				delete(registry.Map(), "ErrorDetail")
			}},
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "Troupe", Version: "1",
				Description: "Deploys, heals, scales, updates and removes services made of many machines."},
			Servers: []*huma.Server{{URL: Prefix}},
			Components: &huma.Components{Schemas: registry, SecuritySchemes: map[string]*huma.SecurityScheme{
				"password": {Type: "http", Scheme: "basic", Description: "User name and password."},
				"token":    {Type: "http", Scheme: "bearer", Description: "A token; see /tokens."},
			}},
			Security: []map[string][]string{{"password": {}}, {"token": {}}},
		},
		OpenAPIPath:   "/openapi",
		DefaultFormat: "application/json",
		Formats: map[string]huma.Format{
			"application/json": {Marshal: writeJSON, Unmarshal: api.UnmarshalJSON},
			"json":             {Marshal: writeJSON, Unmarshal: api.UnmarshalJSON},
			"application/yaml": {Marshal: writeYAML, Unmarshal: readDocument},
		},
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{f.reword},
	}, humago.NewAdapter(f.mux, ""))
}

// wishes describes a cardinality as it is wished: a number, or a text that is one or a change.
func wishes(about string) *huma.Schema {
	least, most := 0.0, float64(service.MaxCardinality)
	s := &huma.Schema{Description: about, OneOf: []*huma.Schema{
		{Type: huma.TypeInteger, Minimum: &least, Maximum: &most},
		{Type: huma.TypeString, Pattern: `^([+-]?[0-9]{1,9}|[+-][0-9]{1,6}%)$`}}}
	s.PrecomputeMessages()
	return s
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// writeYAML answers those who ask for YAML.
func writeYAML(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if text, err = yaml.JSONToYAML(text); err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// readDocument takes a body of YAML as the source of a document.
func readDocument(data []byte, v any) error {
	text, err := json.Marshal(map[string]string{"source": string(data)})
	if err != nil {
		return err
	}
	return api.UnmarshalJSON(text, v)
}

// A handler answers a request of who.
type handler[I, O any] func(ctx context.Context, who *identity.Caller, in *I) (*O, error)

// add puts an operation on the mux and into the description.
func add[I, O any](f *face, method, path, summary string, h handler[I, O], more ...func(*huma.Operation)) {
	op := huma.Operation{Method: method, Path: path, Summary: summary, OperationID: operationID(method, path), Tags: []string{tag(path)},
		MaxBodyBytes: maxBody, BodyReadTimeout: time.Minute}
	for _, m := range more {
		m(&op)
	}
	huma.Register(f.huma, op, func(ctx context.Context, in *I) (*O, error) {
		ctx = control.WithOrigin(ctx, control.Origin{Request: api.RequestID(ctx), Face: Name})
		out, err := h(ctx, api.Caller(ctx), in)
		if err != nil {
			return nil, f.failure(ctx, err)
		}
		return out, nil
	})
}

// status sets the status of a good answer.
func status(code int) func(*huma.Operation) {
	return func(op *huma.Operation) { op.DefaultStatus = code }
}

// shape describes the answer of a status, where it is not what the handler's type says.
func shape[T any](f *face, code, about string) func(*huma.Operation) {
	return func(op *huma.Operation) {
		if op.Responses == nil {
			op.Responses = map[string]*huma.Response{}
		}
		op.Responses[code] = &huma.Response{Description: about, Content: map[string]*huma.MediaType{
			"application/json": {Schema: f.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")}}}
	}
}

// Shapes that several operations share.
type (
	none          struct{}
	answer[T any] struct{ Body T }
	// tagged is an answer with a revision for If-Match.
	tagged[T any] struct {
		ETag string `header:"ETag"`
		Body T
	}
)

func answered[T any](v T, err error) (*answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &answer[T]{v}, nil
}
