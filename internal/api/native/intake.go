package native

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// Samples go past huma: a body is read into memory that is used again, and no sample allocates.

// The headers by which an instance speaks for itself.
const (
	instanceToken = "X-Onegate-Token"
	instanceVM    = "X-Onegate-Vmid"
)

// An intakeFormat is a form in which samples come.
type intakeFormat struct {
	path, summary string
	kinds         []string // media types, for the description
	encoding      string   // of a body that names none
	// decoder finds how a body of the media type is read; nil refuses the type.
	decoder func(kind string, parameters map[string]string) decoder
	// taken answers what was taken; nil answers 204 without a body.
	taken func(w http.ResponseWriter, kind string, r *telemetry.Result)
	// fail words an error for the format's senders; nil does as the rest of the face.
	fail func(f *face, w http.ResponseWriter, r *http.Request, err error)
}

type decoder func(*telemetry.Batch, []byte) error

const (
	protobuf = "application/x-protobuf"
	inJSON   = "application/json"
)

var intakeFormats = []intakeFormat{
	{path: "/metrics", summary: "Send samples as Monasca's JSON", kinds: []string{inJSON}, decoder: anyType(telemetry.DecodeMonasca)},
	{path: "/metrics/prometheus", summary: "Send samples as Prometheus' text", kinds: []string{"text/plain"},
		decoder: anyType(func(b *telemetry.Batch, body []byte) error { return telemetry.DecodeText(b, body, time.Now()) })},
	{path: "/prometheus/write", summary: "Send samples by Prometheus' remote write", kinds: []string{protobuf}, encoding: "snappy",
		decoder: remoteWrite, taken: remotelyWritten},
	{path: "/otlp/v1/metrics", summary: "Send samples by OTLP", kinds: []string{protobuf, inJSON}, decoder: otlp, taken: otlpTaken, fail: (*face).failOTLP},
}

func anyType(d decoder) func(string, map[string]string) decoder {
	return func(string, map[string]string) decoder { return d }
}

func remoteWrite(kind string, parameters map[string]string) decoder {
	switch proto := parameters["proto"]; {
	case kind != "" && kind != protobuf:
		return nil
	case proto == "" || proto == "prometheus.WriteRequest":
		return telemetry.DecodeRemoteWrite
	case proto == "io.prometheus.write.v2.Request":
		return telemetry.DecodeRemoteWrite2
	}
	return nil
}

func otlp(kind string, _ map[string]string) decoder {
	switch kind {
	case protobuf:
		return telemetry.DecodeOTLP
	case inJSON:
		return telemetry.DecodeOTLPJSON
	}
	return nil
}

// takesMetrics reports whether a request sends samples.
func takesMetrics(r *http.Request) bool {
	return r.Method == http.MethodPost && slices.ContainsFunc(intakeFormats, func(x intakeFormat) bool { return x.path == r.URL.Path })
}

// byInstance reports whether a request is to be authenticated by an instance's own token.
func byInstance(r *http.Request) bool {
	return r.Header.Get(instanceToken) != "" && r.Header.Get("Authorization") == "" && takesMetrics(r)
}

// intakeTable puts the routes of intake on the mux and into the description.
func (f *face) intakeTable() {
	for i := range intakeFormats {
		x := &intakeFormats[i]
		body := map[string]*huma.MediaType{}
		for _, kind := range x.kinds {
			body[kind] = &huma.MediaType{Schema: &huma.Schema{}}
		}
		good := &huma.Response{Description: "All samples were taken, but for those that the header Troupe-Refused counts, with the reasons.",
			Headers: map[string]*huma.Param{refusedHeader: {Description: "How many samples were not taken, and why.", Schema: &huma.Schema{Type: "string"}}}}
		status := "204"
		if x.fail != nil {
			status = "200"
			good.Content = f.inJSON(reflect.TypeFor[client.OTLPTaken]())
		}
		operation := &huma.Operation{Method: post, Path: x.path, Summary: x.summary, OperationID: operationID(post, x.path), Tags: []string{"metrics"},
			Description: "An instance may send with the headers X-ONEGATE-TOKEN and X-ONEGATE-VMID in place of credentials.",
			Parameters: []*huma.Param{
				{Name: "project", In: "query", Description: "A group, by name or number; the caller's own when empty.", Schema: &huma.Schema{Type: huma.TypeString}},
				{Name: "Content-Encoding", In: "header", Description: "gzip, zstd, snappy or identity.", Schema: &huma.Schema{Type: huma.TypeString}},
			},
			RequestBody: &huma.RequestBody{Required: true, Content: body}, Responses: map[string]*huma.Response{status: good}}
		f.huma.OpenAPI().AddOperation(operation)
		if x.fail != nil {
			wrong := *operation.Responses["default"] // which all operations share
			wrong.Description += " OTLP's own Status where the request is OTLP."
			wrong.Content = f.inJSON(reflect.TypeFor[client.OTLPFailure]())
			maps.Copy(wrong.Content, operation.Responses["default"].Content)
			operation.Responses["default"] = &wrong
		}
		f.mux.HandleFunc(post+" "+x.path, func(w http.ResponseWriter, r *http.Request) { f.take(w, r, x) })
	}
}

// inJSON is the content of an answer in JSON.
func (f *face) inJSON(t reflect.Type) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{inJSON: {Schema: f.huma.OpenAPI().Components.Schemas.Schema(t, true, "")}}
}

// refusedHeader tells of a good answer how many samples of the request were not taken, and why.
const refusedHeader = "Troupe-Refused"

// take takes the samples of a request in.
func (f *face) take(w http.ResponseWriter, r *http.Request, x *intakeFormat) {
	api.Often(r)
	batch := telemetry.NewBatch()
	defer batch.Free() // errors may show parts of the body
	kind, result, err := f.taken(r, x, batch)
	if n, why := result.Refused(); err == nil && n > 0 {
		w.Header().Set(refusedHeader, strconv.Itoa(n)+" "+why)
	}
	switch {
	case err != nil && x.fail != nil:
		x.fail(f, w, r, err)
	case err != nil:
		f.fail(w, r, err)
	case x.taken != nil:
		x.taken(w, kind, &result)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (f *face) taken(r *http.Request, x *intakeFormat, b *telemetry.Batch) (kind string, result telemetry.Result, err error) {
	ctx := r.Context()
	write, done, err := f.admit(ctx, r)
	if err != nil {
		return "", result, err
	}
	defer done()
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		kind = r.Header.Get("Content-Type")
	}
	decode := x.decoder(kind, parameters)
	if decode == nil {
		return kind, result, &api.Problem{Status: http.StatusUnsupportedMediaType, Detail: "Content-Type " + strconv.Quote(r.Header.Get("Content-Type")) +
			" is not taken here; send " + strings.Join(x.kinds, " or ")}
	}
	api.LimitBody(r, int64(b.Bounds.Bytes)+1) // one more: the batch says what is too large
	body, err := b.Body(r.Body, cmp.Or(r.Header.Get("Content-Encoding"), x.encoding))
	if err != nil {
		return kind, result, unread(err)
	}
	if err := decode(b, body); err != nil {
		return kind, result, err
	}
	result, err = write(b)
	return kind, result, err
}

// unread is an error of reading a body.
func unread(err error) error {
	switch {
	case errors.Is(err, telemetry.ErrTooLarge), errors.Is(err, telemetry.ErrEncoding):
		return err
	case errors.As(err, new(*http.MaxBytesError)), errors.As(err, new(interface{ Timeout() bool })), errors.Is(err, io.ErrUnexpectedEOF):
		return api.BodyError(err)
	}
	return &api.Problem{Status: http.StatusBadRequest, Detail: err.Error()}
}

// admit lets a sender in before the body is read, and returns how its samples are written. done must be called.
func (f *face) admit(ctx context.Context, r *http.Request) (write func(*telemetry.Batch) (telemetry.Result, error), done func(), err error) {
	query := r.URL.Query()
	for name := range query {
		if name != "project" {
			return nil, nil, invalid("query."+name, "there is no such parameter"+nearest.Hint(name, []string{"project"}))
		}
	}
	if who := api.Caller(ctx); who != nil {
		tenant, done, err := f.control.AdmitMetrics(ctx, who, query.Get("project"))
		return func(b *telemetry.Batch) (telemetry.Result, error) { return f.control.WriteMetrics(who, tenant, b) }, done, err
	}
	instance, err := f.control.AuthenticateInstance(r.Header.Get(instanceVM), r.Header.Get(instanceToken))
	if err != nil {
		return nil, nil, err
	}
	if query.Has("project") {
		return nil, nil, invalid("query.project", "an instance sends for its own service alone")
	}
	done, err = f.control.AdmitInstance(ctx, instance)
	return func(b *telemetry.Batch) (telemetry.Result, error) { return f.control.WriteInstanceMetrics(instance, b) }, done, err
}

// remotelyWritten tells senders of remote write 2 how much was taken. A part that is refused makes the status 400, which
// tells senders not to send it again; NaN is no mistake of theirs.
func remotelyWritten(w http.ResponseWriter, _ string, r *telemetry.Result) {
	w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(r.Samples))
	w.Header().Set("X-Prometheus-Remote-Write-Histograms-Written", strconv.Itoa(r.Histograms))
	w.Header().Set("X-Prometheus-Remote-Write-Exemplars-Written", "0")
	if n, why := r.Refused(telemetry.Invalid, telemetry.Histogram, telemetry.Future, telemetry.Old); n > 0 {
		http.Error(w, why+"; the others were", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// otlpTaken answers an ExportMetricsServiceResponse: how much was not taken, and why.
func otlpTaken(w http.ResponseWriter, kind string, r *telemetry.Result) {
	left, why := r.Refused()
	w.Header().Set("Content-Type", kind)
	if kind == inJSON {
		var out client.OTLPTaken
		if left > 0 {
			out.PartialSuccess = &client.OTLPLeftOut{RejectedDataPoints: strconv.Itoa(left), ErrorMessage: why}
		}
		_ = writeJSON(w, out) // a client that left hears nothing
		return
	}
	var body []byte
	if left > 0 {
		partial := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(left))
		partial = protowire.AppendString(protowire.AppendTag(partial, 2, protowire.BytesType), why)
		body = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial)
	}
	_, _ = w.Write(body)
}

// failOTLP answers with a google.rpc.Status in the form of the request, as OTLP demands.
func (f *face) failOTLP(w http.ResponseWriter, r *http.Request, err error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != protobuf && kind != inJSON {
		f.fail(w, r, err)
		return
	}
	e := f.failure(r.Context(), err)
	for k, v := range e.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(e.Status)
	if kind == inJSON {
		_ = writeJSON(w, client.OTLPFailure{Message: e.Detail}) // a client that left hears nothing
		return
	}
	_, _ = w.Write(protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), e.Detail))
}

// metricsHealth shows how intake and history are; nil where there is neither.
func metricsHealth(h *control.MetricsHealth) *client.MetricsHealth {
	if h == nil {
		return nil
	}
	out := &client.MetricsHealth{Series: h.Intake.Series, Taken: h.Intake.Taken, Refused: map[string]uint64{}}
	h.Intake.Counts.Each(func(r telemetry.Reason, n uint64) {
		if n > 0 {
			out.Refused[r.String()] = n
		}
	})
	record := &h.Intake.History
	if x := h.History; x != nil {
		out.History = &client.HistoryHealth{Series: x.Series, DiskBytes: x.DiskBytes, Oldest: later(x.Oldest), Waiting: record.Waiting, Lost: record.Lost}
		switch {
		case record.Failing != nil:
			out.History.Failing, out.History.Since = record.Failing.Error(), later(record.Since)
		case x.Failing != nil: // nothing has come since
			out.History.Failing = x.Failing.Error()
		}
	}
	return out
}
