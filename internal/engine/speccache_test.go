package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/service"
)

// However many specs of whatever size pass through, what the cache holds stays bounded.
func TestSpecCacheIsBounded(t *testing.T) {
	var c specCache
	for n := range 3000 {
		c.share(&service.Spec{Name: fmt.Sprint("s", n), Description: strings.Repeat("x", 20<<10)})
	}
	c.share(&service.Spec{Name: "large", Description: strings.Repeat("x", 200<<10)})
	held := 0
	for text := range c.seen {
		held += len(text)
	}
	if held > specsBytes || held != c.bytes {
		t.Errorf("%d bytes held, %d counted, %d allowed", held, c.bytes, specsBytes)
	}
	a, b := c.share(&service.Spec{Name: "same"}), c.share(&service.Spec{Name: "same"})
	if a != b {
		t.Error("equal specs are not shared")
	}
}
