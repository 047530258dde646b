package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

const machinePrefix = "machine/"

// A Definition is a named and numbered machine definition.
type Definition struct {
	ID          int             `json:"id"`
	Name        string          `json:"name"`
	Owner       int             `json:"uid"`
	Group       int             `json:"gid"`
	Permissions identity.Bits   `json:"permissions"`
	Machine     service.Machine `json:"machine"`
	// Format names the face that the definition came from; "" for the native format. Of others, Document is what that
	// face keeps, and Machine only what is known of it without a service: drivers and options.
	Format   string          `json:"format,omitempty"`
	Document json.RawMessage `json:"document,omitempty"`
	Revision int64           `json:"-"` // of the store; changes with every change
}

// Object is what permissions are checked on.
func (d *Definition) Object() identity.Object {
	return identity.Object{Owner: d.Owner, Group: d.Group, Bits: d.Permissions}
}

func (c *Control) loadMachines(ctx context.Context) error {
	_, err := c.store.Load(ctx, machinePrefix, func(kv store.KV) error {
		d := new(Definition)
		if err := c.unseal(kv, d); err != nil {
			return err
		}
		d.Revision = kv.Revision
		c.machines[d.ID] = d
		return nil
	})
	if err != nil {
		return fmt.Errorf("load machine definitions: %w", err)
	}
	return nil
}

// Machines returns the definitions that the caller may use, by number.
func (c *Control) Machines(who *identity.Caller) []Definition {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []Definition
	for _, d := range c.machines {
		if identity.Allowed(who, d.Object(), identity.Use) {
			out = append(out, *d)
		}
	}
	slices.SortFunc(out, func(a, b Definition) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// MachinesChanged counts the changes of definitions since the start, for those who keep what they made of them.
func (c *Control) MachinesChanged() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.defined
}

// Machine finds a definition by name or number, if the caller has the right to it.
func (c *Control) Machine(who *identity.Caller, ref string, right identity.Right) (Definition, error) {
	c.mu.RLock()
	var found *Definition
	if id, err := strconv.Atoi(ref); err == nil {
		found = c.machines[id]
	}
	var names []string
	for _, d := range c.machines {
		if d.Name == ref {
			found = d
		}
		names = append(names, d.Name)
	}
	c.mu.RUnlock()
	if found == nil {
		slices.Sort(names)
		return Definition{}, fmt.Errorf("machine definition %q: %w%s", ref, identity.ErrNotFound, nearest.Hint(ref, names))
	}
	if err := identity.Authorize(who, found.Object(), right); err != nil {
		return Definition{}, fmt.Errorf("machine definition %s: %w", ref, err)
	}
	return *found, nil
}

// Resolver returns what formats need to look machine definitions up, by name or number, as the caller.
func (c *Control) Resolver(who *identity.Caller) func(ref string) (service.Machine, error) {
	return func(ref string) (service.Machine, error) {
		d, err := c.Machine(who, ref, identity.Use)
		if err != nil {
			return service.Machine{}, err
		}
		if d.Format != "" {
			return service.Machine{}, fmt.Errorf("%w: %s is a definition for documents of the format %s; others cannot use it", identity.ErrInvalid, d.Name, d.Format)
		}
		m := d.Machine
		m.ID, m.Name = d.ID, d.Name
		return m, nil
	}
}

// Documents returns what faces need to look up by name, as the caller, the definitions that they keep in a form of
// their own.
func (c *Control) Documents(who *identity.Caller, format string) func(name string) (json.RawMessage, error) {
	return func(name string) (json.RawMessage, error) {
		d, err := c.Machine(who, name, identity.Use)
		if err == nil && d.Format != format {
			err = fmt.Errorf("%w: machine definition %s is not of the format %s", identity.ErrInvalid, name, format)
		}
		return d.Document, err
	}
}

// PutMachine adds a definition, or changes the one of that name. New ones are numbered from 0.
func (c *Control) PutMachine(ctx context.Context, who *identity.Caller, name string, m service.Machine, bits identity.Bits) (Definition, error) {
	return c.ReplaceMachine(ctx, who, Definition{Name: name, Machine: m, Permissions: bits})
}

// ReplaceMachine is PutMachine for those who have read the definition: it is refused as stale when that
// has another revision by now than d, unless d has none. Secrets that were not shown stay as they are.
func (c *Control) ReplaceMachine(ctx context.Context, who *identity.Caller, d Definition) (Definition, error) {
	stored, err := c.putMachine(ctx, who, d)
	return stored, c.note(ctx, who, "machine.put", "machine "+d.Name, err)
}

var machineName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,62}$`)

func (c *Control) putMachine(ctx context.Context, who *identity.Caller, d Definition) (Definition, error) {
	name, bits := d.Name, d.Permissions
	if err := writes(who); err != nil {
		return Definition{}, err
	}
	if !machineName.MatchString(name) {
		return Definition{}, fmt.Errorf("%w: machine definition %q: a name begins with a letter and has up to 63 letters, digits, '_', '.' and '-'", identity.ErrInvalid, name)
	}
	d.Machine.Name, d.Machine.ID = "", 0
	old, err := c.Machine(who, name, identity.Manage)
	if err == nil || errors.Is(err, identity.ErrNotFound) {
		if err := c.fitMachine(who, &d, &old); err != nil {
			return Definition{}, err
		}
	}
	d.ID, d.Owner, d.Group, d.Revision = 0, who.User, who.Group, 0
	switch {
	case err == nil:
		d.ID, d.Owner, d.Group, d.Revision = old.ID, old.Owner, old.Group, old.Revision
		if bits == 0 {
			d.Permissions = old.Permissions
		}
	case errors.Is(err, identity.ErrNotFound):
		id, err := c.store.NextNumber(ctx, "machine", 0)
		if err != nil {
			return d, fmt.Errorf("draw a number: %w", err)
		}
		d.ID = int(id)
		if bits == 0 {
			d.Permissions = 0o640
		}
	default:
		return d, err
	}
	key := machinePrefix + strconv.Itoa(d.ID)
	text, err := c.seal(key, &d)
	if err != nil {
		return d, err
	}
	revision, err := c.store.Commit(ctx, store.Txn{Order: key, Guards: []store.Guard{store.At(key, d.Revision)}, Puts: []store.Put{{Key: key, Value: text}}})
	if errors.Is(err, store.ErrConflict) {
		return d, fmt.Errorf("machine definition %s: %w", name, ErrStale)
	}
	if err != nil {
		return d, fmt.Errorf("machine definition %s: store it: %w", name, err)
	}
	d.Revision = revision
	kept := d
	c.mu.Lock()
	c.machines[d.ID] = &kept
	c.defined++
	c.mu.Unlock()
	return d, nil
}

// fitMachine checks a definition that takes the place of old, which is empty for a new one.
func (c *Control) fitMachine(who *identity.Caller, d, old *Definition) error {
	name, m := d.Name, &d.Machine
	if d.Revision != 0 && d.Revision != old.Revision {
		return fmt.Errorf("machine definition %s: %w", name, ErrStale)
	}
	if d.Format != "" { // its face knows what it may say, and whether its drivers are there shows when it is used
		if len(d.Document) > maxSpec {
			return fmt.Errorf("%w: machine definition %s takes %d bytes; %d are the most", identity.ErrInvalid, name, len(d.Document), maxSpec)
		}
		return c.mayStore(who, name, m)
	}
	if err := c.restoreMachine("machine.", m, &old.Machine); err != nil {
		return err
	}
	if err := c.mayStore(who, name, m); err != nil {
		return err
	}
	return c.Check(who, &service.Spec{Name: "x", Strategy: service.NoOrder, Roles: []service.RoleSpec{{Name: "x", Machine: *m, Heal: service.HealAuto, Identity: service.New}}})
}

// mayStore refuses to make a caller without the grant the owner of commands on the server's host: whoever
// owns a definition decides who may use it, and keeps it when another is withdrawn.
func (c *Control) mayStore(who *identity.Caller, name string, m *service.Machine) error {
	for _, impl := range m.Implementations {
		kind, err := c.kinds.Find(impl.Driver)
		if err != nil || who.MayUseHost() {
			continue
		}
		if reach := kind.ReachesHost(impl.Options); reach != "" {
			return fmt.Errorf("%w: machine definition %s reaches the host with %s; to own one or a copy of one, ask an administrator for the grant \"host\"", identity.ErrDenied, name, reach)
		}
	}
	return nil
}

// RemoveMachine removes a definition; services made from it keep their copies.
func (c *Control) RemoveMachine(ctx context.Context, who *identity.Caller, ref string) error {
	d, err := c.Machine(who, ref, identity.Manage)
	if err == nil {
		err = writes(who)
	}
	if err == nil {
		key := machinePrefix + strconv.Itoa(d.ID)
		if _, err = c.store.Commit(ctx, store.Txn{Order: key, Guards: []store.Guard{store.At(key, d.Revision)}, Deletes: []string{key}}); err == nil {
			c.mu.Lock()
			delete(c.machines, d.ID)
			c.defined++
			c.mu.Unlock()
		}
	}
	return c.note(ctx, who, "machine.remove", "machine "+ref, err)
}

// sameAsDefinition lets callers without the right to run commands on the server's host use a definition
// that somebody with the right made, but only as it stands: more environment, no other commands.
func (c *Control) sameAsDefinition(who *identity.Caller, r *service.RoleSpec, reach string) error {
	denied := fmt.Errorf("%w: role %s reaches the host with %s; use a named machine definition, or ask an administrator for the grant \"host\"", identity.ErrDenied, r.Name, reach)
	if r.Machine.Name == "" {
		return denied
	}
	d, err := c.Machine(who, r.Machine.Name, identity.Use)
	if errors.Is(err, identity.ErrNotFound) { // the role is what is wrong, not the service that has it
		return fmt.Errorf("%w: role %s: there is no machine definition %q any more", identity.ErrInvalid, r.Name, r.Machine.Name)
	}
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(d.Machine.Implementations, r.Machine.Implementations) || !reflect.DeepEqual(d.Machine.Files, r.Machine.Files) ||
		!reflect.DeepEqual(d.Machine.Checks, r.Machine.Checks) || d.Machine.UserData != r.Machine.UserData {
		return denied
	}
	for k := range r.Machine.Env {
		if _, declared := d.Machine.Env[k]; !declared && !harmless(k) {
			return fmt.Errorf("%w: role %s may not set %s: its machine runs on the server's host, and the definition %s does not declare it; declared names and those that begin with APP_ or ONEAPP_ may be set",
				identity.ErrDenied, r.Name, k, d.Name)
		}
	}
	return nil
}

// harmless reports whether no interpreter, loader or library takes orders from a variable of that name. Too
// many do to list them, so the names that may be used are listed instead.
func harmless(name string) bool {
	return strings.HasPrefix(name, "APP_") || strings.HasPrefix(name, "ONEAPP_")
}
