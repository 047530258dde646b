package agent

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/flate"
)

// A backlog keeps the reports that are not delivered yet, within a bound of measurements. The newest leave first: alarms
// want to know what is, and the past comes after. Beyond the bound the oldest are dropped. All but the newest are kept
// compressed. Any goroutine may use it.
type backlog struct {
	mu    sync.Mutex
	bound int
	parts []part // the oldest first
	next  int64  // number of the next part
	count int    // measurements in parts
	lost  int    // measurements dropped since the last call of dropped
	wake  chan struct{}
}

// A part is one report, as lines of JSON.
type part struct {
	number int64 // in the order of making
	text   []byte
	packed bool
	count  int
}

func newBacklog(bound int) *backlog { return &backlog{bound: bound, wake: make(chan struct{}, 1)} }

// add appends a report of count lines and wakes who waits.
func (b *backlog) add(lines []byte, count int) {
	if count == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.parts); n > 0 {
		b.parts[n-1].pack()
	}
	b.parts = append(b.parts, part{number: b.next, text: lines, count: count})
	b.next++
	b.count += count
	b.trim()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take removes the newest reports, as many as fit in a batch of most measurements, but at least one. They come in order.
func (b *backlog) take(most int) []part {
	b.mu.Lock()
	defer b.mu.Unlock()
	from, count := len(b.parts), 0
	for from > 0 && (count == 0 || count+b.parts[from-1].count <= most) {
		from--
		count += b.parts[from].count
	}
	taken := slices.Clone(b.parts[from:])
	clear(b.parts[from:])
	b.parts = b.parts[:from]
	b.count -= count
	return taken
}

// giveBack returns parts that could not be delivered to their place: before what was added since they were taken.
func (b *backlog) giveBack(taken []part) {
	if len(taken) == 0 {
		return
	}
	for i := range taken {
		taken[i].pack()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at := len(b.parts)
	for at > 0 && b.parts[at-1].number > taken[0].number {
		at--
	}
	b.parts = slices.Insert(b.parts, at, taken...)
	for _, p := range taken {
		b.count += p.count
	}
	b.trim()
}

// trim drops the oldest until the rest is within the bound. The newest report stays even if it is larger.
func (b *backlog) trim() {
	n := 0
	for n < len(b.parts)-1 && b.count > b.bound {
		b.count -= b.parts[n].count
		b.lost += b.parts[n].count
		n++
	}
	if n > 0 {
		rest := copy(b.parts, b.parts[n:])
		clear(b.parts[rest:])
		b.parts = b.parts[:rest]
	}
}

// waiting returns how many measurements are kept.
func (b *backlog) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// dropped returns how many measurements were dropped since the last call.
func (b *backlog) dropped() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.lost
	b.lost = 0
	return n
}

// pack compresses the part. The encoder keeps no state, so an agent without a backlog has no memory for one.
func (p *part) pack() {
	if p.packed {
		return
	}
	var b bytes.Buffer
	if flate.StatelessDeflate(&b, p.text, true, nil) == nil {
		p.text, p.packed = bytes.Clone(b.Bytes()), true
	}
}

// lines returns the part's lines.
func (p *part) lines() ([]byte, error) {
	if !p.packed {
		return p.text, nil
	}
	return io.ReadAll(flate.NewReader(bytes.NewReader(p.text)))
}
