package dns

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Map answers for a name by where the question comes from. Each of its lines is a key and a target: the key is the number
// of a country (ISO 3166-1), a network (10.0.0.0/8), or 0 for everybody else; the target an address or a name.
type Map struct {
	Name  string   `json:"name"` // full
	Lines []string `json:"lines"`
}

// A line is one of a Map, read.
type line struct {
	network netip.Prefix // invalid for a country
	country uint16
	address netip.Addr // invalid where name is set
	name    string
}

// maxCountry is the highest number of a country.
const maxCountry = 999

// readLine reads a line of a map and returns it as it is kept, too.
func readLine(zone, text string) (l line, kept string, err error) {
	f := strings.Fields(text)
	if len(f) != 2 || len(text) > maxText {
		return l, "", invalid("the line %.60q of a map is not a key and a target, such as \"276 192.0.2.1\" or \"0 www.example.org.\"", text)
	}
	key := f[0]
	if strings.Contains(key, "/") {
		if l.network, err = netip.ParsePrefix(key); err != nil || l.network.Addr().Is4In6() {
			return l, "", invalid("the key %.60q of a map is no network", key)
		}
		l.network = l.network.Masked()
		key = l.network.String()
	} else {
		n, err := strconv.ParseUint(key, 10, 16)
		if err != nil || n > maxCountry {
			return l, "", invalid("the key %.60q of a map is neither the number of a country (ISO 3166-1) nor a network", key)
		}
		l.country, key = uint16(n), strconv.FormatUint(n, 10)
	}
	to := f[1]
	if a, err := netip.ParseAddr(to); err == nil && a.Zone() == "" {
		l.address = a.Unmap()
		return l, key + " " + l.address.String(), nil
	}
	if l.name, err = target(zone, to); err != nil {
		return l, "", err
	}
	return l, key + " " + l.name, nil
}

func (z *Zone) mapOf(full string) int {
	return slices.IndexFunc(z.Maps, func(m Map) bool { return m.Name == full })
}

// Map returns the map of a name, as users write it.
func (z *Zone) Map(name string) (Map, error) {
	full, err := owner(z.Name, name)
	if err != nil {
		return Map{}, err
	}
	if i := z.mapOf(full); i >= 0 {
		return z.Maps[i], nil
	}
	return Map{}, fmt.Errorf("%w: %s has no map", ErrMissing, full)
}

// AddMap makes a map for a name that has neither a map nor records.
func (z *Zone) AddMap(name string, lines []string, now time.Time) (Map, error) {
	full, err := owner(z.Name, name)
	switch {
	case err != nil:
		return Map{}, err
	case full == z.Name:
		return Map{}, invalid("the zone itself cannot have a map: it has records of its own")
	case len(z.Maps) >= MaxMaps:
		return Map{}, fmt.Errorf("%w: %s has %d maps, which is the most", ErrFull, z.Name, MaxMaps)
	case z.mapOf(full) >= 0:
		return Map{}, fmt.Errorf("%w: %s has a map", ErrExists, full)
	case slices.ContainsFunc(z.Records, func(r Record) bool { return r.Name == full }):
		return Map{}, fmt.Errorf("%w: %s has records, and nothing stands beside a map", ErrExists, full)
	}
	m := Map{Name: full}
	if err := m.put(z.Name, lines); err != nil {
		return Map{}, err
	}
	z.Maps = append(z.Maps, m)
	z.touch(now)
	return m, nil
}

// AppendMap adds lines to a map. One whose key is there takes the other's place.
func (z *Zone) AppendMap(name string, lines []string, now time.Time) (Map, error) {
	m, err := z.Map(name)
	if err != nil {
		return m, err
	}
	m.Lines = slices.Clone(m.Lines)
	if err := m.put(z.Name, lines); err != nil {
		return Map{}, err
	}
	z.Maps[z.mapOf(m.Name)] = m
	z.touch(now)
	return m, nil
}

func (m *Map) put(zone string, lines []string) error {
	if len(lines) == 0 {
		return invalid("a map has at least one line")
	}
	for _, text := range lines {
		_, kept, err := readLine(zone, text)
		if err != nil {
			return err
		}
		key, _, _ := strings.Cut(kept, " ")
		if i := slices.IndexFunc(m.Lines, func(l string) bool { return strings.HasPrefix(l, key+" ") }); i >= 0 {
			m.Lines[i] = kept
			continue
		}
		m.Lines = append(m.Lines, kept)
	}
	if len(m.Lines) > MaxLines {
		return fmt.Errorf("%w: a map has at most %d lines", ErrFull, MaxLines)
	}
	return nil
}

// TrimMap removes lines from a map, each given whole or by its key. Without lines, and when none is left, the map goes.
func (z *Zone) TrimMap(name string, lines []string, now time.Time) error {
	m, err := z.Map(name)
	if err != nil {
		return err
	}
	rest := slices.Clone(m.Lines)
	for _, text := range lines {
		if _, kept, err := readLine(z.Name, text); err == nil {
			text = kept
		}
		n := len(rest)
		rest = slices.DeleteFunc(rest, func(l string) bool { return l == text || strings.HasPrefix(l, text+" ") })
		if len(rest) == n {
			return fmt.Errorf("%w: the map of %s has no line %.60q", ErrMissing, m.Name, text)
		}
	}
	at := z.mapOf(m.Name)
	if z.Maps[at].Lines = rest; len(lines) == 0 || len(rest) == 0 {
		z.Maps = slices.Delete(z.Maps, at, at+1)
	}
	z.touch(now)
	return nil
}

// choose returns the line for a client: that of the smallest network which holds it, of its country, or of everybody.
func choose(lines []line, from netip.Addr, countries *Countries) *line {
	var best *line
	bits := -1
	country := countries.Of(from)
	for i := range lines {
		l := &lines[i]
		switch {
		case l.network.IsValid():
			if l.network.Contains(from) && l.network.Bits() > bits {
				best, bits = l, l.network.Bits()
			}
		case bits < 0 && l.country == country, best == nil && l.country == 0:
			best = l
		}
	}
	return best
}

// Countries tells the country of an address. A nil one knows none.
type Countries struct {
	of   map[netip.Prefix]uint16
	bits []int // lengths of prefixes there are, the longest first
}

// maxNetworks bounds a file of countries.
const maxNetworks = 1_000_000

// ReadCountries reads lines of a network and the number of its country, such as "192.0.2.0/24 276"; # begins a remark.
func ReadCountries(r io.Reader) (*Countries, error) {
	c := &Countries{of: make(map[netip.Prefix]uint16)}
	in := bufio.NewScanner(r)
	for n := 1; in.Scan(); n++ {
		text, _, _ := strings.Cut(in.Text(), "#")
		f := strings.Fields(text)
		if len(f) == 0 {
			continue
		}
		if len(f) != 2 {
			return nil, fmt.Errorf("line %d: write a network and the number of its country (ISO 3166-1)", n)
		}
		p, err := netip.ParsePrefix(f[0])
		if err != nil {
			return nil, fmt.Errorf("line %d: %.60q is no network", n, f[0])
		}
		code, err := strconv.ParseUint(f[1], 10, 16)
		if err != nil || code == 0 || code > maxCountry {
			return nil, fmt.Errorf("line %d: %.20q is not the number of a country (ISO 3166-1)", n, f[1])
		}
		if len(c.of) >= maxNetworks {
			return nil, fmt.Errorf("line %d: more than %d networks", n, maxNetworks)
		}
		c.of[p.Masked()] = uint16(code)
		if !slices.Contains(c.bits, p.Bits()) {
			c.bits = append(c.bits, p.Bits())
		}
	}
	slices.SortFunc(c.bits, func(a, b int) int { return b - a })
	return c, in.Err()
}

// Of returns the number of the country that an address belongs to; 0 when that is not known.
func (c *Countries) Of(a netip.Addr) uint16 {
	if c == nil {
		return 0
	}
	for _, bits := range c.bits {
		if p, err := a.Prefix(bits); err == nil {
			if code, ok := c.of[p]; ok {
				return code
			}
		}
	}
	return 0
}
