package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/dns"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/store"
)

const (
	zonePrefix = "zone/"
	// zonesOfProject is the most that one project may have.
	zonesOfProject = 100
)

// DNS says what this server's names are. The zero value has users' zones alone.
type DNS struct {
	Catalog dns.CatalogOptions
	// Suffixes are the names below which users may have zones; empty for anywhere. Administrators may have them anywhere.
	Suffixes []string
	// Forwards: clients ask this server about all the world's names. Then users' zones must be below Suffixes, or they would
	// answer in the name of others.
	Forwards bool
	// Address is where the name server is; the zero value for nowhere.
	Address netip.AddrPort
	// API is where the interface is that Hurtle's clients use; the zero value for nowhere.
	API netip.AddrPort
}

// Names answers questions about all zones and instances.
func (c *Control) Names() *dns.Catalog { return c.names }

// DNS tells what this server's names are.
func (c *Control) DNS() DNS { return c.dns }

func (c *Control) loadZones(ctx context.Context) error {
	_, err := c.store.Load(ctx, zonePrefix, func(kv store.KV) error {
		z := new(dns.Zone)
		if err := c.unseal(kv, z); err != nil {
			return err
		}
		z.Revision = kv.Revision
		c.zones[z.Name] = z
		if err := c.names.Put(*z); err != nil { // the others are served
			c.log.Error("a DNS zone cannot be served; change or remove what is wrong", "zone", z.Name, "error", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load DNS zones: %w", err)
	}
	return nil
}

// Zones returns the DNS zones of a project, by name.
func (c *Control) Zones(who *identity.Caller, project string) ([]dns.Zone, error) {
	group, err := c.Project(who, project)
	if err != nil {
		return nil, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []dns.Zone
	for _, z := range c.zones {
		if z.Project == group {
			out = append(out, *z)
		}
	}
	slices.SortFunc(out, func(a, b dns.Zone) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// Zone returns a DNS zone of a project. What it holds is shared and not to be changed.
func (c *Control) Zone(who *identity.Caller, project, name string) (dns.Zone, error) {
	group, err := c.Project(who, project)
	if err != nil {
		return dns.Zone{}, err
	}
	return c.zone(group, name)
}

func (c *Control) zone(group int, name string) (dns.Zone, error) {
	full, err := dns.CanonicalName(name)
	if err != nil {
		return dns.Zone{}, zoneError(err)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if z := c.zones[full]; z != nil && z.Project == group {
		return *z, nil
	}
	var names []string
	for _, z := range c.zones {
		if z.Project == group {
			names = append(names, z.Name)
		}
	}
	slices.Sort(names)
	return dns.Zone{}, fmt.Errorf("zone %.80q: %w%s", name, identity.ErrNotFound, nearest.Hint(full, names))
}

// NewZone asks for a zone; zero values mean the defaults.
type NewZone struct {
	Name, Email, Description string
	TTL                      uint32
}

// AddZone makes an empty DNS zone of a project. No zone lies within another project's, nor around it.
func (c *Control) AddZone(ctx context.Context, who *identity.Caller, project string, n NewZone) (dns.Zone, error) {
	z, err := c.addZone(ctx, who, project, n)
	return z, c.note(ctx, who, "dns.add", "zone "+n.Name, err)
}

func (c *Control) addZone(ctx context.Context, who *identity.Caller, project string, n NewZone) (dns.Zone, error) {
	group, err := c.changes(who, project)
	if err != nil {
		return dns.Zone{}, err
	}
	now := time.Now()
	z, err := dns.NewZone(n.Name, n.Email, n.TTL, now)
	if err == nil && n.Description != "" {
		err = z.Edit(now, func(z *dns.Zone) { z.Description = n.Description })
	}
	if err != nil {
		return z, zoneError(err)
	}
	z.Project = group
	if err := c.mayName(who, z.Name); err != nil {
		return z, err
	}
	c.zoning.Lock() // two that exclude each other may come at once
	defer c.zoning.Unlock()
	if err := c.placeFor(&z); err != nil {
		return z, err
	}
	return z, c.putZone(ctx, &z, 0)
}

// mayName refuses zones whose names the caller has no right to.
func (c *Control) mayName(who *identity.Caller, name string) error {
	if own := c.dns.Catalog.Zone; own != "" && dns.Below(own, name) {
		return fmt.Errorf("%w: %s holds the names of instances, and no zone lies within or around it", identity.ErrInvalid, own)
	}
	if who.Admin {
		return nil
	}
	for _, s := range c.dns.Suffixes {
		if name == s || strings.HasSuffix(name, "."+s) {
			return nil
		}
	}
	switch {
	case len(c.dns.Suffixes) > 0:
		return fmt.Errorf("%w: zones are to be below %s; ask an administrator for another", identity.ErrDenied, strings.Join(c.dns.Suffixes, ", "))
	case c.dns.Forwards:
		return fmt.Errorf("%w: this server answers about all names, so that only administrators make zones; --dns-suffix says below which names users may", identity.ErrDenied)
	case strings.Count(name, ".") == 1:
		return fmt.Errorf("%w: only administrators make a zone of a top-level name", identity.ErrDenied)
	}
	return nil
}

// placeFor refuses a zone for which there is no place beside those that there are.
func (c *Control) placeFor(z *dns.Zone) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	count := 0
	for _, o := range c.zones {
		if o.Project == z.Project {
			count++
		}
		switch {
		case o.Name == z.Name:
			return fmt.Errorf("zone %s: %w", z.Name, identity.ErrExists)
		case o.Project != z.Project && dns.Below(o.Name, z.Name):
			return fmt.Errorf("zone %s: %w: another project has a zone within or around it", z.Name, identity.ErrExists)
		}
	}
	if count >= zonesOfProject {
		return fmt.Errorf("%w: the project has %d zones, which is the most", identity.ErrInvalid, count)
	}
	return nil
}

// ChangeZone lets edit change a DNS zone of a project; edit gets a copy and may refuse.
func (c *Control) ChangeZone(ctx context.Context, who *identity.Caller, project, name string, edit func(*dns.Zone) error) (dns.Zone, error) {
	z, err := c.changeZone(ctx, who, project, name, edit)
	return z, c.note(ctx, who, "dns.change", "zone "+name, err)
}

func (c *Control) changeZone(ctx context.Context, who *identity.Caller, project, name string, edit func(*dns.Zone) error) (dns.Zone, error) {
	group, err := c.changes(who, project)
	if err != nil {
		return dns.Zone{}, err
	}
	c.zoning.Lock()
	defer c.zoning.Unlock()
	before, err := c.zone(group, name)
	if err != nil {
		return before, err
	}
	z := before.Clone()
	if err := edit(&z); err != nil {
		return before, zoneError(err)
	}
	return z, c.putZone(ctx, &z, before.Revision)
}

// putZone stores a zone and serves it.
func (c *Control) putZone(ctx context.Context, z *dns.Zone, guard int64) error {
	key := zonePrefix + z.Name
	text, err := c.seal(key, z)
	if err != nil {
		return fmt.Errorf("zone %s: %w", z.Name, err)
	}
	revision, err := c.store.Commit(ctx, store.Txn{Order: key, Guards: []store.Guard{store.At(key, guard)}, Puts: []store.Put{{Key: key, Value: text}}})
	switch {
	case errors.Is(err, store.ErrConflict):
		return fmt.Errorf("zone %s: %w", z.Name, ErrStale)
	case errors.Is(err, store.ErrTooLarge):
		return fmt.Errorf("%w: the zone takes %d bytes, more than the store keeps in one piece", identity.ErrInvalid, len(text))
	case err != nil:
		return fmt.Errorf("zone %s: store it: %w", z.Name, err)
	}
	z.Revision = revision
	kept := z.Clone()
	c.mu.Lock()
	c.zones[z.Name] = &kept
	c.mu.Unlock()
	return c.names.Put(kept)
}

// RemoveZone removes a DNS zone of a project with its records.
func (c *Control) RemoveZone(ctx context.Context, who *identity.Caller, project, name string) error {
	return c.note(ctx, who, "dns.remove", "zone "+name, c.removeZone(ctx, who, project, name))
}

func (c *Control) removeZone(ctx context.Context, who *identity.Caller, project, name string) error {
	group, err := c.changes(who, project)
	if err != nil {
		return err
	}
	c.zoning.Lock()
	defer c.zoning.Unlock()
	z, err := c.zone(group, name)
	if err != nil {
		return err
	}
	key := zonePrefix + z.Name
	if _, err := c.store.Commit(ctx, store.Txn{Order: key, Guards: []store.Guard{store.At(key, z.Revision)}, Deletes: []string{key}}); err != nil {
		if errors.Is(err, store.ErrConflict) {
			err = ErrStale
		}
		return fmt.Errorf("zone %s: remove it: %w", z.Name, err)
	}
	c.mu.Lock()
	delete(c.zones, z.Name)
	c.mu.Unlock()
	c.names.Remove(z.Name)
	return nil
}

// A zoneFault is an error of the model with the class that control's callers know.
type zoneFault struct{ err, class error }

func (e *zoneFault) Error() string { return e.err.Error() }

func (e *zoneFault) Unwrap() []error { return []error{e.err, e.class} }

// zoneError classes an error of the model.
func zoneError(err error) error {
	for of, class := range map[error]error{dns.ErrInvalid: identity.ErrInvalid, dns.ErrFull: identity.ErrInvalid, dns.ErrExists: identity.ErrExists, dns.ErrMissing: identity.ErrNotFound} {
		if errors.Is(err, of) {
			return &zoneFault{err, class}
		}
	}
	return err
}
