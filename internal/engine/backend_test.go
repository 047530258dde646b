package engine

import "testing"

// TestRoundCount: a count is of one list; what another one found is no part of it.
func TestRoundCount(t *testing.T) {
	var c roundCount
	for range 3 {
		c.add(7)
	}
	if n := c.of(7); n != 3 {
		t.Errorf("round 7 found %d, want 3", n)
	}
	if n := c.of(8); n != 0 {
		t.Errorf("round 8 found %d before it began", n)
	}
	c.add(8)
	c.add(7) // two lists at a time
	if seven, eight := c.of(7), c.of(8); seven != 1 || eight != 0 {
		t.Errorf("two lists at a time found %d and %d, want no more than what each saw last: 1 and 0", seven, eight)
	}
}
