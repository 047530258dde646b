package telemetry

import (
	"testing"

	"github.com/prometheus/prometheus/prompb"
)

// A histogram of whole numbers whose count is not what its buckets hold is left out, and counted.
func TestHistogramCountDisagrees(t *testing.T) {
	for count, want := range map[uint64]int{3: 0, 99: 1, 2: 1} {
		h := prompb.Histogram{Count: &prompb.Histogram_CountInt{CountInt: count}, Sum: 3, Schema: 0, Timestamp: noon.UnixMilli(),
			PositiveSpans: []prompb.BucketSpan{{Offset: 0, Length: 2}}, PositiveDeltas: []int64{1, 1}}
		raw, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: []prompb.Label{{Name: "__name__", Value: "h"}}, Histograms: []prompb.Histogram{h}}}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		b := NewBatch()
		if err := DecodeRemoteWrite(b, raw); err != nil {
			t.Fatal(err)
		}
		if got := int(b.lost[Histogram]); got != want {
			t.Errorf("count %d of 3: %d left out, want %d", count, got, want)
		}
		b.Free()
	}
}
