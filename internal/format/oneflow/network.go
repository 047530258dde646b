package oneflow

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// The ways in which a network comes to a service (specification, section 14): one that exists, one
// made from a network template, addresses reserved from another.
var networkKinds = []string{"id", "template_id", "reserve_from"}

// checkNetworks checks the networks that a new service is to have: each entry has one of networkKinds
// with a number, and a reservation its size in extra.
func (b *Body) checkNetworks() error {
	for i, v := range b.root.Array("networks_values") {
		entry, ok := v.(*Object)
		if !ok {
			return b.fail(Invalid, path{"networks_values", i}, "KEY: 'networks_values' must be an Object;")
		}
		for _, name := range entry.Keys() {
			if err := b.checkNetwork(entry.Get(name), name, path{"networks_values", i, name}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Body) checkNetwork(v any, name string, p path) error {
	value, ok := v.(*Object)
	if !ok {
		return b.fail(Invalid, p, "Network '%s' must be an Object with one of %s", shorten(name), strings.Join(networkKinds, ", "))
	}
	kind := ""
	for _, key := range value.Keys() {
		if slices.Contains(networkKinds, key) && (kind == "" || kind == "id") {
			kind = key
		}
	}
	if kind == "" {
		hint := ""
		if keys := value.Keys(); len(keys) > 0 {
			hint = nearest.Hint(keys[0], networkKinds)
		}
		return b.fail(Invalid, p, "Network '%s' must have one of %s%s", shorten(name), strings.Join(networkKinds, ", "), hint)
	}
	for _, key := range networkKinds {
		if value.Has(key) && !isNumber(value.Get(key)) {
			return b.fail(Invalid, p.with(key), "Network '%s' '%s' must be a number, not '%s'", shorten(name), key, shorten(scalar(value.Get(key))))
		}
	}
	extra, isText := value.Get("extra").(string)
	if value.Has("extra") && !isText {
		return b.fail(Invalid, p.with("extra"), "Network '%s' 'extra' must be a String;", shorten(name))
	}
	if kind == "reserve_from" && strings.TrimSpace(extra) == "" {
		return b.fail(Invalid, p, "Network '%s' reserves addresses: 'extra' must say how many, as in \"SIZE=5\"", shorten(name))
	}
	return nil
}

// isNumber reports whether a value is the number of something, be it as text.
func isNumber(v any) bool {
	switch v := v.(type) {
	case json.Number, string:
		n, err := strconv.Atoi(strings.TrimSpace(scalar(v)))
		return err == nil && n >= 0
	}
	return false
}
