package native

import (
	"encoding/base64"
	"fmt"
	"sort"

	"github.com/troupe-dev/troupe/client"
)

// Paging is how a part of a list is asked for.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Most items of a page."`
	Cursor string `query:"cursor" maxLength:"200" doc:"The next of the page before."`
}

// after returns the key after which the page begins.
func (p *Paging) after() (string, error) {
	key, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return "", invalid("query.cursor", "not a cursor of this server: give the next of the page before")
	}
	return string(key), nil
}

func cursorAt(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

// numberKey makes numbers sort as text does.
func numberKey(n uint64) string { return fmt.Sprintf("%020d", n) }

// part returns the page of items, which stand in the order of their keys, and shows them.
func part[T, W any](items []T, p *Paging, key func(T) string, show func(T) W) (client.Page[W], error) {
	out := client.Page[W]{Items: []W{}}
	after, err := p.after()
	if err != nil {
		return out, err
	}
	from := 0
	if p.Cursor != "" {
		from = sort.Search(len(items), func(i int) bool { return key(items[i]) > after })
	}
	for ; from < len(items); from++ {
		if len(out.Items) == p.Limit {
			out.Next = cursorAt(key(items[from-1]))
			break
		}
		out.Items = append(out.Items, show(items[from]))
	}
	return out, nil
}
