package heat

import "testing"

// The table of routes has no two that contradict each other.
func TestRoutes(t *testing.T) { New(Options{}) }
