package store

import (
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"
)

// TestWindow: whatever the keys are, a window meets each once, in order, and walks over little
// more than it yields.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fan := rapid.IntRange(1, 40).Draw(t, "fan")
		digit := rapid.Custom(func(t *rapid.T) byte { return byte(rapid.IntRange(0, 255).Draw(t, "digit") * fan / 256) })
		keys := map[string]bool{}
		for range rapid.IntRange(0, 50).Draw(t, "keys") {
			keys["p/"+string(rapid.SliceOfN(digit, 0, 6).Draw(t, "key"))] = true
		}
		var sorted []string
		for k := range keys {
			sorted = append(sorted, k)
		}
		slices.Sort(sorted)
		var got []string
		w := newWindow("p/")
		for rounds := 0; !w.done(); rounds++ {
			if rounds > 100+20*len(sorted) {
				t.Fatalf("no end at %q", w.from)
			}
			from, to := sort.SearchStrings(sorted, w.from), sort.SearchStrings(sorted, w.to)
			const limit = 3
			var kvs []KV
			for _, k := range sorted[from:min(to, from+limit)] {
				kvs = append(kvs, KV{Key: k})
				got = append(got, k)
			}
			w.advance(kvs, to-from > limit)
		}
		if !slices.Equal(got, sorted) {
			t.Fatalf("met %q, want %q", got, sorted)
		}
	})
}
