package telemetry

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/histogram"

	"github.com/troupe-dev/troupe/internal/metric"
)

// Bounds are the most that one request may hold.
type Bounds struct {
	Bytes  int // of the body, after decompression
	Series int
	Points int
}

// DefaultBounds fit the largest requests that the usual senders make.
var DefaultBounds = Bounds{Bytes: 32 << 20, Series: 200_000, Points: 500_000}

// A Batch holds the samples of one request. Decoders fill it, [Intake.Write] empties it. It keeps its memory
// for the next request. Not safe for concurrent use.
type Batch struct {
	Bounds Bounds

	series []rawSeries
	labels []metric.Dimension // of all series, one after the other
	start  int                // where the labels of the series that is being read begin
	points []rawPoint
	strict bool // Monasca's rules: one bad series refuses everything
	delta  bool // points count from the one before
	// buckets of native histograms so far: their bytes become many times more
	buckets int

	lost [reasons]int // what a decoder left out
	body []byte       // room for a decompressed request
	// text holds what had to be unquoted. A label may still point into an earlier, smaller copy, which the
	// collector keeps as long.
	text    []byte
	symbols []string          // remote write 2's
	names   map[string]string // OTLP's, translated
	scratch []metric.Dimension

	hash  xxhash.Digest
	found []*entry
	out   []metric.Point
	marks []metric.Point // for history alone
}

type rawSeries struct {
	name     string
	from, to int // in labels
	// from here on as bound and sorted
	hash   uint64
	origin metric.Origin
}

type rawPoint struct {
	time      int64
	value     float64
	meta      map[string]string
	histogram *histogram.FloatHistogram // in place of value
	series    int32
	delta     bool
	derived   bool // from a histogram
}

var batches = sync.Pool{New: func() any { return &Batch{Bounds: DefaultBounds} }}

// NewBatch returns an empty batch with DefaultBounds.
func NewBatch() *Batch { return batches.Get().(*Batch) }

// Free gives the batch back; it must not be used afterwards. Batches that grew very large are let go.
func (b *Batch) Free() {
	b.Reset()
	b.Bounds = DefaultBounds
	if cap(b.body) <= 4<<20 && cap(b.points) <= 64<<10 {
		batches.Put(b)
	}
}

// Reset empties the batch.
func (b *Batch) Reset() {
	clear(b.points) // metas
	clear(b.labels)
	clear(b.found)
	clear(b.out)
	clear(b.marks)
	clear(b.symbols)
	clear(b.series)
	b.series, b.labels, b.points = b.series[:0], b.labels[:0], b.points[:0]
	b.found, b.out, b.marks = b.found[:0], b.out[:0], b.marks[:0]
	b.text, b.symbols, b.scratch = b.text[:0], b.symbols[:0], b.scratch[:0]
	b.strict, b.delta, b.buckets, b.lost = false, false, 0, [reasons]int{}
}

// Points returns how many samples the batch holds.
func (b *Batch) Points() int { return len(b.points) }

// view returns bytes as text without copying: for bytes that stay as they are until Reset.
func view(raw []byte) string { return unsafe.String(unsafe.SliceData(raw), len(raw)) }

// keep copies bytes into the batch and returns them as text.
func (b *Batch) keep(raw []byte) string {
	from := len(b.text)
	b.text = append(b.text, raw...)
	return view(b.text[from:])
}

// label adds one to the series that is being read. An empty value is no label, as Prometheus has it.
func (b *Batch) label(name, value string) {
	if value != "" && len(b.labels)-b.start <= metric.MaxDimensions { // end refuses one too many
		b.labels = append(b.labels, metric.Dimension{Name: name, Value: value})
	}
}

// begin returns where the labels of the next series start.
func (b *Batch) begin() int {
	b.start = len(b.labels)
	return b.start
}

// end makes a series of the labels since from.
func (b *Batch) end(name string, from int) error {
	if len(b.series) >= b.Bounds.Series {
		return tooMany("series", b.Bounds.Series)
	}
	if limit := 10 * b.Bounds.Series; len(b.labels) > limit {
		return tooMany("dimensions", limit)
	}
	if len(b.labels)-from > metric.MaxDimensions {
		return fmt.Errorf("more than %d dimensions on metric %.80s", metric.MaxDimensions, name)
	}
	b.series = append(b.series, rawSeries{name: name, from: from, to: len(b.labels)})
	return nil
}

// point adds a sample to the series that was ended last.
func (b *Batch) point(time int64, value float64) error {
	return b.pointOf(len(b.series)-1, time, value)
}

// pointOf adds a sample to a series.
func (b *Batch) pointOf(series int, time int64, value float64) error {
	if len(b.points) >= b.Bounds.Points {
		return tooMany("samples", b.Bounds.Points)
	}
	b.points = append(b.points, rawPoint{series: int32(series), time: time, value: value, delta: b.delta})
	return nil
}

func tooMany(what string, limit int) error {
	return fmt.Errorf("%w: more than %d %s in one request; send smaller ones", ErrTooLarge, limit, what)
}
