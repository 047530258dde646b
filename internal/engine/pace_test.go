package engine

import (
	"testing"
	"time"
)

// drive lets a pace write as much as it allows for a while, to a store that takes that long for each
// commit of 64 KiB, and returns how many bytes went.
func drive(p *pace, from time.Time, length, latency time.Duration) (bytes int64, end time.Time) {
	const commit = 64 << 10
	now := from
	for now.Sub(from) < length {
		sent := now
		p.spend(commit, sent)
		bytes += commit
		p.answered(sent, sent.Add(latency))
		now = sent.Add(max(latency, p.wait(sent)))
	}
	return bytes, now
}

func TestPaceFollowsTheStore(t *testing.T) {
	var p pace
	begin := time.Now()
	p.answered(begin, begin.Add(time.Second)) // of a command, before anything was spent
	if p.wait(begin) > 0 {
		t.Fatal("an unused pace holds up a turn")
	}
	first, now := drive(&p, begin, time.Second, time.Millisecond)
	second, now := drive(&p, now, time.Second, time.Millisecond)
	if first < paceLeast || second <= first {
		t.Errorf("a quick store took %d bytes in the first second, %d in the next; want more and more, from %d", first, second, paceLeast)
	}
	_, now = drive(&p, now, 10*time.Second, 15*time.Millisecond)
	slow, now := drive(&p, now, time.Second, 15*time.Millisecond)
	if slow < paceLeast*9/10 || slow > paceLeast*11/10 {
		t.Errorf("a slow store took %d bytes a second, want %d", slow, paceLeast)
	}
	_, now = drive(&p, now, 10*time.Second, time.Millisecond)
	risen := p.rate
	if p.spend(1, now.Add(2*paceIdle)); p.rate != paceLeast || risen <= paceLeast {
		t.Errorf("rate %g, after a rest %g; want it to begin at %d again", risen, p.rate, paceLeast)
	}
}

func TestPaceFallsOncePerAnswer(t *testing.T) {
	var p pace
	begin := time.Now()
	p.spend(1, begin)
	p.rate = paceMost
	for n := range 10 { // all sent before the first slow answer was there
		p.answered(begin.Add(time.Duration(n)*time.Millisecond), begin.Add(100*time.Millisecond))
	}
	if p.rate != paceMost*3/4 {
		t.Errorf("ten slow answers of one moment: rate %g, want %d", p.rate, paceMost*3/4)
	}
}
