package telemetry

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/prompb"
)

// fuzz feeds a decoder, and takes in what it made of it: nothing may panic, no series may be malformed, and whatever is
// wrong is an error.
func fuzz(f *testing.F, decode func(*Batch, []byte) error) {
	f.Fuzz(func(t *testing.T, body []byte) {
		b := NewBatch()
		defer b.Free()
		b.Bounds = Bounds{Bytes: 1 << 20, Series: 1000, Points: 1000}
		if decode(b, body) != nil {
			return
		}
		for i, p := range b.points {
			if p.series < 0 || int(p.series) >= len(b.series) {
				t.Fatalf("sample %d is of series %d of %d", i, p.series, len(b.series))
			}
		}
		w := &witness{t: t}
		in := NewIntake(Options{Sink: w, Log: quiet})
		_, _ = in.Write(&Binding{Tenant: 1}, b, noon)
		for _, p := range w.points {
			if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
				t.Fatalf("%s is %v", p.Series, p.Value)
			}
			if err := checkSeries(p.Series.Name, p.Series.Dimensions, b.strict); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestMutations damages good requests at random, the same way each time: a short fuzzing in every run of the tests.
func TestMutations(t *testing.T) {
	write1, _ := request(3, 2).Marshal()
	write1 = append(write1, write1With(t, latency(1), latency(2))...)
	text := func(b *Batch, body []byte) error { return DecodeText(b, body, noon) }
	for name, c := range map[string]struct {
		seed   []byte
		decode func(*Batch, []byte) error
	}{
		"OTLP": {otlpBytes(t), DecodeOTLP}, "OTLP JSON": {[]byte(otlpJSON), DecodeOTLPJSON}, "remote write": {write1, DecodeRemoteWrite},
		"remote write 2": {[]byte(write2), DecodeRemoteWrite2}, "Monasca": {monascaBody(3, 0), DecodeMonasca}, "text": {[]byte("# TYPE x gauge\nx{i=\"1\",j=\"a\\n\"} 1\n{\"y.z\"} 2 5\n"), text},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			b, whole := NewBatch(), 0
			defer b.Free()
			for range 5000 {
				body := damage(r, slices.Clone(c.seed))
				b.Reset()
				if c.decode(b, body) != nil {
					continue
				}
				whole++
				in := NewIntake(Options{Sink: nothing{}, Log: quiet})
				_, _ = in.Write(&Binding{Tenant: 1}, b, noon)
			}
			if whole == 0 || whole == 5000 {
				t.Errorf("%d of 5000 were taken: the damage is of no use", whole)
			}
		})
	}
}

// damage changes, removes or repeats a part up to four times.
func damage(r *rand.Rand, body []byte) []byte {
	for range 1 + r.IntN(4) {
		at := r.IntN(len(body))
		switch r.IntN(3) {
		case 0:
			body[at] = byte(r.IntN(256))
		case 1:
			body = append(body[:at:at], body[min(len(body), at+r.IntN(8)):]...)
		case 2:
			body = append(body, body[at:]...)
		}
		if len(body) == 0 {
			body = []byte{0}
		}
	}
	return body
}

func FuzzMonasca(f *testing.F) {
	f.Add([]byte(`[{"name":"cpu.user_perc","dimensions":{"host\u006eame":"web01"},"timestamp":1893499200123.5,"value":12.5,"value_meta":{"a":"b"}}]`))
	f.Add([]byte(`{"name":"m","timestamp":1,"value":1e999}`))
	fuzz(f, DecodeMonasca)
}

func FuzzRemoteWrite(f *testing.F) {
	raw, _ := request(2, 2).Marshal()
	f.Add(raw)
	f.Add(write1With(f, latency(1), latency(2)))
	fuzz(f, DecodeRemoteWrite)
}

// FuzzRemoteWriteAgrees: what both Prometheus' own decoder and ours take has the same number of samples.
func FuzzRemoteWriteAgrees(f *testing.F) {
	raw, _ := request(3, 2).Marshal()
	f.Add(raw)
	f.Fuzz(func(t *testing.T, body []byte) {
		var theirs prompb.WriteRequest
		if theirs.Unmarshal(body) != nil {
			return
		}
		b := NewBatch()
		defer b.Free()
		if err := DecodeRemoteWrite(b, body); err != nil {
			if !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return // ours is stricter: overlong numbers, groups, labels after samples
		}
		n := 0
		for _, ts := range theirs.Timeseries {
			n += len(ts.Samples) + 3*len(ts.Histograms)
		}
		if n != b.Points()+3*b.lost[Histogram] {
			t.Fatalf("%d samples, theirs has %d", b.Points(), n)
		}
	})
}

const write2 = "\x22\x00\x22\x08__name__\x22\x02up\x2a\x11\x0a\x02\x01\x02\x12\x0b\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x01"

func FuzzRemoteWrite2(f *testing.F) {
	f.Add([]byte(write2))
	fuzz(f, DecodeRemoteWrite2)
}

func FuzzText(f *testing.F) {
	f.Add([]byte("# TYPE up gauge\nup{a=\"b\\n\",} 1 1893499200000\n{\"x.y\",z=\"1\"} NaN # {} 1\n"))
	fuzz(f, func(b *Batch, body []byte) error { return DecodeText(b, body, noon) })
}

func FuzzOTLP(f *testing.F) {
	f.Add(otlpBytes(f))
	fuzz(f, DecodeOTLP)
}

func FuzzOTLPJSON(f *testing.F) {
	f.Add([]byte(otlpJSON))
	fuzz(f, DecodeOTLPJSON)
}

func FuzzAttributes(f *testing.F) {
	f.Add([]byte("READY=YES\nCPU=\"12.5\"\n"))
	fuzz(f, func(b *Batch, body []byte) error { return DecodeAttributes(b, body, noon) })
}

func FuzzSnappy(f *testing.F) {
	f.Add([]byte("\x05\x10up 1\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if out, err := unsnap(nil, body, 1<<16); err == nil && len(out) > 1<<16 {
			t.Fatal(len(out))
		}
	})
}

func FuzzDimensionFilter(f *testing.F) {
	f.Add("a:b|c,d,e:http://x:80")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDimensions(text)
		if err != nil {
			return
		}
		h := &History{}
		if _, err := h.matchers(1, Filter{Dimensions: d}); err != nil && !strings.Contains(err.Error(), "bad query") {
			t.Fatal(err)
		}
	})
}
