package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// lineOf is a report of n lines that all say its number.
func lineOf(number, n int) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("{\"n\":%d}\n", number), n))
}

func read(t testing.TB, parts []part) (out []string) {
	t.Helper()
	for i := range parts {
		text, err := parts[i].lines()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Split(strings.TrimSpace(string(text)), "\n")[0])
	}
	return out
}

func TestBacklogNewestFirst(t *testing.T) {
	b := newBacklog(100)
	for i := range 5 {
		b.add(lineOf(i, 10), 10)
	}
	newest := b.take(25)
	if got := read(t, newest); !slices.Equal(got, []string{`{"n":3}`, `{"n":4}`}) {
		t.Errorf("took %v", got)
	}
	b.add(lineOf(5, 10), 10)
	b.giveBack(newest)
	if got := read(t, b.take(1000)); !slices.Equal(got, []string{`{"n":0}`, `{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4}`, `{"n":5}`}) {
		t.Errorf("after they came back: %v", got)
	}
	b.add(lineOf(1, 3000), 3000)
	if got := b.take(1000); len(got) != 1 || got[0].count != 3000 {
		t.Error("a report larger than a batch does not leave")
	}
	if len(b.take(1000)) > 0 {
		t.Error("something is left")
	}
}

// Whatever happens, what is kept is the newest that fits, in order, and the count of what was dropped is right.
func TestBacklogLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := rapid.IntRange(1, 50).Draw(t, "bound")
		b := newBacklog(bound)
		var taken []part
		made, delivered, lost, next := 0, 0, 0, 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				n := rapid.IntRange(1, 20).Draw(t, "lines")
				b.add(lineOf(next, n), n)
				made += n
				next++
			case 2:
				if taken == nil {
					taken = b.take(rapid.IntRange(1, 40).Draw(t, "most"))
				}
			case 3:
				if rapid.Bool().Draw(t, "fails") {
					b.giveBack(taken)
				} else {
					for _, p := range taken {
						delivered += p.count
					}
				}
				taken = nil
			}
			lost += b.dropped()
			inFlight := 0
			for _, p := range taken {
				inFlight += p.count
			}
			if made != delivered+lost+inFlight+b.waiting() {
				t.Fatalf("%d made, %d delivered, %d lost, %d on the way, %d waiting", made, delivered, lost, inFlight, b.waiting())
			}
			if b.waiting() > bound && len(b.parts) > 1 {
				t.Fatalf("%d wait, %d may", b.waiting(), bound)
			}
			if !slices.IsSortedFunc(b.parts, func(x, y part) int { return int(x.number - y.number) }) {
				t.Fatal("out of order")
			}
		}
	})
}

// The default bound must fit into the memory that an agent may have.
func TestBacklogMemory(t *testing.T) {
	a, err := New(new(Config), Options{Print: true})
	if err != nil {
		t.Fatal(err)
	}
	a.settle(t.Context())
	a.collect(t.Context())
	b := newBacklog(DefaultBuffer)
	bytes := 0
	for range 10 {
		list := a.collect(t.Context())
		lines, err := encode(list)
		if err != nil {
			t.Fatal(err)
		}
		b.add(lines, len(list))
	}
	kept := b.parts[:len(b.parts)-1]
	count := 0
	for _, p := range kept {
		bytes += cap(p.text)
		count += p.count
	}
	each := float64(bytes) / float64(count)
	t.Logf("%.1f bytes a measurement", each)
	if each*DefaultBuffer > 8<<20 {
		t.Errorf("%.1f bytes a measurement make %.1f MB of a full buffer", each, each*DefaultBuffer/1e6)
	}
}
