package telemetry

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/model/value"
	"google.golang.org/protobuf/encoding/protowire"
)

// A dataPoint is what all kinds of OTLP points have, plus the parts of histograms and summaries.
type dataPoint struct {
	time    int64 // milliseconds
	value   float64
	sum     float64
	hasSum  bool
	count   uint64
	buckets []byte // packed
	bounds  []byte // packed
	absent  bool   // the sender says that there is no value
}

// noValue is the flag by which a sender ends a series.
const noValue = 1

// open appends the labels of a point to the batch and returns where they start. attributes is the number of its field.
func (o *otlp) open(raw []byte, attributes protowire.Number) (from int, err error) {
	from = o.b.begin()
	o.b.labels = append(o.b.labels, o.base...)
	base := len(o.b.labels)
	f := fields{raw: raw}
	for f.next() {
		if !f.is(attributes, protowire.BytesType) {
			continue
		}
		name, text, err := o.attribute(f.bytes)
		if err != nil {
			return 0, err
		}
		name = o.labelName(name)
		// A point's attribute goes before the resource's of the same name.
		for i := from; i < base && text != ""; i++ {
			if o.b.labels[i].Name == name {
				o.b.labels = slices.Delete(o.b.labels, i, i+1)
				base--
				break
			}
		}
		o.b.label(name, text)
	}
	return from, f.err
}

// labelName puts an underscore for what Prometheus' label names cannot hold.
func (o *otlp) labelName(name string) string {
	good := func(i int, c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || i > 0 && c >= '0' && c <= '9'
	}
	for i := range len(name) {
		if good(i, name[i]) {
			continue
		}
		from := len(o.b.text)
		if i == 0 && name[0] >= '0' && name[0] <= '9' {
			o.b.text = append(o.b.text, "key_"...)
		}
		for j := range len(name) {
			c := name[j]
			if !good(1, c) {
				c = '_'
			}
			o.b.text = append(o.b.text, c)
		}
		return view(o.b.text[from:])
	}
	return name
}

// number reads a NumberDataPoint.
func (o *otlp) number(raw []byte) error {
	var p dataPoint
	f := fields{raw: raw}
	for f.next() {
		switch {
		case f.is(3, protowire.Fixed64Type):
			p.time = int64(f.value / 1e6)
		case f.is(4, protowire.Fixed64Type):
			p.value = math.Float64frombits(f.value)
		case f.is(6, protowire.Fixed64Type):
			p.value = float64(int64(f.value))
		case f.is(8, protowire.VarintType):
			p.absent = f.value&noValue != 0
		}
	}
	if f.err != nil {
		return f.err
	}
	from, err := o.open(raw, 7)
	if err != nil {
		return err
	}
	return o.add("", from, &p, p.value)
}

// add ends a series whose labels start at from, and gives it its value.
func (o *otlp) add(suffix string, from int, p *dataPoint, v float64) error {
	name, err := o.translated()
	if err != nil {
		return err
	}
	if suffix != "" {
		name = o.b.suffixed(name, suffix)
	}
	if p.absent {
		v = math.Float64frombits(value.StaleNaN)
	}
	if err := o.b.end(name, from); err != nil {
		return err
	}
	return o.b.point(p.time, v)
}

// histogram reads a HistogramDataPoint.
func (o *otlp) histogram(raw []byte) error {
	var p dataPoint
	f := fields{raw: raw}
	for f.next() {
		switch {
		case f.is(3, protowire.Fixed64Type):
			p.time = int64(f.value / 1e6)
		case f.is(4, protowire.Fixed64Type):
			p.count = f.value
		case f.is(5, protowire.Fixed64Type):
			p.sum, p.hasSum = math.Float64frombits(f.value), true
		case f.is(6, protowire.BytesType):
			p.buckets = f.bytes
		case f.is(7, protowire.BytesType):
			p.bounds = f.bytes
		case f.is(10, protowire.VarintType):
			p.absent = f.value&noValue != 0
		}
	}
	if f.err != nil {
		return f.err
	}
	bare := len(p.buckets) == 0 && len(p.bounds) == 0 // count and sum alone
	if !bare && (len(p.bounds)%8 != 0 || len(p.buckets) != len(p.bounds)+8) {
		return fmt.Errorf("%d buckets do not fit %d bounds", len(p.buckets)/8, len(p.bounds)/8)
	}
	from, err := o.open(raw, 9)
	if err != nil {
		return err
	}
	to := len(o.b.labels)
	if err := o.add("_count", from, &p, float64(p.count)); err != nil {
		return err
	}
	if p.hasSum {
		if err := o.add("_sum", o.b.again(from, to), &p, p.sum); err != nil {
			return err
		}
	}
	var total uint64
	for i := 0; i < len(p.bounds); i += 8 {
		bound, _ := protowire.ConsumeFixed64(p.bounds[i:])
		in, _ := protowire.ConsumeFixed64(p.buckets[i:])
		total += in
		if err := o.bucket("_bucket", "le", math.Float64frombits(bound), o.b.again(from, to), &p, float64(total)); err != nil {
			return err
		}
	}
	return o.bucket("_bucket", "le", math.Inf(1), o.b.again(from, to), &p, float64(p.count))
}

// bucket adds a series with one more label, whose value is a number.
func (o *otlp) bucket(suffix, label string, bound float64, from int, p *dataPoint, v float64) error {
	start := len(o.b.text)
	if math.IsInf(bound, 1) {
		o.b.text = append(o.b.text, "+Inf"...)
	} else {
		o.b.text = strconv.AppendFloat(o.b.text, bound, 'f', -1, 64)
	}
	o.b.label(label, view(o.b.text[start:]))
	return o.add(suffix, from, p, v)
}

// summary reads a SummaryDataPoint.
func (o *otlp) summary(raw []byte) error {
	var p dataPoint
	f := fields{raw: raw}
	for f.next() {
		switch {
		case f.is(3, protowire.Fixed64Type):
			p.time = int64(f.value / 1e6)
		case f.is(4, protowire.Fixed64Type):
			p.count = f.value
		case f.is(5, protowire.Fixed64Type):
			p.sum = math.Float64frombits(f.value)
		case f.is(8, protowire.VarintType):
			p.absent = f.value&noValue != 0
		}
	}
	if f.err != nil {
		return f.err
	}
	from, err := o.open(raw, 7)
	if err != nil {
		return err
	}
	to := len(o.b.labels)
	if err := o.add("_count", from, &p, float64(p.count)); err != nil {
		return err
	}
	if err := o.add("_sum", o.b.again(from, to), &p, p.sum); err != nil {
		return err
	}
	return each(raw, 6, func(quantile []byte) error {
		var at, v float64
		f := fields{raw: quantile}
		for f.next() {
			switch {
			case f.is(1, protowire.Fixed64Type):
				at = math.Float64frombits(f.value)
			case f.is(2, protowire.Fixed64Type):
				v = math.Float64frombits(f.value)
			}
		}
		if f.err != nil {
			return f.err
		}
		return o.bucket("", "quantile", at, o.b.again(from, to), &p, v)
	})
}
