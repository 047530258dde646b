package render

import (
	"container/list"
	"sync"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// Parsed templates are kept, the most recently used ones, up to these bounds.
const (
	maxCached      = 1024
	maxCachedBytes = 8 << 20 // of template text
)

type cacheKey struct {
	text   string
	strict bool
}

type cacheEntry struct {
	key    cacheKey
	parsed *exec.Template
}

// A cache is a map with the least recently used entry at the back of a list.
type cache struct {
	mu     sync.Mutex
	byText map[cacheKey]*list.Element
	used   *list.List
	bytes  int
}

// templates is no state: what it holds follows from the texts alone.
var templates = &cache{byText: map[cacheKey]*list.Element{}, used: list.New()}

// cached parses a template, or returns it as it was parsed before.
func cached(text string, strict bool) (*exec.Template, error) {
	key := cacheKey{text, strict}
	if t := templates.get(key); t != nil {
		return t, nil
	}
	t, err := parse(text, strict)
	if err == nil {
		templates.put(key, t)
	}
	return t, err
}

func (c *cache) get(key cacheKey) *exec.Template {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byText[key]
	if !ok {
		return nil
	}
	c.used.MoveToFront(e)
	return e.Value.(*cacheEntry).parsed
}

func (c *cache) put(key cacheKey, t *exec.Template) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.byText[key]; there {
		return
	}
	c.byText[key] = c.used.PushFront(&cacheEntry{key, t})
	c.bytes += len(key.text)
	for c.used.Len() > maxCached || c.bytes > maxCachedBytes {
		last := c.used.Back()
		old := c.used.Remove(last).(*cacheEntry)
		delete(c.byText, old.key)
		c.bytes -= len(old.key.text)
	}
}
