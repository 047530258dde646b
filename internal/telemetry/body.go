package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// ErrTooLarge is wrapped when a request holds more than its Bounds; faces answer 413.
var ErrTooLarge = errors.New("request too large")

// ErrEncoding is wrapped when a request's Content-Encoding is unknown; faces answer 415.
var ErrEncoding = errors.New("unknown content encoding")

var encodings = []string{"gzip", "zstd", "snappy", "identity"}

// Body reads a request into the batch and undoes its Content-Encoding. "snappy" is the block format, as remote
// write has it. The result belongs to the batch and lasts until the next call of Body or Free.
func (b *Batch) Body(r io.Reader, encoding string) ([]byte, error) {
	var err error
	switch encoding {
	case "", "identity":
		b.body, err = readAll(b.body[:0], r, b.Bounds.Bytes)
	case "snappy":
		var raw []byte
		if raw, err = readAll(b.text[:0], r, b.Bounds.Bytes); err != nil {
			break
		}
		b.text = raw[:0] // only room: nothing is decoded yet
		b.body, err = unsnap(b.body, raw, b.Bounds.Bytes)
	case "gzip":
		b.body, err = gunzip(b.body[:0], r, b.Bounds.Bytes)
	case "zstd":
		b.body, err = unzstd(b.body[:0], r, b.Bounds.Bytes)
	default:
		return nil, fmt.Errorf("%w %.40q%s", ErrEncoding, encoding, nearest.Hint(encoding, encodings))
	}
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	return b.body, nil
}

// readAll appends what r holds to into, and fails beyond limit.
func readAll(into []byte, r io.Reader, limit int) ([]byte, error) {
	for {
		if len(into) > limit {
			return into, fmt.Errorf("%w: more than %d bytes; send smaller ones", ErrTooLarge, limit)
		}
		if len(into) == cap(into) {
			into = append(into, make([]byte, max(4096, min(cap(into), 4<<20)))...)[:len(into)]
		}
		n, err := r.Read(into[len(into):min(cap(into), limit+1)])
		into = into[:len(into)+n]
		switch {
		case err == io.EOF && len(into) <= limit:
			return into, nil
		case err != nil && err != io.EOF:
			return into, err
		}
	}
}

func unsnap(into, raw []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(raw)
	if err != nil {
		return into, fmt.Errorf("snappy: %w", err)
	}
	if n > limit {
		return into, fmt.Errorf("%w: %d bytes after decompression, %d may be; send smaller ones", ErrTooLarge, n, limit)
	}
	out, err := snappy.Decode(into[:cap(into)], raw)
	if err != nil {
		return into, fmt.Errorf("snappy: %w", err)
	}
	return out, nil
}

var gzips, zstds sync.Pool

func gunzip(into []byte, r io.Reader, limit int) ([]byte, error) {
	z, _ := gzips.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	defer gzips.Put(z)
	if err := z.Reset(r); err != nil {
		return into, fmt.Errorf("gzip: %w", err)
	}
	return readAll(into, z, limit)
}

func unzstd(into []byte, r io.Reader, limit int) ([]byte, error) {
	z, _ := zstds.Get().(*zstd.Decoder)
	if z == nil {
		var err error
		// One worker: the decoder then runs in the caller and owns no goroutine.
		z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return into, fmt.Errorf("zstd: %w", err)
		}
	}
	defer zstds.Put(z)
	if err := z.Reset(r); err != nil {
		return into, fmt.Errorf("zstd: %w", err)
	}
	out, err := readAll(into, z, limit)
	_ = z.Reset(bytes.NewReader(nil)) // lets go of r
	return out, err
}
