package telemetry

import (
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"google.golang.org/protobuf/encoding/protowire"
)

// A native histogram comes to three series: itself, for history alone, and its count and its sum under the names that
// classic histograms have, which alarms, policies and all the rest understand.

const (
	// maxHistogramBytes bounds one native histogram in a request, before memory is taken for it.
	maxHistogramBytes = 64 << 10
	// fewBuckets is how many an exponential histogram that is summed up here may have; beyond, its resolution is halved.
	fewBuckets = 320
)

// histogramSeries are the indexes of the three in a batch.
type histogramSeries struct{ whole, count, sum int }

// endHistogram adds the count and the sum of the series that was ended last, whose labels begin at from.
func (b *Batch) endHistogram(name string, from int) (h histogramSeries, err error) {
	h.whole = len(b.series) - 1
	to := b.series[h.whole].to
	if err := b.end(b.suffixed(name, "_count"), b.again(from, to)); err != nil {
		return h, err
	}
	h.count = len(b.series) - 1
	err = b.end(b.suffixed(name, "_sum"), b.again(from, to))
	h.sum = len(b.series) - 1
	return h, err
}

// addHistogram adds a sample to the three series. One that makes no sense is left out and counted.
func (b *Batch) addHistogram(s histogramSeries, time int64, h *histogram.FloatHistogram) error {
	if h.CounterResetHint != histogram.GaugeType {
		h.CounterResetHint = histogram.UnknownCounterReset // history finds resets itself
	}
	if h.Validate() != nil || overfull(h) {
		b.lost[Histogram]++
		return nil
	}
	if b.buckets += len(h.PositiveBuckets) + len(h.NegativeBuckets); b.buckets > 8*b.Bounds.Points {
		return tooMany("buckets of native histograms", 8*b.Bounds.Points)
	}
	count := h.Count
	if value.IsStaleNaN(h.Sum) {
		count = h.Sum
	}
	if err := b.pointOf(s.whole, time, 0); err != nil {
		return err
	}
	b.points[len(b.points)-1].histogram = h
	if err := errors.Join(b.pointOf(s.count, time, count), b.pointOf(s.sum, time, h.Sum)); err != nil {
		return err
	}
	for i := range b.points[len(b.points)-2:] {
		b.points[len(b.points)-1-i].derived = true
	}
	return nil
}

// overfull reports whether more is in the buckets than was counted, beyond what sums of fractions drift.
func overfull(h *histogram.FloatHistogram) bool {
	in := h.ZeroCount
	for _, buckets := range [...][]float64{h.PositiveBuckets, h.NegativeBuckets} {
		for _, n := range buckets {
			in += n
		}
	}
	return in > h.Count*(1+1e-6)
}

// suffixed returns a name with more behind it, in the batch's memory.
func (b *Batch) suffixed(name, suffix string) string {
	start := len(b.text)
	b.text = append(append(b.text, name...), suffix...)
	return view(b.text[start:])
}

// again copies the labels from..to for the next series, and returns where they start.
func (b *Batch) again(from, to int) int {
	start := b.begin()
	b.labels = append(b.labels, b.labels[from:to]...)
	return start
}

// A remoteHistogram is that of remote write 1 or 2.
type remoteHistogram interface {
	Unmarshal([]byte) error
	GetTimestamp() int64
	IsFloatHistogram() bool
	ToIntHistogram() *histogram.Histogram
	ToFloatHistogram() *histogram.FloatHistogram
}

func newHistogram1() remoteHistogram { return new(prompb.Histogram) }
func newHistogram2() remoteHistogram { return new(writev2.Histogram) }

// remoteHistogram reads one of a series that ends its labels with at.
func (b *Batch) remoteHistogram(raw []byte, at histogramSeries, read remoteHistogram) error {
	if len(raw) > maxHistogramBytes {
		b.lost[Histogram]++
		return nil
	}
	if err := read.Unmarshal(raw); err != nil {
		return fmt.Errorf("native histogram: %w", err)
	}
	// Of whole numbers, buckets and count must agree exactly, which the form with fractions no longer shows.
	if !read.IsFloatHistogram() && read.ToIntHistogram().Validate() != nil {
		b.lost[Histogram]++
		return nil
	}
	return b.addHistogram(at, read.GetTimestamp(), read.ToFloatHistogram())
}

// An exponential is an ExponentialHistogramDataPoint of OTLP as it comes.
type exponential struct {
	dataPoint
	scale              int64
	zeroCount          uint64
	zeroThreshold      float64
	positive, negative []byte
}

// exponential reads an ExponentialHistogramDataPoint.
func (o *otlp) exponential(raw []byte) error {
	var p exponential
	f := fields{raw: raw}
	for f.next() {
		switch {
		case f.is(3, protowire.Fixed64Type):
			p.time = int64(f.value / 1e6)
		case f.is(4, protowire.Fixed64Type):
			p.count = f.value
		case f.is(5, protowire.Fixed64Type):
			p.sum = math.Float64frombits(f.value)
		case f.is(6, protowire.VarintType):
			p.scale = int64(int32(protowire.DecodeZigZag(f.value)))
		case f.is(7, protowire.Fixed64Type):
			p.zeroCount = f.value
		case f.is(8, protowire.BytesType):
			p.positive = f.bytes
		case f.is(9, protowire.BytesType):
			p.negative = f.bytes
		case f.is(10, protowire.VarintType):
			p.absent = f.value&noValue != 0
		case f.is(14, protowire.Fixed64Type):
			p.zeroThreshold = math.Float64frombits(f.value)
		}
	}
	if f.err != nil {
		return f.err
	}
	h, err := p.native()
	if err != nil {
		return err
	}
	if h == nil {
		o.b.lost[Histogram]++
		return nil
	}
	from, err := o.open(raw, 1)
	if err != nil {
		return err
	}
	name, err := o.translated()
	if err != nil {
		return err
	}
	if err := o.b.end(name, from); err != nil {
		return err
	}
	at, err := o.b.endHistogram(name, from)
	if err != nil {
		return err
	}
	return o.b.addHistogram(at, p.time, h)
}

// native returns the point as Prometheus has it, or nil where it cannot.
func (p *exponential) native() (*histogram.FloatHistogram, error) {
	h := &histogram.FloatHistogram{
		Schema: int32(min(p.scale, int64(histogram.ExponentialSchemaMax))), ZeroThreshold: max(p.zeroThreshold, 1e-128),
		ZeroCount: float64(p.zeroCount), Count: float64(p.count), Sum: p.sum,
	}
	if p.absent {
		return &histogram.FloatHistogram{Sum: math.Float64frombits(value.StaleNaN)}, nil
	}
	if p.scale < int64(histogram.ExponentialSchemaMin) || len(p.positive)+len(p.negative) > maxHistogramBytes {
		return nil, nil
	}
	var errPositive, errNegative error
	down := uint(p.scale - int64(h.Schema))
	h.PositiveSpans, h.PositiveBuckets, errPositive = bucketsOf(p.positive, down)
	h.NegativeSpans, h.NegativeBuckets, errNegative = bucketsOf(p.negative, down)
	if err := errors.Join(errPositive, errNegative); err != nil {
		return nil, err
	}
	return h.Compact(0), nil
}

// bucketsOf reads the Buckets of an exponential histogram, each 2^down of which become one. OTLP's bucket i ends where
// bucket i+1 of Prometheus does.
func bucketsOf(raw []byte, down uint) ([]histogram.Span, []float64, error) {
	var offset int64
	var counts []float64
	var packed [][]byte
	f := fields{raw: raw}
	for f.next() {
		switch {
		case f.is(1, protowire.VarintType):
			offset = int64(int32(protowire.DecodeZigZag(f.value)))
		case f.is(2, protowire.BytesType):
			packed = append(packed, f.bytes)
		}
	}
	if f.err != nil {
		return nil, nil, f.err
	}
	down = min(down, 63)
	first, at := (offset>>down)+1, offset
	for _, rest := range packed {
		for len(rest) > 0 {
			v, n := protowire.ConsumeVarint(rest)
			if n < 0 {
				return nil, nil, fmt.Errorf("counts of buckets: %w", protowire.ParseError(n))
			}
			rest = rest[n:]
			if bucket := int((at>>down)+1-first) + 1; len(counts) < bucket {
				counts = append(counts, 0)
			}
			counts[len(counts)-1] += float64(v)
			at++
		}
	}
	if first < math.MinInt32 || first+int64(len(counts)) > math.MaxInt32 {
		return nil, nil, fmt.Errorf("buckets from %d on are beyond all values", offset)
	}
	if len(counts) == 0 {
		return nil, nil, nil
	}
	return []histogram.Span{{Offset: int32(first), Length: uint32(len(counts))}}, counts, nil
}
