package nearest

import "testing"

func TestName(t *testing.T) {
	known := []string{"frontend", "database", "cache"}
	for given, want := range map[string]string{
		"frontendd": "frontend", "forntend": "frontend", "Cache": "cache", "databse": "database", "x": "", "worker": "", "": "",
	} {
		if got, _ := Name(given, known); got != want {
			t.Errorf("Name(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestHint(t *testing.T) {
	if got := Hint("cahce", []string{"cache"}); got != `; did you mean "cache"?` {
		t.Errorf("Hint = %q", got)
	}
}
