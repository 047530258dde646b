package service

import (
	"encoding/json"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/policy"
)

// A Spec is what a user wants: the roles of a service and how they depend on each other. All formats
// (native, OneFlow, …) become a Spec; it holds no run-time state and is never changed once stored:
// an update brings a new revision.
type Spec struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Strategy orders deployment and removal.
	Strategy Strategy   `json:"strategy"`
	Roles    []RoleSpec `json:"roles"`
	// Resources are what roles need beside each other: networks, volumes, addresses.
	Resources []ResourceSpec `json:"resources,omitempty"`
	// Alarms watch the service's own series. Their names are unique; tenant and id come with the service.
	Alarms []alarm.Definition `json:"alarms,omitempty"`
	// OnFailure says what a failed first deployment leaves behind.
	OnFailure OnFailure `json:"on_failure,omitempty"`
	// Managed says for how long a service that is made from the spec is managed; "": UntilDetached.
	Managed Care `json:"managed,omitempty"`
	// AtATime bounds how many instances are being made or removed at a time; 0 for no bound.
	AtATime int `json:"at_a_time,omitempty"`
	// Hold makes every role wait for release after its machines exist.
	Hold bool `json:"hold,omitempty"`
	// AutoDelete removes the service when its last instance is gone.
	AutoDelete bool `json:"auto_delete,omitempty"`
	// Strict accepts commands only in settled states and one scaling at a time, as OneFlow does;
	// otherwise a new wish simply replaces an old one.
	Strict bool `json:"strict,omitempty"`
	// NamePattern names instances; placeholders $SERVICE_ID, $SERVICE_NAME, $ROLE_NAME, $VM_NUMBER.
	NamePattern string            `json:"name_pattern,omitempty"`
	Inputs      map[string]string `json:"inputs,omitempty"`
	// Variables are what templates see as variables; those of a role are laid over them.
	Variables Values `json:"variables,omitempty"`
	// Secrets names the inputs that are never shown.
	Secrets []string          `json:"secrets,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Update  UpdatePolicy      `json:"update,omitzero"`
	// Retain is how long a finished service is kept for inspection; 0 for the server's setting.
	Retain time.Duration `json:"retain,omitempty"`
	// Format names the face that the spec came from ("native", "oneflow", …) and Document is the
	// text as that face stores it. The core carries both and reads neither.
	Format   string          `json:"format,omitempty"`
	Document json.RawMessage `json:"document,omitempty"`
}

// A RoleSpec describes one kind of machine of a service.
type RoleSpec struct {
	Name        string   `json:"name"`
	Cardinality int      `json:"cardinality"`
	Min         *int     `json:"min,omitempty"` // nil: 0
	Max         *int     `json:"max,omitempty"` // nil: no limit
	Parents     []string `json:"parents,omitempty"`
	// Needs names resources that must be ready before machines of the role are made.
	Needs []string `json:"needs,omitempty"`
	// Address names one of the needed resources whose address the machine of the role bears, where its back end grants
	// wishes. The role has one instance at most, and a role that takes the resource over from another one waits until
	// the machine of that is gone.
	Address string `json:"address,omitempty"`
	// Machine is the definition as it was when the spec was stored: later changes of the
	// named definition do not reach running services by themselves.
	Machine Machine `json:"machine"`
	// Earlier are what instances were made from that an update has not replaced. The core adds them to the specs that it
	// stores; what comes with a new one is not looked at.
	Earlier []EarlierMachine `json:"earlier,omitempty"`
	// Filter leaves only those implementations of the machine to choose from whose labels have each of its
	// keys with an equal value.
	Filter map[string]any `json:"filter,omitempty"`

	Heal     Heal     `json:"heal"`
	OnGone   OnGone   `json:"on_gone,omitempty"`
	Identity Identity `json:"identity"`
	Restart  Restart  `json:"restart,omitempty"`
	// Restarts is how often an instance may fail in a row before it rests; 0 for no limit.
	Restarts int `json:"restarts,omitempty"`
	// Stable is how long an instance must run before its failures are forgotten; 0 means 10 minutes.
	Stable time.Duration `json:"stable,omitempty"`

	// ReadyGate: an instance is up only when it has also reported READY=YES.
	ReadyGate bool `json:"ready_gate,omitempty"`
	Hold      bool `json:"hold,omitempty"`
	// ScaleIn says which instances go first when there are too many; "": Oldest.
	ScaleIn ScaleIn `json:"scale_in,omitempty"`
	// HardShutdown skips the graceful part of removal.
	HardShutdown bool `json:"hard_shutdown,omitempty"`
	// Cooldown follows each scaling; during it the role is left alone.
	Cooldown time.Duration `json:"cooldown,omitempty"`
	// Policies change the cardinality by values or the clock.
	Policies []policy.Policy `json:"policies,omitempty"`
	// StartTimeout bounds the way from asked for to up; 0 means 5 minutes.
	StartTimeout time.Duration `json:"start_timeout,omitempty"`
	// StopTimeout bounds removal; 0 means 5 minutes.
	StopTimeout time.Duration `json:"stop_timeout,omitempty"`
	// ActionPeriod and ActionNumber are the defaults of batched actions: Number instances each Period.
	ActionPeriod time.Duration `json:"action_period,omitempty"`
	ActionNumber int           `json:"action_number,omitempty"`
	Update       UpdatePolicy  `json:"update,omitzero"`
	// Inputs overlay the service's.
	Inputs    map[string]string `json:"inputs,omitempty"`
	Variables Values            `json:"variables,omitempty"` // laid over the service's
}

// A ResourceSpec describes one resource that the service makes for itself and removes when it goes.
type ResourceSpec struct {
	Name    string         `json:"name"`   // beside the roles' names
	Kind    string         `json:"kind"`   // one of the driver's Kind.Resources: "network" …
	Driver  string         `json:"driver"` // or Recorded
	Account string         `json:"account,omitempty"`
	Options map[string]any `json:"options,omitempty"`
	Needs   []string       `json:"needs,omitempty"` // names of resources that must be ready before it is made
	// Addresses is the range, such as 10.0.0.0/24, of which a recorded resource has an address; "" for none.
	Addresses string `json:"addresses,omitempty"`
	// Heal says whether a failed attempt is repeated by itself; "" means HealAuto.
	Heal Heal `json:"heal,omitempty"`
}

// A Machine is a machine definition: what one instance is, with one or more implementations.
type Machine struct {
	ID   int    `json:"id,omitempty"`   // number of the named definition, for OneFlow's vm_template
	Name string `json:"name,omitempty"` // "" when written inline
	// Implementations are the ways to make the machine. Choose says with which of them the instances begin;
	// the next one is tried when a back end refuses for want of capacity or is down.
	Implementations []Implementation  `json:"implementations"`
	Choose          Choose            `json:"choose,omitempty"`    // "": InOrder
	Env             map[string]string `json:"env,omitempty"`       // values are Jinja templates
	Files           []File            `json:"files,omitempty"`     // contents are Jinja templates
	UserData        string            `json:"user_data,omitempty"` // cloud-init, a Jinja template
	CPUs            float64           `json:"cpus,omitempty"`      // cores
	Memory          int64             `json:"memory,omitempty"`    // bytes
	Checks          []Check           `json:"checks,omitempty"`
	// Variables lie under those of the service and the role.
	Variables Values `json:"variables,omitempty"`
	// Attributes are free key=value pairs of the definition (OneFlow's template contents).
	Attributes map[string]string `json:"attributes,omitempty"`
}

// An Implementation is one way to make the machine. What it says of its own goes before what the machine says.
type Implementation struct {
	Name    string         `json:"name,omitempty"` // unique in the machine; "" for that of its driver
	Driver  string         `json:"driver"`
	Account string         `json:"account,omitempty"` // a configured account of the driver; "" for its default
	Options map[string]any `json:"options,omitempty"` // the driver's own, as its Kind describes them; texts are templates
	// Names are further names that the templates see. Rendered are more of them: the texts in those are
	// templates themselves and see all other names.
	Names    Values `json:"names,omitempty"`
	Rendered Values `json:"rendered,omitempty"`
	// Labels are what the filters of roles look at: values as JSON has them, nested ones too.
	Labels map[string]any `json:"labels,omitempty"`
	// Env is laid over the machine's.
	Env map[string]string `json:"env,omitempty"`
	// Files, UserData and Checks, where there are any, stand in place of the machine's.
	Files    []File  `json:"files,omitempty"`
	UserData string  `json:"user_data,omitempty"`
	Checks   []Check `json:"checks,omitempty"`
}

// A File is a rendered file of a machine.
type File struct {
	Path    string `json:"path"`
	Mode    uint32 `json:"mode,omitempty"` // permission bits; 0 means 0644
	Content string `json:"content"`
}

// UpdatePolicy says how a role rolls over to a changed spec.
type UpdatePolicy struct {
	Batch int `json:"batch,omitempty"` // instances replaced at a time; 0: 1
	// Surge is how many instances beyond the cardinality may exist meanwhile. Stable identities
	// never surge.
	Surge *int `json:"surge,omitempty"` // nil: 1
	// Settle is how long a replacement must stay up before the update goes on; nil: 1 s, and no time at
	// all for roles with a check or a ready gate.
	Settle *time.Duration `json:"settle,omitempty"`
	// Rollback goes back to the revision before by itself when an instance of the new one fails.
	Rollback bool `json:"rollback,omitempty"`
	// Existing says what becomes of instances that were made before; "" in a role: as the service says.
	Existing Existing `json:"existing,omitempty"`
}

// Existing says what becomes of the instances of a role when its content changes.
type Existing string

// What becomes of instances that exist.
const (
	ReplaceExisting Existing = "replace" // one after the other, by instances of the new content
	KeepExisting    Existing = "keep"    // nothing: only new instances follow the new content
)

// Choose says with which implementation of its machine an instance begins.
type Choose string

// The ways to choose an implementation.
const (
	InOrder  Choose = "order"  // the first
	AtRandom Choose = "random" // any: which one follows from the instance's id, so that it is found again
	Spread   Choose = "spread" // the one that the fewest instances of the role have
)

// Strategy orders the roles of a service.
type Strategy string

// The strategies.
const (
	Straight Strategy = "straight" // parents first; removal in reverse
	NoOrder  Strategy = "none"     // all at once
)

// Heal says what happens when an instance fails.
type Heal string

// The healing modes.
const (
	HealAuto   Heal = "auto"   // replace it
	HealManual Heal = "manual" // mark role and service WARNING and wait for recover
)

// ScaleIn says which of a role's good instances go first when there are too many. Bad ones always go before, and
// of stable ones those with the highest numbers.
type ScaleIn string

// The orders of scaling in.
const (
	Oldest   ScaleIn = "oldest"
	Youngest ScaleIn = "youngest"
)

// OnGone says what happens when a machine was removed behind Troupe's back.
type OnGone string

// What to do about a machine that is gone.
const (
	Replace OnGone = "replace" // as for any failure
	Forget  OnGone = "forget"  // drop the instance and lower the cardinality (OneFlow)
)

// Identity says whether a replacement is the same instance.
type Identity string

// The identities.
const (
	New    Identity = "new"    // a new instance with a new number
	Stable Identity = "stable" // the same number, address and data
)

// Restart says which exits of an instance count as failures.
type Restart string

// The restart policies.
const (
	Always        Restart = "always"     // any exit is a failure to be healed
	OnFailureExit Restart = "on-failure" // exit 0 means finished
	Never         Restart = "never"      // exit 0 means finished, any other exit rests as failed
)

// OnFailure says what a failed first deployment leaves.
type OnFailure string

// What a failed first deployment leaves.
const (
	Keep     OnFailure = "keep"     // everything, for inspection
	Rollback OnFailure = "rollback" // nothing: all that was made is removed
	Abort    OnFailure = "abort"    // nothing, too, as soon as the first instance has failed: none is tried again
)

// Min and Max bounds, and defaults.

// MinOf returns the lower bound of the role's cardinality.
func (r *RoleSpec) MinOf() int {
	if r.Min == nil {
		return 0
	}
	return *r.Min
}

// MaxOf returns the upper bound of the role's cardinality, or -1 for none.
func (r *RoleSpec) MaxOf() int {
	if r.Max == nil {
		return -1
	}
	return *r.Max
}

// clamp returns the cardinality within the bounds that is nearest to n.
func (r *RoleSpec) clamp(n int) int {
	if most := r.MaxOf(); most >= 0 {
		n = min(n, most)
	}
	return max(n, r.MinOf())
}

// Resource returns the named resource, or nil.
func (s *Spec) Resource(name string) *ResourceSpec {
	for i := range s.Resources {
		if s.Resources[i].Name == name {
			return &s.Resources[i]
		}
	}
	return nil
}

// Role returns the index of the named role, or -1.
func (s *Spec) Role(name string) int {
	for i := range s.Roles {
		if s.Roles[i].Name == name {
			return i
		}
	}
	return -1
}
