package telemetry

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Prometheus' own generated decoders make an object for each label and sample; this one makes none
// (BenchmarkDecodeRemoteWrite shows both).

// A fields walks the fields of one protobuf message.
type fields struct {
	raw    []byte
	number protowire.Number
	kind   protowire.Type
	value  uint64 // of a number; the bits of a double
	bytes  []byte
	err    error
}

// next reads one field. Groups are refused: no format here has them.
func (f *fields) next() bool {
	if len(f.raw) == 0 || f.err != nil {
		return false
	}
	number, kind, n := protowire.ConsumeTag(f.raw)
	if n < 0 {
		f.err = protowire.ParseError(n)
		return false
	}
	f.raw, f.number, f.kind = f.raw[n:], number, kind
	switch kind {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(f.raw)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(f.raw)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(f.raw)
		f.value = uint64(v)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(f.raw)
	default:
		f.err = fmt.Errorf("wire type %d", kind)
		return false
	}
	if n < 0 {
		f.err = protowire.ParseError(n)
		return false
	}
	f.raw = f.raw[n:]
	return true
}

// is reports whether the field is this one, in the type that it must have.
func (f *fields) is(number protowire.Number, kind protowire.Type) bool {
	return f.number == number && f.kind == kind
}

func malformed(format string, err error) error {
	if err == nil || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrSyntax, format, err)
}

// DecodeRemoteWrite adds what a Prometheus remote write request of version 1 holds (after snappy). The body must
// stay as it is until the batch is reset. Exemplars and metadata are left out.
func DecodeRemoteWrite(b *Batch, body []byte) error {
	f := fields{raw: body}
	for f.next() {
		if f.is(1, protowire.BytesType) {
			if err := b.timeSeries(f.bytes); err != nil {
				return malformed("remote write", err)
			}
		}
	}
	return malformed("remote write", f.err)
}

func (b *Batch) timeSeries(raw []byte) error {
	from, name, ended := b.begin(), "", false
	var at *histogramSeries
	for f := (fields{raw: raw}); ; {
		if !f.next() {
			if f.err != nil || ended {
				return f.err
			}
			return b.end(name, from)
		}
		if f.kind != protowire.BytesType {
			continue
		}
		switch f.number {
		case 1:
			if ended {
				return errors.New("a label after the samples")
			}
			label, value, err := pair(f.bytes)
			if err != nil {
				return err
			}
			if label == nameLabel && name == "" {
				name = value
				continue
			}
			b.label(label, value)
		case 2:
			if !ended {
				ended = true
				if err := b.end(name, from); err != nil {
					return err
				}
			}
			if at != nil {
				return errors.New("a sample after a histogram of the same series")
			}
			if err := b.sample(f.bytes); err != nil {
				return err
			}
		case 4:
			if !ended {
				ended = true
				if err := b.end(name, from); err != nil {
					return err
				}
			}
			if err := b.histogramAfter(&at, name, from, f.bytes, newHistogram1()); err != nil {
				return err
			}
		}
	}
}

// histogramAfter reads a native histogram of the series that was ended last; at is where its three series are, once
// there was one.
func (b *Batch) histogramAfter(at **histogramSeries, name string, from int, raw []byte, read remoteHistogram) error {
	if *at == nil {
		h, err := b.endHistogram(name, from)
		if err != nil {
			return err
		}
		*at = &h
	}
	return b.remoteHistogram(raw, **at, read)
}

// nameLabel bears a metric's name. A second one is a label that is not allowed.
const nameLabel = "__name__"

// pair reads a Label.
func pair(raw []byte) (name, value string, err error) {
	f := fields{raw: raw}
	for f.next() {
		switch {
		case f.is(1, protowire.BytesType):
			name = view(f.bytes)
		case f.is(2, protowire.BytesType):
			value = view(f.bytes)
		}
	}
	return name, value, f.err
}

// sample reads a Sample: the same in both versions.
func (b *Batch) sample(raw []byte) error {
	f := fields{raw: raw}
	var value float64
	var time int64
	for f.next() {
		switch {
		case f.is(1, protowire.Fixed64Type):
			value = math.Float64frombits(f.value)
		case f.is(2, protowire.VarintType):
			time = int64(f.value)
		}
	}
	if f.err != nil {
		return f.err
	}
	return b.point(time, value)
}

// DecodeRemoteWrite2 is DecodeRemoteWrite for version 2 (io.prometheus.write.v2.Request).
func DecodeRemoteWrite2(b *Batch, body []byte) error {
	// Symbols may follow the series that use them.
	f := fields{raw: body}
	for f.next() {
		if f.is(4, protowire.BytesType) {
			if len(b.symbols) > 4*b.Bounds.Series {
				return tooMany("symbols", 4*b.Bounds.Series)
			}
			b.symbols = append(b.symbols, view(f.bytes))
		}
	}
	if f.err != nil {
		return malformed("remote write 2", f.err)
	}
	f = fields{raw: body}
	for f.next() {
		if f.is(5, protowire.BytesType) {
			if err := b.timeSeries2(f.bytes); err != nil {
				return malformed("remote write 2", err)
			}
		}
	}
	return nil
}

func (b *Batch) timeSeries2(raw []byte) error {
	from, name := b.begin(), ""
	for f := (fields{raw: raw}); f.next(); {
		if !f.is(1, protowire.BytesType) {
			continue
		}
		for refs := f.bytes; len(refs) > 0; {
			var at [2]uint64
			for i := range at {
				v, n := protowire.ConsumeVarint(refs)
				if n < 0 {
					return fmt.Errorf("references of labels: %w", protowire.ParseError(n))
				}
				if v >= uint64(len(b.symbols)) {
					return fmt.Errorf("a label refers to symbol %d of %d", v, len(b.symbols))
				}
				at[i], refs = v, refs[n:]
			}
			if label := b.symbols[at[0]]; label == nameLabel && name == "" {
				name = b.symbols[at[1]]
			} else {
				b.label(label, b.symbols[at[1]])
			}
		}
	}
	if err := b.end(name, from); err != nil {
		return err
	}
	if err := each(raw, 2, b.sample); err != nil {
		return err
	}
	var at *histogramSeries
	return each(raw, 3, func(raw []byte) error { return b.histogramAfter(&at, name, from, raw, newHistogram2()) })
}
