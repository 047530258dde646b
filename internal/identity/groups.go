package identity

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Group is a set of users, and a project: what belongs to it is counted against its quota.
type Group struct {
	ID      int       `json:"id"`
	Name    string    `json:"name"`
	Quota   Quota     `json:"quota,omitzero"`
	Grants  []Grant   `json:"grants,omitempty"`
	Created time.Time `json:"created"`
	// Foreign is the project of another identity service that the group stands for; see Guest. Its name stays.
	Foreign  string `json:"foreign,omitempty"`
	Revision int64  `json:"-"` // of the store; changes with every change
}

func (g Group) clone() Group {
	g.Grants = slices.Clone(g.Grants)
	q := &g.Quota
	q.Services, q.Instances, q.CPUs, q.Memory = copyOf(q.Services), copyOf(q.Instances), copyOf(q.CPUs), copyOf(q.Memory)
	q.Series, q.Values, q.Samples = copyOf(q.Series), copyOf(q.Values), copyOf(q.Samples)
	return g
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

type groupRecord struct {
	Version int `json:"v"`
	Group
}

func groupKey(id int) string { return groupPrefix + strconv.Itoa(id) }

func encodeGroup(g *Group) Record { return encode(groupKey(g.ID), groupRecord{recordVersion, *g}) }

func (d *Directory) applyGroup(r Record) error {
	id, err := keyID(r, groupPrefix)
	if err != nil {
		return err
	}
	old := d.groups[id]
	if old != nil && old.Revision > r.Revision {
		return nil
	}
	var rec groupRecord
	if r.Value != nil {
		if err := decode(r, &rec, &rec.Version); err != nil {
			return err
		}
	}
	if old != nil {
		delete(d.groups, id)
		if d.groupNames[old.Name] == old {
			delete(d.groupNames, old.Name)
		}
	}
	if r.Value != nil {
		g := rec.Group
		g.ID, g.Revision = id, r.Revision
		d.groups[id], d.groupNames[g.Name] = &g, &g
	}
	return nil
}

// Groups returns all groups by id.
func (d *Directory) Groups() []Group {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]Group, 0, len(d.groups))
	for _, g := range d.groups {
		out = append(out, g.clone())
	}
	slices.SortFunc(out, func(a, b Group) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Group returns one group.
func (d *Directory) Group(id int) (Group, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if g := d.groups[id]; g != nil {
		return g.clone(), nil
	}
	return Group{}, noGroup(id)
}

// GroupNamed returns the group with that name.
func (d *Directory) GroupNamed(name string) (Group, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if g := d.groupNames[name]; g != nil {
		return g.clone(), nil
	}
	return Group{}, fmt.Errorf("no group %q: %w%s", name, ErrNotFound, nearest.Hint(name, slices.Collect(maps.Keys(d.groupNames))))
}

// GroupName returns the name of the group, or its id as text when the group is gone.
func (d *Directory) GroupName(id int) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if g := d.groups[id]; g != nil {
		return g.Name
	}
	return strconv.Itoa(id)
}

// Quota returns the limits of a group, for reading only; those of one that is gone are none.
func (d *Directory) Quota(id int) Quota {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if g := d.groups[id]; g != nil {
		return g.Quota // a group is replaced, never changed
	}
	return Quota{}
}

// AddGroup makes a group. Errors are of class ErrInvalid or ErrExists.
func (d *Directory) AddGroup(ctx context.Context, name string, quota Quota) (Group, error) {
	g := Group{Name: name, Quota: quota, Created: time.Now().UTC()}
	err := d.change(ctx, func(next *serial) ([]Record, error) {
		g.ID = next.Groups
		next.Groups++
		if err := d.validateGroup(&g); err != nil {
			return nil, err
		}
		return []Record{encodeGroup(&g)}, nil
	})
	if err != nil {
		return Group{}, fmt.Errorf("add group %q: %w", name, err)
	}
	return d.Group(g.ID)
}

// ChangeGroup lets edit change the group: name, quota and grants, nothing else. Edit may run several
// times and may refuse with an error.
func (d *Directory) ChangeGroup(ctx context.Context, id int, edit func(g *Group) error) (Group, error) {
	err := d.change(ctx, func(*serial) ([]Record, error) {
		was, err := d.Group(id)
		if err != nil {
			return nil, err
		}
		g := was.clone()
		if err := edit(&g); err != nil {
			return nil, err
		}
		g.ID, g.Created, g.Foreign, g.Revision = was.ID, was.Created, was.Foreign, was.Revision
		if was.Foreign != "" && g.Name != was.Name {
			return nil, fmt.Errorf("group %q: %w: it stands for another service's project, and keeps its name", was.Name, ErrInvalid)
		}
		if err := d.validateGroup(&g); err != nil {
			return nil, err
		}
		return []Record{encodeGroup(&g)}, nil
	})
	if err != nil {
		return Group{}, fmt.Errorf("change group %d: %w", id, err)
	}
	return d.Group(id)
}

// RemoveGroup removes a group without members; ErrInUse names one that it has. Whether anything
// belongs to the group is the caller's to ask.
func (d *Directory) RemoveGroup(ctx context.Context, id int) error {
	err := d.change(ctx, func(*serial) ([]Record, error) {
		d.mu.RLock()
		defer d.mu.RUnlock()
		if d.groups[id] == nil {
			return nil, noGroup(id)
		}
		if id == AdminGroup || id == UsersGroup {
			return nil, fmt.Errorf("%w: groups 0 and 1 cannot be removed", ErrInvalid)
		}
		for _, u := range d.users {
			if u.In(id) {
				return nil, fmt.Errorf("%w: user %s is a member; take its members out first", ErrInUse, u.Name)
			}
		}
		return []Record{{Key: groupKey(id)}}, nil
	})
	if err != nil {
		return fmt.Errorf("remove group %d: %w", id, err)
	}
	return nil
}

func (d *Directory) validateGroup(g *Group) error {
	if err := checkName("group", g.Name); err != nil {
		return err
	}
	if err := g.Quota.validate(); err != nil {
		return err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if other := d.groupNames[g.Name]; other != nil && other.ID != g.ID {
		return fmt.Errorf("group %q: %w", g.Name, ErrExists)
	}
	return checkGrants(g.Grants)
}

func noGroup(id int) error { return fmt.Errorf("group %d: %w", id, ErrNotFound) }
