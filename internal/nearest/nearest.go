// Package nearest finds the name that was probably meant by a misspelt one.
package nearest

import "strings"

// Name returns the known name closest to given, if one is near enough to be meant: at most a third
// of its letters differ (at least one may). Case does not count.
func Name(given string, known []string) (string, bool) {
	best, distance := "", max(1, len(given)/3)+1
	if len(given) > 100 {
		return "", false
	}
	for _, k := range known {
		if len(k) > 100 {
			continue
		}
		if d := edits(strings.ToLower(given), strings.ToLower(k)); d < distance && k != given {
			best, distance = k, d
		}
	}
	return best, best != ""
}

// Hint returns `; did you mean "x"?` or "".
func Hint(given string, known []string) string {
	if n, ok := Name(given, known); ok {
		return `; did you mean "` + n + `"?`
	}
	return ""
}

// edits counts insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
