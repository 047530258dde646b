package hurtle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/manager"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/occi"
)

// The keys of hurtle. Both are encrypted.
//
//	manager/<term>         JSON of a Definition
//	manager-instance/<id>  manager.Instance.Record
const (
	managerPrefix  = "manager/"
	instancePrefix = "manager-instance/"
)

// A Definition is what makes a service manager.
type Definition struct {
	Version int `json:"v"`
	// ManifestText and ParametersText are the texts of the files, with their names.
	ManifestText   string `json:"manifest"`
	ManifestFile   string `json:"manifest_file"`
	ParametersText string `json:"parameters,omitempty"`
	ParametersFile string `json:"parameters_file,omitempty"`
	// Program is what orchestrators are started from: what the Cloud Controller takes for an image, or one that runs in this process.
	Program string `json:"program"`
	// Environment is more of the program's, as NAME=VALUE.
	Environment []string `json:"environment,omitempty"`
	// Cloud is a Cloud Controller elsewhere; nil for the one of this server.
	Cloud *Cloud `json:"cloud,omitempty"`
	// Lazy lets the manager be there while services that it needs have none.
	Lazy bool `json:"lazy_dependencies,omitempty"`
	// Strict refuses immutable attributes of clients, StaleReads shows what was known where an orchestrator does not answer.
	Strict     bool           `json:"strict_attributes,omitempty"`
	StaleReads bool           `json:"stale_reads,omitempty"`
	Policy     manager.Policy `json:"policy,omitzero"`
	Owner      int            `json:"uid"`
	Created    time.Time      `json:"created"`
}

// A Cloud is a Cloud Controller of somebody else's.
type Cloud struct {
	URL      string `json:"url"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// A Manager is a service manager as it runs. Nobody changes it.
type Manager struct {
	Definition
	Manifest *manager.Manifest
	Model    *occi.Model // what its query interface shows
	rules    *manager.Rules
	revision int64
}

// Kind is the category of the manager's instances.
func (m *Manager) Kind() occi.TypeID { return m.Manifest.Type }

// Term is the name by which the manager is found.
func (m *Manager) Term() string { return m.Manifest.Term() }

// newManager reads a definition. Its error says where it is wrong, and is of class identity.ErrInvalid.
func newManager(d Definition) (*Manager, error) {
	m := &Manager{Definition: d}
	var err error
	if m.Manifest, err = manager.ParseManifest(d.ManifestFile, []byte(d.ManifestText)); err != nil {
		return nil, fmt.Errorf("%w: %w", identity.ErrInvalid, err)
	}
	var parameters manager.Parameters
	if d.ParametersText != "" {
		if parameters, err = manager.ParseParameters(d.ParametersFile, []byte(d.ParametersText)); err != nil {
			return nil, fmt.Errorf("%w: %w", identity.ErrInvalid, err)
		}
	}
	m.rules = manager.NewRules(m.Manifest, parameters, d.Policy)
	if m.Model, err = model(m.Manifest); err != nil {
		return nil, fmt.Errorf("%w: %w", identity.ErrInvalid, err)
	}
	return m, nil
}

// model is what the query interface of a manager shows: links, and the kind of its instances with the kinds that these are composed of.
func model(m *manager.Manifest) (*occi.Model, error) {
	kind := occi.Category{ID: m.Type, Class: occi.Kind, Title: m.Description, Parent: occi.CoreResource, Location: "/" + m.Term() + "/"}
	for _, a := range m.Attributes {
		kind.Attributes = append(kind.Attributes, occi.AttributeDef{Name: a.Name, Immutable: a.Rule == manager.Immutable, Required: a.Rule == manager.Required})
	}
	for _, need := range m.Needs {
		kind.Related = append(kind.Related, need.Type)
	}
	return occi.NewModel(occi.Category{ID: occi.CoreLink, Class: occi.Kind, Location: linkLocation}, kind)
}

const linkLocation = "/link/"

const recordVersion = 1

// load reads everything. A record that cannot be read is left alone, and said; the others are served.
func (h *Hurtle) load(ctx context.Context) error {
	alone := func(key string, err error) {
		h.log.Error("a record of service managers cannot be read and is left alone; remove it or restore a backup", "key", key, "error", err)
	}
	if _, err := h.store.Load(ctx, managerPrefix, func(kv store.KV) error {
		m, err := h.readManager(kv)
		if errors.Is(err, store.ErrNewer) {
			return err
		}
		if err != nil {
			alone(kv.Key, err)
			return nil
		}
		h.managers[m.Term()] = m
		return nil
	}); err != nil {
		return fmt.Errorf("read service managers: %w", err)
	}
	if _, err := h.store.Load(ctx, instancePrefix, func(kv store.KV) error {
		text, err := h.open(kv)
		if err == nil {
			var i *manager.Instance
			if i, err = manager.Load(text, h.rulesOf); err == nil {
				h.actors[i.ID] = newActor(h, i)
			}
		}
		if err != nil {
			alone(kv.Key, err)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("read the instances of service managers: %w", err)
	}
	return nil
}

func (h *Hurtle) rulesOf(term string) *manager.Rules {
	if m := h.managers[term]; m != nil {
		return m.rules
	}
	return nil
}

func (h *Hurtle) readManager(kv store.KV) (*Manager, error) {
	text, err := h.open(kv)
	if err != nil {
		return nil, err
	}
	var d Definition
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	if d.Version > recordVersion {
		return nil, fmt.Errorf("%s: %w", kv.Key, store.ErrNewer)
	}
	m, err := newManager(d)
	if err == nil {
		m.revision = kv.Revision
	}
	return m, err
}

func (h *Hurtle) open(kv store.KV) ([]byte, error) {
	if h.opts.Vault == nil {
		return kv.Value, nil
	}
	return h.opts.Vault.Open(kv.Value, kv.Key)
}

func (h *Hurtle) seal(key string, text []byte) store.Put {
	if h.opts.Vault != nil {
		text = h.opts.Vault.Seal(text, key)
	}
	return store.Put{Key: key, Value: text}
}

// Define adds a manager, or changes the one of its term; instances go by it from then on. Errors are of class identity.ErrInvalid and
// ErrExists (a manager of another type has the term).
func (h *Hurtle) Define(ctx context.Context, d Definition) (*Manager, error) {
	h.defining.Lock()
	defer h.defining.Unlock()
	d.Version, d.Created = recordVersion, time.Now().UTC()
	m, err := newManager(d)
	if err != nil {
		return nil, err
	}
	h.mu.RLock()
	old := h.managers[m.Term()]
	h.mu.RUnlock()
	if old != nil {
		if old.Kind() != m.Kind() {
			return nil, fmt.Errorf("%w: the term %s is that of the manager of %s; remove it, or choose another", identity.ErrExists, m.Term(), old.Kind())
		}
		m.Created, m.revision = old.Created, old.revision
	}
	if err := h.fits(m); err != nil {
		return nil, err
	}
	text, err := json.Marshal(m.Definition)
	if err != nil {
		return nil, fmt.Errorf("encode manager %s: %w", m.Term(), err)
	}
	key := managerPrefix + m.Term()
	m.revision, err = h.store.Commit(ctx, store.Txn{Order: key, Guards: []store.Guard{h.tenure.Fence(store.Shard(m.Term())), store.At(key, m.revision)}, Puts: []store.Put{h.seal(key, text)}})
	if err != nil {
		return nil, fmt.Errorf("store manager %s: %w", m.Term(), err)
	}
	h.mu.Lock()
	h.managers[m.Term()] = m
	actors := h.actorsOf(m.Term())
	h.mu.Unlock()
	for _, a := range actors {
		a.rule(m.rules)
	}
	return m, nil
}

// fits refuses a manager whose needs close a circle, or are not there.
func (h *Hurtle) fits(m *Manager) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	manifestOf := func(id occi.TypeID) *manager.Manifest {
		if other := h.managers[id.Term()]; other != nil && other.Kind() == id && id != m.Kind() {
			return other.Manifest
		}
		return nil
	}
	if circle := manager.CircleOf(m.Manifest, manifestOf); circle != nil {
		return fmt.Errorf("%w: %s: services that need each other in a circle can never be made: %s", identity.ErrInvalid, m.ManifestFile, joined(circle, " needs "))
	}
	if m.Lazy {
		return nil
	}
	for i, need := range m.Manifest.Needs {
		if manifestOf(need.Type) == nil {
			return fmt.Errorf("%w: %s: depends_on[%d]: no manager of %s is there; add it first, or let this one wait for it (lazy dependencies)", identity.ErrInvalid, m.ManifestFile, i, need.Type)
		}
	}
	return nil
}

func joined(ids []occi.TypeID, by string) string {
	var out string
	for i, id := range ids {
		if i > 0 {
			out += by
		}
		out += string(id)
	}
	return out
}

// Undefine removes a manager. It is an error of class identity.ErrInUse while it has instances.
func (h *Hurtle) Undefine(ctx context.Context, term string) error {
	h.defining.Lock()
	defer h.defining.Unlock()
	m, err := h.Manager(term)
	if err != nil {
		return err
	}
	h.mu.Lock()
	left := len(h.actorsOf(term))
	if left == 0 {
		delete(h.managers, term) // no instance is made from now on
	}
	h.mu.Unlock()
	if left > 0 {
		return fmt.Errorf("service manager %s: %w: it has %d instances; delete them first", term, identity.ErrInUse, left)
	}
	key := managerPrefix + term
	_, err = h.store.Commit(ctx, store.Txn{Order: key, Guards: []store.Guard{h.tenure.Fence(store.Shard(term)), store.At(key, m.revision)}, Deletes: []string{key}})
	if err != nil {
		h.mu.Lock()
		h.managers[term] = m
		h.mu.Unlock()
		return fmt.Errorf("remove manager %s: %w", term, err)
	}
	return nil
}

// actorsOf returns the instances of a manager, oldest first. h.mu is held.
func (h *Hurtle) actorsOf(term string) []*actor {
	var out []*actor
	for _, a := range h.actors {
		if a.manager == term {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *actor) int { return a.order(b) })
	return out
}
