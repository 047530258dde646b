package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/prometheus/otlptranslator"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-dev/troupe/internal/metric"
)

// DecodeOTLPJSON is DecodeOTLP for the JSON form. It allocates: senders of any volume use protobuf.
func DecodeOTLPJSON(b *Batch, body []byte) error {
	if err := checkDepth(body); err != nil {
		return err
	}
	var request collector.ExportMetricsServiceRequest
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, &request); err != nil {
		return malformed("OTLP", err)
	}
	raw, err := proto.Marshal(&request)
	if err != nil {
		return malformed("OTLP", err)
	}
	return DecodeOTLP(b, raw)
}

// DecodeOTLP adds what an OTLP ExportMetricsServiceRequest holds, named as Prometheus names it: letters, digits and
// underscores, with suffixes for unit and kind. A histogram becomes name_bucket, name_count and name_sum. Of the
// resource's attributes job, instance and host_name are made, and service, role and instance are kept when it has them.
// Exponential histograms become native ones. Sums and histograms that count from one report to the next (delta) are added
// up when they are taken in.
// The body must stay as it is until the batch is reset.
func DecodeOTLP(b *Batch, body []byte) error {
	o := otlp{b: b}
	f := fields{raw: body}
	for f.next() {
		if f.is(1, protowire.BytesType) {
			if err := o.resourceMetrics(f.bytes); err != nil {
				return malformed("OTLP", err)
			}
		}
	}
	return malformed("OTLP", f.err)
}

type otlp struct {
	b    *Batch
	base []metric.Dimension // of the resource
	// of the metric that is being read
	name, unit string
	kind       otlptranslator.MetricType
}

func (o *otlp) resourceMetrics(raw []byte) error {
	o.base = o.b.scratch[:0]
	for f := (fields{raw: raw}); f.next(); {
		if f.is(1, protowire.BytesType) {
			if err := o.resource(f.bytes); err != nil {
				return err
			}
		}
	}
	o.b.scratch = o.base[:0]
	return each(raw, 2, func(scope []byte) error {
		return each(scope, 2, o.metric)
	})
}

// each calls do for every message in a repeated field.
func each(raw []byte, number protowire.Number, do func([]byte) error) error {
	f := fields{raw: raw}
	for f.next() {
		if f.is(number, protowire.BytesType) {
			if err := do(f.bytes); err != nil {
				return err
			}
		}
	}
	return f.err
}

func (o *otlp) resource(raw []byte) error {
	var service, namespace, instance string
	err := each(raw, 1, func(attribute []byte) error {
		name, text, err := o.attribute(attribute)
		if err != nil {
			return err
		}
		switch name {
		case "service.name":
			service = text
		case "service.namespace":
			namespace = text
		case "service.instance.id":
			if instance == "" {
				instance = text
			}
		case "host.name":
			o.base = append(o.base, metric.Dimension{Name: "host_name", Value: text})
		case dimInstance:
			instance = text
		case dimService, dimRole:
			o.base = append(o.base, metric.Dimension{Name: name, Value: text})
		}
		return nil
	})
	if namespace != "" && service != "" {
		service = namespace + "/" + service
	}
	if service != "" {
		o.base = append(o.base, metric.Dimension{Name: "job", Value: service})
	}
	if instance != "" {
		o.base = append(o.base, metric.Dimension{Name: dimInstance, Value: instance})
	}
	return err
}

// attribute reads a KeyValue. Lists and maps become JSON.
func (o *otlp) attribute(raw []byte) (name, text string, err error) {
	f := fields{raw: raw}
	for f.next() {
		switch {
		case f.is(1, protowire.BytesType):
			name = view(f.bytes)
		case f.is(2, protowire.BytesType):
			if text, err = o.anyValue(f.bytes); err != nil {
				return "", "", err
			}
		}
	}
	return name, text, f.err
}

func (o *otlp) anyValue(raw []byte) (string, error) {
	f := fields{raw: raw}
	out := ""
	for f.next() {
		from := len(o.b.text)
		switch f.number {
		case 1:
			out = view(f.bytes)
			continue
		case 2:
			o.b.text = strconv.AppendBool(o.b.text, f.value != 0)
		case 3:
			o.b.text = strconv.AppendInt(o.b.text, int64(f.value), 10)
		case 4:
			o.b.text = strconv.AppendFloat(o.b.text, math.Float64frombits(f.value), 'g', -1, 64)
		default:
			var v common.AnyValue
			if err := proto.Unmarshal(raw, &v); err != nil {
				return "", err
			}
			text, err := json.Marshal(plain(&v, 0))
			if err != nil {
				return "", err
			}
			return string(text), nil
		}
		out = view(o.b.text[from:])
	}
	return out, f.err
}

// plain returns what encoding/json can print; what is nested too deep becomes null.
func plain(v *common.AnyValue, depth int) any {
	if depth > maxDepth {
		return nil
	}
	switch v := v.GetValue().(type) {
	case *common.AnyValue_ArrayValue:
		out := make([]any, 0, len(v.ArrayValue.GetValues()))
		for _, x := range v.ArrayValue.GetValues() {
			out = append(out, plain(x, depth+1))
		}
		return out
	case *common.AnyValue_KvlistValue:
		out := make(map[string]any)
		for _, x := range v.KvlistValue.GetValues() {
			out[x.GetKey()] = plain(x.GetValue(), depth+1)
		}
		return out
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_DoubleValue:
		return strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
	case *common.AnyValue_BytesValue:
		return v.BytesValue
	}
	return nil
}

// metric reads one Metric: its name and unit first, wherever they stand.
func (o *otlp) metric(raw []byte) error {
	o.name, o.unit = "", ""
	f := fields{raw: raw}
	for f.next() {
		switch {
		case f.is(1, protowire.BytesType):
			o.name = view(f.bytes)
		case f.is(3, protowire.BytesType):
			o.unit = view(f.bytes)
		}
	}
	if f.err != nil {
		return f.err
	}
	if o.name == "" {
		return errors.New("a metric has no name")
	}
	for f := (fields{raw: raw}); f.next(); {
		if f.kind != protowire.BytesType {
			continue
		}
		var err error
		switch f.number {
		case 5:
			o.kind = otlptranslator.MetricTypeGauge
			err = each(f.bytes, 1, o.number)
		case 7:
			err = o.sum(f.bytes)
		case 9:
			o.kind = otlptranslator.MetricTypeHistogram
			err = o.counted(f.bytes, o.histogram)
		case 10:
			o.kind = otlptranslator.MetricTypeExponentialHistogram
			err = o.counted(f.bytes, o.exponential)
		case 11:
			o.kind = otlptranslator.MetricTypeSummary
			err = each(f.bytes, 1, o.summary)
		}
		if err != nil {
			return fmt.Errorf("metric %.80s: %w", o.name, err)
		}
	}
	return nil
}

func (o *otlp) sum(raw []byte) error {
	o.kind = otlptranslator.MetricTypeNonMonotonicCounter
	for f := (fields{raw: raw}); f.next(); {
		if f.is(3, protowire.VarintType) && f.value != 0 {
			o.kind = otlptranslator.MetricTypeMonotonicCounter
		}
	}
	return o.counted(raw, o.number)
}

// counted reads the points of a sum or histogram: since the start of the sender, or since its report before (delta).
func (o *otlp) counted(raw []byte, point func([]byte) error) error {
	defer func() { o.b.delta = false }()
	for f := (fields{raw: raw}); f.next(); {
		if f.is(2, protowire.VarintType) {
			o.b.delta = f.value == 1
		}
	}
	return each(raw, 1, point)
}

// translated returns the Prometheus name of the metric that is being read.
func (o *otlp) translated() (string, error) {
	b := o.b
	from := len(b.text)
	b.text = append(append(append(append(b.text, byte(o.kind)), o.name...), 0), o.unit...)
	key := b.text[from:]
	b.text = b.text[:from]
	if name, ok := b.names[string(key)]; ok {
		return name, nil
	}
	namer := otlptranslator.MetricNamer{WithMetricSuffixes: true}
	k := string(key)
	name, err := namer.Build(otlptranslator.Metric{Name: string([]byte(o.name)), Unit: string([]byte(o.unit)), Type: o.kind})
	if err != nil {
		return "", err
	}
	if b.names == nil || len(b.names) > 10_000 {
		b.names = make(map[string]string)
	}
	b.names[k] = name
	return name, nil
}
