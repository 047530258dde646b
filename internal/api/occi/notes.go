package occi

import (
	"cmp"
	"context"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/occi"
)

// face is the name under which the face keeps its notes.
const face = "occi"

// The keys of notes begin with what they are of.
const (
	ofEntity = "entity" // behind it the path: attributes that have no place in the core
	ofLink   = "link"   // behind it the path: a link that is recorded
	ofMixin  = "mixin/" // behind it tenant and id
)

// mostLinks is how many links a tenant may have recorded.
const mostLinks = 20000

// notes are what the face keeps of its own: titles and the like, and links that no back end makes.
type notes struct {
	control *control.Control

	change sync.Mutex // held while something is written
	mu     sync.RWMutex
	of     map[string]map[string]any // attributes by the path of their entity
	links  map[string]*record        // by path
	ends   map[string][]*record      // by the path of either end
	count  map[string]int            // links by tenant
}

// A record is a link that was asked for, and that no back end makes: its ends are as they are.
type record struct {
	Path       string
	Tenant     string
	Kind       occi.TypeID
	Mixins     []occi.TypeID
	Source     occi.Reference
	Target     occi.Reference
	Attributes map[string]any
}

func loadNotes(ctx context.Context, c *control.Control) (*notes, error) {
	n := &notes{control: c, of: make(map[string]map[string]any), links: make(map[string]*record), ends: make(map[string][]*record), count: make(map[string]int)}
	err := c.Notes(ctx, face, func(key string, read func(any) error) error {
		switch {
		case strings.HasPrefix(key, ofEntity+"/"):
			var attributes map[string]any
			if err := read(&attributes); err != nil {
				return err
			}
			n.of[key[len(ofEntity):]] = attributes
		case strings.HasPrefix(key, ofLink+"/"):
			r := new(record)
			if err := read(r); err != nil {
				return err
			}
			n.take(r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return n, n.prune(ctx)
}

// prune forgets what is of services that have gone without the face being told.
func (n *notes) prune(ctx context.Context) error {
	root, err := n.control.Directory().As(identity.AdminUser)
	if err != nil {
		return err
	}
	gone := func(path string) bool {
		p, ok := locate(path)
		return ok && n.control.Read(root, p.service, func(*service.Service) {}) != nil
	}
	var paths []string
	for path := range n.of {
		if gone(path) {
			paths = append(paths, path)
		}
	}
	for path := range n.ends {
		if gone(path) {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		if err := n.gone(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// take adds a link to those in memory; drop removes one.
func (n *notes) take(r *record) {
	n.links[r.Path] = r
	n.count[r.Tenant]++
	for _, end := range []string{r.Source.Location, r.Target.Location} {
		n.ends[end] = append(n.ends[end], r)
	}
}

func (n *notes) drop(r *record) {
	delete(n.links, r.Path)
	n.count[r.Tenant]--
	for _, end := range []string{r.Source.Location, r.Target.Location} {
		rest := slices.DeleteFunc(slices.Clone(n.ends[end]), func(x *record) bool { return x == r })
		if n.ends[end] = rest; len(rest) == 0 {
			delete(n.ends, end)
		}
	}
}

// attributes returns what was noted of an entity, and whether anything was. Nobody may change it.
func (n *notes) attributes(path string) (map[string]any, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	a, ok := n.of[path]
	return a, ok
}

// note keeps the attributes of an entity in place of those before.
func (n *notes) note(ctx context.Context, path string, attributes map[string]any) error {
	n.change.Lock()
	defer n.change.Unlock()
	if err := n.control.PutNotes(ctx, face, control.Note{Key: ofEntity + path, Value: attributes}); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of[path] = attributes
	return nil
}

// put keeps links, new ones or in place of those with the same paths.
func (n *notes) put(ctx context.Context, links ...*record) error {
	n.change.Lock()
	defer n.change.Unlock()
	all := make([]control.Note, len(links))
	for i, r := range links {
		if n.links[r.Path] == nil && n.count[r.Tenant]+i >= mostLinks {
			return occi.Errorf(http.StatusRequestEntityTooLarge, "there may be at most %d links; remove some", mostLinks)
		}
		all[i] = control.Note{Key: ofLink + r.Path, Value: r}
	}
	if err := n.control.PutNotes(ctx, face, all...); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range links {
		if old := n.links[r.Path]; old != nil {
			n.drop(old)
		}
		n.take(r)
	}
	return nil
}

// forget removes links. The caller holds change.
func (n *notes) forget(ctx context.Context, links ...*record) error {
	keys := make([]string, len(links))
	for i, r := range links {
		keys[i] = ofLink + r.Path
	}
	if err := n.control.RemoveNotes(ctx, face, keys...); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range links {
		n.drop(r)
	}
	return nil
}

// remove removes a link.
func (n *notes) remove(ctx context.Context, r *record) error {
	n.change.Lock()
	defer n.change.Unlock()
	return n.forget(ctx, r)
}

// gone forgets all about an entity that is gone, and the links to and from it.
func (n *notes) gone(ctx context.Context, path string) error {
	n.change.Lock()
	defer n.change.Unlock()
	n.mu.RLock()
	_, noted := n.of[path]
	links := n.ends[path]
	n.mu.RUnlock()
	if noted {
		if err := n.control.RemoveNotes(ctx, face, ofEntity+path); err != nil {
			return err
		}
		n.mu.Lock()
		delete(n.of, path)
		n.mu.Unlock()
	}
	if len(links) == 0 {
		return nil
	}
	return n.forget(ctx, links...)
}

// link returns a recorded link of a tenant, or nil.
func (n *notes) link(tenant, path string) *record {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if r := n.links[path]; r != nil && r.Tenant == tenant {
		return r
	}
	return nil
}

// from returns the recorded links of a tenant that begin at a path, oldest first.
func (n *notes) from(tenant, path string) []*record {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var out []*record
	for _, r := range n.ends[path] {
		if r.Tenant == tenant && r.Source.Location == path {
			out = append(out, r)
		}
	}
	return out
}

// all returns the recorded links of a tenant, oldest first: their paths are in the order of time.
func (n *notes) all(tenant string) []*record {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var out []*record
	for _, r := range n.links {
		if r.Tenant == tenant {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *record) int { return cmp.Compare(id(a.Path), id(b.Path)) })
	return out
}

// id returns the last part of a path.
func id(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// mixinStore keeps the mixins of users.
type mixinStore struct{ control *control.Control }

// Load implements [occi.MixinStore].
func (s mixinStore) Load(ctx context.Context) iter.Seq2[occi.MixinRecord, error] {
	return func(yield func(occi.MixinRecord, error) bool) {
		var all []occi.MixinRecord
		err := s.control.Notes(ctx, face, func(key string, read func(any) error) error {
			if !strings.HasPrefix(key, ofMixin) {
				return nil
			}
			var r occi.MixinRecord
			if err := read(&r); err != nil {
				return err
			}
			all = append(all, r)
			return nil
		})
		if err != nil {
			yield(occi.MixinRecord{}, err)
			return
		}
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Save implements [occi.MixinStore].
func (s mixinStore) Save(ctx context.Context, records ...occi.MixinRecord) error {
	all := make([]control.Note, len(records))
	for i, r := range records {
		all[i] = control.Note{Key: ofMixin + r.Tenant + "/" + string(r.Mixin.ID), Value: r}
	}
	return failure(s.control.PutNotes(ctx, face, all...))
}

// Remove implements [occi.MixinStore].
func (s mixinStore) Remove(ctx context.Context, tenant string, mixin occi.TypeID) error {
	return failure(s.control.RemoveNotes(ctx, face, ofMixin+tenant+"/"+string(mixin)))
}
