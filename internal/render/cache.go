package render

import (
	"container/list"
	"sync"

	"github.com/troupe-dev/troupe/internal/jinja"
)

// Parsed templates are kept, the most recently used ones, up to these bounds.
const (
	maxCached      = 1024
	maxCachedBytes = 8 << 20 // of template text
)

type cacheEntry struct {
	text   string
	parsed *jinja.Template
}

// A cache is a map with the least recently used entry at the back of a list.
type cache struct {
	mu     sync.Mutex
	byText map[string]*list.Element
	used   *list.List
	bytes  int
}

// templates is no state: what it holds follows from the texts alone.
var templates = &cache{byText: map[string]*list.Element{}, used: list.New()}

// cached parses a template, or returns it as it was parsed before.
func cached(text string) (*jinja.Template, error) {
	if t := templates.get(text); t != nil {
		return t, nil
	}
	t, err := jinja.Parse(text)
	if err == nil {
		templates.put(text, t)
	}
	return t, err
}

func (c *cache) get(text string) *jinja.Template {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byText[text]
	if !ok {
		return nil
	}
	c.used.MoveToFront(e)
	return e.Value.(*cacheEntry).parsed
}

func (c *cache) put(text string, t *jinja.Template) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.byText[text]; there {
		return
	}
	c.byText[text] = c.used.PushFront(&cacheEntry{text, t})
	c.bytes += len(text)
	for c.used.Len() > maxCached || c.bytes > maxCachedBytes {
		last := c.used.Back()
		old := c.used.Remove(last).(*cacheEntry)
		delete(c.byText, old.text)
		c.bytes -= len(old.text)
	}
}
