package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/identity"
)

// AccountAt returns the account by which a driver reaches an end point, and makes a machine with these options where they
// say more of where it belongs, for formats that name end points instead of accounts. Drivers that have none are used by
// their default account. None is guessed: the error names those that there are.
func (c *Control) AccountAt(name, endpoint string, options map[string]any) (string, error) {
	kind, err := c.kinds.Find(name)
	if err != nil { // that it is not there is told of the driver itself
		return "", nil
	}
	if !slices.ContainsFunc(kind.Account, func(o driver.Option) bool { return o.Name == "endpoint" }) {
		return "", nil
	}
	var there []string
	var why error
	for _, b := range c.engine.Backends() {
		switch {
		case b.Kind.Name != name:
		case b.Reaches != nil && endpoint != "":
			if err := b.Reaches(options); err != nil {
				there, why = append(there, fmt.Sprintf("%s (%s)", b.Key(), b.Endpoint)), err
				continue
			}
			return b.Account, nil
		case endpoint != "" && sameEndpoint(b.Endpoint, endpoint):
			return b.Account, nil
		default:
			there = append(there, fmt.Sprintf("%s (%s)", b.Key(), b.Endpoint))
		}
	}
	if len(there) == 0 {
		return "", fmt.Errorf("%w: this server has no account of driver %s", identity.ErrInvalid, name)
	}
	if len(there) == 1 && why != nil {
		return "", fmt.Errorf("%w: account %s: %w", identity.ErrInvalid, there[0], why)
	}
	return "", fmt.Errorf("%w: no account of driver %s reaches the end point %q; there are %s", identity.ErrInvalid, name, endpoint, strings.Join(there, ", "))
}

func sameEndpoint(a, b string) bool { return plainEndpoint(a) == plainEndpoint(b) }

// plainEndpoint takes an end point as it is meant: unix://var/run/x.sock, as many write it, is unix:///var/run/x.sock.
func plainEndpoint(s string) string {
	if path, ok := strings.CutPrefix(s, "unix://"); ok {
		s = "unix:///" + strings.TrimLeft(path, "/")
	}
	return strings.TrimRight(s, "/")
}
