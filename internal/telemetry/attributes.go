package telemetry

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
)

// DecodeAttributes adds the numbers among OneGate's attributes, KEY=VALUE on each line, as samples taken now; quotes
// around a value do not count. The name is the key in lower case, so that CPU and cpu are one metric. What is no
// number is an attribute and no sample, and left to the caller.
func DecodeAttributes(b *Batch, body []byte, now time.Time) error {
	for len(body) > 0 {
		line := body
		if end := bytes.IndexByte(body, '\n'); end >= 0 {
			line, body = body[:end], body[end+1:]
		} else {
			body = nil
		}
		key, raw, ok := bytes.Cut(line, []byte{'='})
		if !ok {
			continue
		}
		raw = bytes.Trim(bytes.TrimSpace(raw), `"`)
		value, err := strconv.ParseFloat(view(raw), 64)
		if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
			continue
		}
		name := strings.ToLower(view(bytes.TrimSpace(key)))
		if metric.CheckName(name) != nil {
			continue
		}
		if err := b.end(name, b.begin()); err != nil {
			return err
		}
		if err := b.point(now.UnixMilli(), value); err != nil {
			return err
		}
	}
	return nil
}
