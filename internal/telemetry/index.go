package telemetry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/metric"
)

// shardsPerTenant keep the requests of one tenant out of each other's way.
const shardsPerTenant = 16

// A tenant has its own index, locks, pace and counts: nothing that one does makes another wait.
type tenant struct {
	id     int
	bucket bucket
	values valueCount
	series atomic.Int64
	slots  chan struct{}
	done   func()
	shards [shardsPerTenant]shard
	// gate is held for reading while a batch goes through, and for writing while series are dropped, so that no batch
	// holds a series that is gone.
	gate sync.RWMutex
}

type shard struct {
	mu     sync.RWMutex
	series map[uint64]*entry
}

// An entry is a series and what intake remembers of it.
type entry struct {
	metric.Series
	hash uint64
	next *entry // another series with the same hash
	pins atomic.Int32
	// of the newest sample
	at   atomic.Int64
	bits atomic.Uint64
	seen atomic.Int64 // when it came, milliseconds
	// running is what deltas have come to; nil for series that come as they are.
	running atomic.Pointer[running]
}

// seed sets tenants' hashes apart.
func (t *tenant) seed() uint64 { return uint64(t.id) }

// sum hashes name and dimensions.
func (b *Batch) sum(seed uint64, name string, d []metric.Dimension) uint64 {
	h := &b.hash
	h.ResetWithSeed(seed)
	_, _ = h.WriteString(name)
	for i := range d {
		_, _ = h.Write(separator[:])
		_, _ = h.WriteString(d[i].Name)
		_, _ = h.Write(separator[:])
		_, _ = h.WriteString(d[i].Value)
	}
	return h.Sum64()
}

var separator = [1]byte{0xff} // in no UTF-8 text

func (e *entry) is(name string, d []metric.Dimension) bool {
	return e.Name == name && slices.Equal(e.Dimensions, d)
}

// find returns a known series or nil.
func (t *tenant) find(hash uint64, name string, d []metric.Dimension) *entry {
	s := &t.shards[hash%shardsPerTenant]
	s.mu.RLock()
	e := s.series[hash]
	s.mu.RUnlock()
	// Chains are only ever put together anew, under the gate.
	for ; e != nil && !e.is(name, d); e = e.next {
	}
	return e
}

// sortDimensions sorts what is nearly always sorted and short.
func sortDimensions(d []metric.Dimension) {
	for i := 1; i < len(d); i++ {
		for j := i; j > 0 && d[j].Name < d[j-1].Name; j-- {
			d[j], d[j-1] = d[j-1], d[j]
		}
	}
}

// checkSeries says why a series is refused. Monasca's own rules hold for its own format; the others come from
// systems that allow more in names and values.
func checkSeries(name string, d []metric.Dimension, strict bool) error {
	if strict {
		if err := metric.CheckName(name); err != nil {
			return err
		}
	} else if err := checkText("metric name", "", name, metric.MaxName); err != nil {
		return err
	}
	for i, x := range d {
		if i > 0 && d[i-1].Name == x.Name {
			return fmt.Errorf("dimension %.40q is given twice", x.Name)
		}
		if strict {
			if err := metric.CheckDimension(x.Name, x.Value); err != nil {
				return err
			}
			continue
		}
		if err := checkText("dimension name", "", x.Name, metric.MaxName); err != nil {
			return err
		}
		if strings.HasPrefix(x.Name, "__") {
			return fmt.Errorf("dimension name %.40q begins with two underscores, which are kept for the system", x.Name)
		}
		if err := checkText("value of dimension", x.Name, x.Value, maxValue); err != nil {
			return err
		}
	}
	return nil
}

// maxValue bounds the values of dimensions in formats other than Monasca's, in bytes.
const maxValue = 2048

// checkText says what is wrong with a text; of, quoted, says more closely which.
func checkText(what, of, text string, limit int) error {
	if of != "" && (text == "" || len(text) > limit || !utf8.ValidString(text)) {
		what += fmt.Sprintf(" %.40q", of)
	}
	switch {
	case text == "":
		return errors.New(what + " is empty")
	case len(text) > limit:
		return fmt.Errorf("%s %.40q… is longer than %d bytes", what, text, limit)
	case !utf8.ValidString(text):
		return fmt.Errorf("%s %.40q is not UTF-8", what, text)
	}
	return nil
}

// own copies a series' texts out of the request, into one piece of memory.
func own(name string, d []metric.Dimension) (string, metric.Dimensions) {
	n := len(name)
	for _, x := range d {
		n += len(x.Name) + len(x.Value)
	}
	var text strings.Builder
	text.Grow(n)
	text.WriteString(name)
	for _, x := range d {
		text.WriteString(x.Name)
		text.WriteString(x.Value)
	}
	rest := text.String()
	cut := func(n int) string {
		out := rest[:n]
		rest = rest[n:]
		return out
	}
	name = cut(len(name))
	out := make(metric.Dimensions, len(d))
	for i, x := range d {
		out[i] = metric.Dimension{Name: cut(len(x.Name)), Value: cut(len(x.Value))}
	}
	return name, out
}

// An idTable gives series their small numbers, and finds them again.
type idTable struct {
	mu      sync.RWMutex
	entries []*entry
	free    []uint32
}

func (t *idTable) add(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.free); n > 0 {
		e.ID, t.free = t.free[n-1], t.free[:n-1]
		t.entries[e.ID] = e
		return
	}
	e.ID = uint32(len(t.entries))
	t.entries = append(t.entries, e)
}

func (t *idTable) release(id uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries[id] = nil
	t.free = append(t.free, id)
}

func (t *idTable) get(s *metric.Series) *entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if int(s.ID) < len(t.entries) {
		if e := t.entries[s.ID]; e != nil && &e.Series == s {
			return e
		}
	}
	return nil
}
