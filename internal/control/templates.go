package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/store"
)

const templatePrefix = "template/"

// A Template is a stored description of services, in the format of the face that brought it.
type Template struct {
	ID          uint64          `json:"id"`
	Name        string          `json:"name"`
	Owner       int             `json:"uid"`
	Group       int             `json:"gid"`
	Permissions identity.Bits   `json:"permissions"`
	Format      string          `json:"format"` // "oneflow", "native", …
	Body        json.RawMessage `json:"body"`   // JSON of the format; a JSON string for text formats
	Registered  time.Time       `json:"registered"`
	Revision    int64           `json:"-"` // of the store; changes with every change
}

// Object is what permissions are checked on.
func (t *Template) Object() identity.Object {
	return identity.Object{Owner: t.Owner, Group: t.Group, Bits: t.Permissions}
}

func (c *Control) loadTemplates(ctx context.Context) error {
	_, err := c.store.Load(ctx, templatePrefix, func(kv store.KV) error {
		t := new(Template)
		if err := c.unseal(kv, t); err != nil {
			return err
		}
		t.Revision = kv.Revision
		c.templates[t.ID] = t
		return nil
	})
	if err != nil {
		return fmt.Errorf("load templates: %w", err)
	}
	return nil
}

// seal encodes a record; secrets may be anywhere in it, so all of it is encrypted.
func (c *Control) seal(key string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil || c.vault == nil {
		return text, err
	}
	return c.vault.Seal(text, key), nil
}

func (c *Control) unseal(kv store.KV, v any) error {
	text := kv.Value
	if c.vault != nil {
		var err error
		if text, err = c.vault.Open(kv.Value, kv.Key); err != nil {
			return fmt.Errorf("%s: %w", kv.Key, err)
		}
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", kv.Key, err)
	}
	return nil
}

// Templates returns the templates of a format ("" for all) that the caller may use, by id.
func (c *Control) Templates(who *identity.Caller, format string) []Template {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []Template
	for _, t := range c.templates {
		if (format == "" || t.Format == format) && identity.Allowed(who, t.Object(), identity.Use) {
			out = append(out, *t)
		}
	}
	slices.SortFunc(out, func(a, b Template) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Template returns a template if the caller has the right to it.
func (c *Control) Template(who *identity.Caller, id uint64, right identity.Right) (Template, error) {
	c.mu.RLock()
	t := c.templates[id]
	c.mu.RUnlock()
	if t == nil {
		return Template{}, fmt.Errorf("template %d: %w", id, identity.ErrNotFound)
	}
	if err := identity.Authorize(who, t.Object(), right); err != nil {
		return Template{}, fmt.Errorf("template %d: %w", id, err)
	}
	return *t, nil
}

// TemplateNamed returns a template that the caller may use, by number, or by name: of several that bear it the one of the
// caller's own project.
func (c *Control) TemplateNamed(who *identity.Caller, ref string) (Template, error) {
	if id, err := strconv.ParseUint(ref, 10, 64); err == nil {
		return c.Template(who, id, identity.Use)
	}
	var found []Template
	var names []string
	for _, t := range c.Templates(who, "") {
		names = append(names, t.Name)
		if t.Name == ref {
			found = append(found, t)
		}
	}
	if own := slices.DeleteFunc(slices.Clone(found), func(t Template) bool { return t.Group != who.Group }); len(own) > 0 {
		found = own
	}
	switch len(found) {
	case 0:
		return Template{}, fmt.Errorf("template %q: %w%s", ref, identity.ErrNotFound, nearest.Hint(ref, names))
	case 1:
		return found[0], nil
	}
	return Template{}, fmt.Errorf("%w: %d templates bear the name %q; give its number", identity.ErrInvalid, len(found), ref)
}

// AddTemplate stores a new template of the caller's; its id, owner, time and, when 0, permissions are
// filled in. The body was validated by its face.
func (c *Control) AddTemplate(ctx context.Context, who *identity.Caller, t Template) (Template, error) {
	err := writes(who)
	if err == nil {
		t.ID, err = c.newID(ctx)
	}
	if err == nil {
		t.Owner, t.Group, t.Registered = who.User, who.Group, time.Now().UTC().Truncate(time.Second)
		if t.Permissions == 0 {
			t.Permissions = 0o600
		}
		err = c.putTemplate(ctx, &t, 0)
	}
	return t, c.note(ctx, who, "template.add", "template "+idText(t.ID)+" "+t.Name, err)
}

func (c *Control) putTemplate(ctx context.Context, t *Template, guard int64) error {
	key := templatePrefix + idText(t.ID)
	text, err := c.seal(key, t)
	if err != nil {
		return fmt.Errorf("template %d: %w", t.ID, err)
	}
	revision, err := c.store.Commit(ctx, store.Txn{Order: key, Guards: []store.Guard{store.At(key, guard)}, Puts: []store.Put{{Key: key, Value: text}}})
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("template %d: %w", t.ID, ErrStale)
	}
	if errors.Is(err, store.ErrTooLarge) {
		return fmt.Errorf("%w: the template takes %d bytes, more than the store keeps in one piece", identity.ErrInvalid, len(text))
	}
	if err != nil {
		return fmt.Errorf("template %d: store it: %w", t.ID, err)
	}
	t.Revision = revision
	kept := *t
	c.mu.Lock()
	c.templates[t.ID] = &kept
	c.mu.Unlock()
	return nil
}

// ChangeTemplate lets edit change a template that the caller may manage; edit may refuse.
func (c *Control) ChangeTemplate(ctx context.Context, who *identity.Caller, id uint64, edit func(*Template) error) (Template, error) {
	t, err := c.changeTemplate(ctx, who, id, edit)
	return t, c.note(ctx, who, "template.change", "template "+idText(id), err)
}

func (c *Control) changeTemplate(ctx context.Context, who *identity.Caller, id uint64, edit func(*Template) error) (Template, error) {
	if err := writes(who); err != nil {
		return Template{}, err
	}
	t, err := c.Template(who, id, identity.Manage)
	if err != nil {
		return t, err
	}
	before := t
	if err := edit(&t); err != nil {
		return t, err
	}
	m := MetaChange{Name: &t.Name, Owner: &t.Owner, Group: &t.Group, Permissions: &t.Permissions}
	if err := c.mayChange(who, before.Object(), "", m); err != nil {
		return t, fmt.Errorf("template %d: %w", id, err)
	}
	t.ID, t.Format, t.Registered = before.ID, before.Format, before.Registered
	return t, c.putTemplate(ctx, &t, before.Revision)
}

// RemoveTemplate removes a template that the caller may manage.
func (c *Control) RemoveTemplate(ctx context.Context, who *identity.Caller, id uint64) error {
	return c.note(ctx, who, "template.remove", "template "+idText(id), c.removeTemplate(ctx, who, id))
}

func (c *Control) removeTemplate(ctx context.Context, who *identity.Caller, id uint64) error {
	if err := writes(who); err != nil {
		return err
	}
	t, err := c.Template(who, id, identity.Manage)
	if err != nil {
		return err
	}
	key := templatePrefix + idText(id)
	if _, err := c.store.Commit(ctx, store.Txn{Order: key, Guards: []store.Guard{store.At(key, t.Revision)}, Deletes: []string{key}}); err != nil {
		if errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("template %d: %w", id, ErrStale)
		}
		return fmt.Errorf("template %d: remove it: %w", id, err)
	}
	c.mu.Lock()
	delete(c.templates, id)
	c.mu.Unlock()
	return nil
}
