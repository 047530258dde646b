package client

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// A Document describes a service, a role or a machine definition, in one of two forms: Spec, in the
// native format as JSON, or Source, a text in Format.
type Document struct {
	Format string          `json:"format,omitempty" doc:"Format of source: native, oneflow, occopus or hot (a Heat template); native when empty." enum:"native,oneflow,occopus,hot"`
	Source string          `json:"source,omitempty" doc:"The text of the document: YAML or JSON, as its format has it."`
	Spec   json.RawMessage `json:"spec,omitempty" doc:"The document in the native format as JSON, instead of source. Its schema is at /v1/schema/service.json."`
	// Name of the document's file, for the places in error messages.
	File string `json:"file,omitempty" doc:"Name of the document's file, for error messages." maxLength:"255"`
	// Files are what the document includes, by the relative path that it gives.
	Files map[string]string `json:"files,omitempty" doc:"Contents of the files that the document includes, by their paths as it gives them, joined to the folder of the file that does."`
	// Simulate makes the machines on the driver sim, which shows what their own drivers would have been asked for.
	Simulate bool `json:"simulate,omitempty" doc:"Of an infrastructure description of Occopus, or a Heat template: have its machines made by the driver sim, which shows what their own drivers would have been asked for."`
	// Environments are those of a Heat template; later ones go before earlier.
	Environments []Text `json:"environments,omitempty" doc:"Of a Heat template: its environments, later ones before earlier." maxItems:"100"`
	// Driver and Account make the servers of a Heat template whose image is not the name of a machine definition.
	Driver  string `json:"driver,omitempty" doc:"Of a Heat template: the driver that makes servers whose image is not the name of a machine definition; process when empty, and the one of before in an update." maxLength:"63"`
	Account string `json:"account,omitempty" doc:"Of a Heat template: the configured account of that driver." maxLength:"63"`
}

// A Text is a file's text with its name.
type Text struct {
	Name string `json:"name" doc:"Path of the file, as it is to stand in error messages. Files that it names are beside it." maxLength:"1000"`
	Text string `json:"text"`
}

// A CreateService asks for a new service: from a Document, or from a stored template.
type CreateService struct {
	Document
	Template    uint64            `json:"template,omitempty" doc:"Number of a stored template to make the service from, instead of a document."`
	Name        string            `json:"name,omitempty" doc:"Name of the service; the document's own when empty." maxLength:"128"`
	Alias       string            `json:"alias,omitempty" doc:"An id of your own for the service, such as a UUID: it is found by it, and no other service of the project that has not ended may have it." maxLength:"128"`
	Inputs      map[string]string `json:"inputs,omitempty" doc:"Values of inputs, over those of the document."`
	Permissions string            `json:"permissions,omitempty" doc:"Three octal digits for owner, group and others; 600 when empty." pattern:"^[0-7]{1,3}$"`
	Managed     string            `json:"managed,omitempty" doc:"For how long it is managed, in place of what the document says." enum:"always,build"`
	OnFailure   string            `json:"on_failure,omitempty" doc:"What a first deployment that failed leaves, in place of what the document says." enum:"keep,rollback,abort"`
	AtATime     int               `json:"at_a_time,omitempty" doc:"How many instances are made or removed at a time, in place of what the document says." minimum:"0"`
	// Key makes a repeated request return the service that the first one made. Create draws one when
	// it is empty.
	Key string `json:"-"`
}

// An UpdateService wishes another description for a running service.
type UpdateService struct {
	Document
	Inputs  map[string]string `json:"inputs,omitempty" doc:"Values of inputs, over those of the document."`
	AtATime int               `json:"at_a_time,omitempty" doc:"How many instances are made or removed at a time, in place of what the document says." minimum:"0"`
	// Revision refuses the update unless the service is at this revision; 0 for any.
	Revision uint32 `json:"-"`
	// Key makes a repeated request count once; Update draws one when it is empty.
	Key string `json:"-"`
}

// A Service is a service as it stands.
type Service struct {
	ID          uint64    `json:"id"`
	Name        string    `json:"name"`
	Alias       string    `json:"alias,omitempty" doc:"The id that its client gave it."`
	Description string    `json:"description,omitempty"`
	Project     string    `json:"project" doc:"The group that it counts for."`
	State       string    `json:"state" doc:"PENDING, DEPLOYING, RUNNING, SCALING, UPDATING, COOLDOWN, HOLD, WARNING, UNDEPLOYING, DONE, or FAILED_ and what failed."`
	Reason      string    `json:"reason,omitempty" doc:"Why it is in its state, for people."`
	Since       time.Time `json:"since" doc:"When the state began."`
	Created     time.Time `json:"created"`
	Revision    uint32    `json:"revision" doc:"Of the description; If-Match takes it."`
	Owner       Party     `json:"owner"`
	Group       Party     `json:"group"`
	Permissions string    `json:"permissions" doc:"Three octal digits for owner, group and others."`
	Template    uint64    `json:"template,omitempty" doc:"Number of the template that it was made from."`
	Format      string    `json:"format,omitempty" doc:"Format of the description that it was made from."`
	Strategy    string    `json:"strategy"`
	// Inputs are shown but for those that are secret: they read "(secret)".
	Inputs  map[string]string `json:"inputs,omitempty" doc:"Secret ones read (secret)."`
	Labels  map[string]string `json:"labels,omitempty"`
	Leaving bool              `json:"leaving,omitempty" doc:"It is being removed."`
	Mode    string            `json:"mode" doc:"managed; unmanaged, which leaves it alone, so that wishes wait; or pass: managed until all has settled or failed, then unmanaged."`
	Pass    *Pass             `json:"pass,omitempty" doc:"The pass that is under way, or the last one."`
	Rollout *Rollout          `json:"rollout,omitempty" doc:"The update that is under way."`
	// Outputs are shown but for those that are sensitive: they read "(secret)".
	Outputs  map[string]string `json:"outputs,omitempty" doc:"Those that have a value. Sensitive ones read (secret)."`
	Services []NeededService   `json:"services,omitempty" doc:"The services that it needs."`
	NeededBy []Consumer        `json:"needed_by,omitempty" doc:"The services that need it: it is not removed before them."`
	Roles    []Role            `json:"roles"`
	// Resources are told of a single service only, not in lists.
	Resources []Resource `json:"resources,omitempty" doc:"What it makes beside machines; told of a single service, not in lists."`
}

// A Resource is a network, an address or another thing that roles need.
type Resource struct {
	Name    string            `json:"name"`
	Kind    string            `json:"kind"`
	Driver  string            `json:"driver" doc:"The driver that makes it; recorded for one that nothing makes."`
	State   string            `json:"state" doc:"wanted, creating, ready, failed, removing or gone."`
	Reason  string            `json:"reason,omitempty"`
	Native  string            `json:"native,omitempty" doc:"The back end's own id."`
	Outputs map[string]string `json:"outputs,omitempty" doc:"What roles may refer to."`
}

// A NeededService is a service that another one needs.
type NeededService struct {
	Name    string `json:"name" doc:"What it is called in the service that needs it."`
	Service uint64 `json:"service,omitempty" doc:"Its number, when it is known."`
	Title   string `json:"title,omitempty" doc:"Its own name."`
	Made    bool   `json:"made,omitempty" doc:"It was made for the service, and goes with it."`
	Phase   string `json:"phase" doc:"wanted, bound, ready (RUNNING, and the outputs that are referred to have values), failed, leaving or gone."`
	State   string `json:"state,omitempty" doc:"Its own state as it told last."`
	Reason  string `json:"reason,omitempty"`
}

// A Consumer is a service that needs another one.
type Consumer struct {
	Service uint64 `json:"service"`
	Name    string `json:"name" doc:"Its name when it was bound."`
	Owner   bool   `json:"owner,omitempty" doc:"The other one was made for it."`
}

// A Pass is a time for which an unmanaged service is, or was last, managed.
type Pass struct {
	Until   *time.Time `json:"until,omitempty" doc:"Its deadline."`
	Ended   *time.Time `json:"ended,omitempty" doc:"None while it goes on."`
	Failure string     `json:"failure,omitempty" doc:"What it left undone."`
}

// Ref names the service in the methods of Services.
func (s *Service) Ref() string { return ID(s.ID) }

// Role returns the named role, or nil.
func (s *Service) Role(name string) *Role {
	for n := range s.Roles {
		if s.Roles[n].Name == name {
			return &s.Roles[n]
		}
	}
	return nil
}

// Failed reports whether the service is in one of the failed states.
func (s *Service) Failed() bool { return failed(s.State) }

func failed(state string) bool { return len(state) > 7 && state[:7] == "FAILED_" }

// ID returns the reference of a numbered object.
func ID(id uint64) string { return strconv.FormatUint(id, 10) }

// A Party is a user or a group.
type Party struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// A Rollout is a rolling update under way.
type Rollout struct {
	From     uint32 `json:"from" doc:"Revision that it comes from."`
	To       uint32 `json:"to"`
	Rollback bool   `json:"rollback,omitempty" doc:"It returns to an earlier revision."`
	Paused   bool   `json:"paused,omitempty"`
	Reason   string `json:"reason,omitempty" doc:"Why it paused."`
}

// A Role is a role of a service as it stands.
type Role struct {
	Name        string         `json:"name"`
	State       string         `json:"state"`
	Reason      string         `json:"reason,omitempty"`
	Since       time.Time      `json:"since"`
	Until       *time.Time     `json:"until,omitempty" doc:"End of the cooldown."`
	Cardinality int            `json:"cardinality" doc:"How many instances are wished."`
	Min         int            `json:"min"`
	Max         *int           `json:"max,omitempty" doc:"None for no limit."`
	Parents     []string       `json:"parents,omitempty"`
	Total       int            `json:"total" doc:"Instances, leaving ones included."`
	Settled     int            `json:"settled" doc:"Instances that count as deployed."`
	Live        int            `json:"live" doc:"Machines that run or may run."`
	Outdated    int            `json:"outdated,omitempty" doc:"Instances that the update still has to replace."`
	Phases      map[string]int `json:"phases" doc:"Instances by phase."`
	Heal        string         `json:"heal"`
	Identity    string         `json:"identity"`
	Machine     string         `json:"machine,omitempty" doc:"Name of the machine definition; none when it was written inline."`
	Drivers     []string       `json:"drivers" doc:"Drivers of its implementations, in the order in which they are tried."`
	Revision    uint32         `json:"revision" doc:"Of the description in which its machines last changed."`
	Removing    bool           `json:"removing,omitempty" doc:"It leaves the service."`
	RolePolicies
}

// An Instance is one member of a role and the machine that embodies it now.
type Instance struct {
	Serial         uint32            `json:"serial" doc:"Its number within the service, never used again."`
	UUID           string            `json:"uuid" doc:"The same for clients that need a UUID."`
	Name           string            `json:"name"`
	Role           string            `json:"role"`
	Number         uint32            `json:"number" doc:"Its number within the role."`
	Phase          string            `json:"phase" doc:"queued, backoff, creating, starting, held, up, parked, finished, down, resting, replacing or stopping."`
	Reason         string            `json:"reason,omitempty"`
	Machine        string            `json:"machine" doc:"Id of the machine."`
	State          string            `json:"state" doc:"State of the machine as its back end told last."`
	Driver         string            `json:"driver,omitempty"`
	Account        string            `json:"account,omitempty"`
	Implementation string            `json:"implementation,omitempty" doc:"What its machine is made with: the implementation's name, or its driver with its account after a colon."`
	Choice         string            `json:"choice,omitempty" doc:"Why it is made with that implementation; none where there is no other."`
	Native         string            `json:"native,omitempty" doc:"The back end's own id of the machine."`
	Addresses      []string          `json:"addresses,omitempty"`
	Incarnation    uint32            `json:"incarnation" doc:"Counts the machines that were asked for."`
	Revision       uint32            `json:"revision" doc:"Of the description that its machine was made from."`
	Ready          bool              `json:"ready,omitempty" doc:"It reported READY=YES."`
	Health         string            `json:"health" doc:"unchecked, healthy, ailing (a check fails, and may for a while) or unhealthy."`
	Failing        *time.Time        `json:"failing,omitempty" doc:"Since when a check of it fails that may for a while."`
	Checking       bool              `json:"checking,omitempty" doc:"Its checks have not all been answered since the server started: its health is what it was before."`
	Doubt          bool              `json:"doubt,omitempty" doc:"Its creation was not answered: a machine may or may not exist."`
	Overdue        bool              `json:"overdue,omitempty" doc:"Its removal takes longer than it should."`
	Failures       int               `json:"failures,omitempty" doc:"In a row."`
	ExitCode       int               `json:"exit_code,omitempty"`
	Created        time.Time         `json:"created"`
	Since          time.Time         `json:"since" doc:"When the phase began."`
	Until          *time.Time        `json:"until,omitempty" doc:"When the phase's next timer passes."`
	Attributes     map[string]string `json:"attributes,omitempty" doc:"What it reported."`
	Actions        []PendingAction   `json:"actions,omitempty"`
}

// A PendingAction is an action that waits for its time or for its answer.
type PendingAction struct {
	Action string    `json:"action"`
	Args   string    `json:"args,omitempty"`
	At     time.Time `json:"at"`
}

// An Event is a line of a service's story.
type Event struct {
	Service  uint64    `json:"service"`
	Name     string    `json:"name,omitempty" doc:"Of the service."`
	Time     time.Time `json:"time"`
	Error    bool      `json:"error,omitempty"`
	Role     string    `json:"role,omitempty"`
	Instance string    `json:"instance,omitempty"`
	Message  string    `json:"message"`
}

// A Change is what one commit did to a service.
type Change struct {
	Revision  int64    `json:"revision" doc:"Of the store; a watch resumes after it."`
	Service   uint64   `json:"service,omitempty"`
	Name      string   `json:"name,omitempty"`
	Project   string   `json:"project,omitempty"`
	State     string   `json:"state,omitempty"`
	Removed   bool     `json:"removed,omitempty" doc:"The service is no more."`
	Instances []uint32 `json:"instances,omitempty" doc:"Serials of those that changed."`
	Events    []Event  `json:"events,omitempty"`
	// Reset says that changes were missed: read everything anew.
	Reset bool `json:"reset,omitempty" doc:"Changes were missed; read everything anew."`
}

// A Plan is what a command would do on a back end where everything goes well.
type Plan struct {
	Steps []Step `json:"steps"`
	State string `json:"state" doc:"The service's in the end."`
	Total int    `json:"total" doc:"Instances in the end."`
	// Warnings tell what will not work as it may be meant.
	Warnings []string `json:"warnings,omitempty" doc:"What will not work as it may be meant."`
	// Machines are what the drivers are asked for, where the plan is of a description.
	Machines []PlannedMachine `json:"machines,omitempty" doc:"What the drivers are asked for, by role and implementation, before templates are filled in; where the plan is of a description."`
	// Service is the one that would be changed; 0 for a new one.
	Service uint64 `json:"service,omitempty"`
	Name    string `json:"name,omitempty"`
}

// A PlannedMachine is one way in which the machines of a role are made.
type PlannedMachine struct {
	Role     string            `json:"role"`
	Name     string            `json:"name,omitempty" doc:"Of the implementation, where the role has several."`
	Driver   string            `json:"driver"`
	Account  string            `json:"account,omitempty"`
	Options  map[string]any    `json:"options,omitempty" doc:"Secrets read (secret)."`
	Env      map[string]string `json:"env,omitempty"`
	UserData string            `json:"user_data,omitempty"`
}

// A Step is one thing that a command would lead to. Steps of one wave happen together.
type Step struct {
	Wave           int      `json:"wave"`
	Do             string   `json:"do" doc:"create, destroy, an action's name, refresh or remove; of needed services also use, change and let go."`
	Role           string   `json:"role,omitempty"`
	Resource       string   `json:"resource,omitempty" doc:"The resource that is created or destroyed."`
	Service        string   `json:"service,omitempty" doc:"The needed service that is created, used, changed, let go or destroyed, by its name here."`
	Instances      []string `json:"instances,omitempty" doc:"At most ten of them."`
	Count          int      `json:"count"`
	Driver         string   `json:"driver,omitempty"`
	Implementation string   `json:"implementation,omitempty" doc:"What the machines are made with, where there is a choice."`
	Why            string   `json:"why"`
}

// An Explanation says why a service is in its state, what it waits for and what comes next.
type Explanation struct {
	State    string               `json:"state"`
	Mode     string               `json:"mode" doc:"managed, unmanaged or pass."`
	Since    time.Time            `json:"since"`
	Why      string               `json:"why"`
	Waits    []string             `json:"waits,omitempty"`
	Next     []string             `json:"next,omitempty"`
	Advice   []string             `json:"advice,omitempty"`
	Rollback uint32               `json:"rollback,omitempty" doc:"Where a rollback without a number goes; left out when there is no such revision."`
	Roles    []RoleExplanation    `json:"roles"`
	Services []NeededService      `json:"services,omitempty" doc:"The services that it needs."`
	NeededBy []Consumer           `json:"needed_by,omitempty" doc:"The services that need it."`
	Backends []BackendExplanation `json:"backends,omitempty" doc:"Its back ends that something is wrong with: halted, not answering, throttling."`
	Story    []Event              `json:"story,omitempty" doc:"The last events, oldest first."`
}

// A BackendExplanation says what is wrong with a back end that a service uses.
type BackendExplanation struct {
	Name   string    `json:"name" doc:"The driver, with its account after a colon."`
	Since  time.Time `json:"since,omitzero"`
	Why    string    `json:"why"`
	Advice string    `json:"advice" doc:"What an operator can do."`
}

// A RoleExplanation does the same for a role.
type RoleExplanation struct {
	Name            string                      `json:"name"`
	State           string                      `json:"state"`
	Why             string                      `json:"why,omitempty"`
	Cardinality     int                         `json:"cardinality"`
	Phases          map[string]int              `json:"phases"`
	Bad             []string                    `json:"bad,omitempty" doc:"Instances that do not work, with their reasons."`
	Implementations []ImplementationExplanation `json:"implementations,omitempty" doc:"What its machines are made with, where there is a choice."`
	RolePolicies
}

// An ImplementationExplanation says how a role uses one way to make its machines.
type ImplementationExplanation struct {
	Name      string `json:"name"`
	Driver    string `json:"driver"`
	Account   string `json:"account,omitempty"`
	Instances int    `json:"instances" doc:"Those that have machines of it."`
	Why       string `json:"why,omitempty" doc:"Why it is not used, or could not be when it was last asked."`
}

// RolePolicies tell how the policies of a role stand.
type RolePolicies struct {
	Policies []PolicyState   `json:"policies,omitempty" doc:"In their order."`
	Decision *PolicyDecision `json:"decision,omitempty" doc:"The last change that a policy made."`
}

// A PolicyState is what is known of a policy of a role.
type PolicyState struct {
	Policy   string     `json:"policy" doc:"Its name, or what it is."`
	Value    string     `json:"value,omitempty" doc:"What it sees now, in words."`
	Refused  string     `json:"refused,omitempty" doc:"Why its last wish was not followed."`
	LastUp   *time.Time `json:"last_up,omitempty"`
	LastDown *time.Time `json:"last_down,omitempty"`
}

// A PolicyDecision is what a policy last changed, and why.
type PolicyDecision struct {
	Time    time.Time `json:"time"`
	Policy  string    `json:"policy"`
	From    int       `json:"from"`
	To      int       `json:"to"`
	Because string    `json:"because" doc:"With the values that led to it."`
}

// A SpecRevision is the description of a service in one of its revisions. Secrets in it read
// "(secret)"; sent back as they are, they stay what they were.
type SpecRevision struct {
	Revision uint32          `json:"revision"`
	Format   string          `json:"format" doc:"Format that it came in."`
	Source   string          `json:"source" doc:"The description in the native format, as YAML."`
	Spec     json.RawMessage `json:"spec" doc:"The same as JSON."`
}

// An Action does something to the machines of a service.
type Action struct {
	Name   string   `json:"action" doc:"hold, release, stop, suspend, resume, reboot, reboot-hard, poweroff, poweroff-hard, undeploy, undeploy-hard, terminate, terminate-hard, or a snapshot action."`
	Role   string   `json:"role,omitempty" doc:"One role; all when empty."`
	Serial uint32   `json:"serial,omitempty" doc:"One instance only."`
	Args   string   `json:"args,omitempty" maxLength:"4096"`
	Period Duration `json:"period,omitzero" doc:"With number: so many instances each period, such as 30s. None: all at once."`
	Number int      `json:"number,omitempty" minimum:"0" doc:"Instances each period."`
}

// A Command is one wish, to be planned: set one field.
type Command struct {
	Scale      *Scale         `json:"scale,omitempty"`
	Update     *UpdateService `json:"update,omitempty"`
	Rollback   *uint32        `json:"rollback,omitempty" doc:"A revision; 0 for the last one before that was in place."`
	Recover    *Recover       `json:"recover,omitempty"`
	Undeploy   *Undeploy      `json:"undeploy,omitempty"`
	AddRole    *Document      `json:"add_role,omitempty"`
	RemoveRole string         `json:"remove_role,omitempty"`
	Release    *Release       `json:"release,omitempty"`
	Action     *Action        `json:"action,omitempty"`
	Replace    uint32         `json:"replace,omitempty" doc:"Serial of an instance."`
	Attach     *Attach        `json:"attach,omitempty"`
}

// A Scale wishes another cardinality for a role: a number, a change of the present one, or so many less as instances
// are named that are to be removed.
type Scale struct {
	Role        string      `json:"role" minLength:"1"`
	Cardinality Cardinality `json:"cardinality,omitempty" doc:"A number, as such or as text, or a change: +2, -1, +50%, -10%."`
	Remove      []string    `json:"remove,omitempty" maxItems:"1000" doc:"In place of cardinality: instances to be removed, each by its number in the role, its name, uuid, machine, native id, or any of its addresses."`
	Force       bool        `json:"force,omitempty" doc:"Outside the bounds of the role too."`
	Cooldown    *Duration   `json:"cooldown,omitempty" doc:"Follows the scaling, in place of the role's."`
}

// A Cardinality is how many instances a role should have, "5", or a change of that: "+2", "-1", "+50%". JSON may
// give it as a number, too.
type Cardinality string

// UnmarshalJSON reads a text or a number, which is no change and has no fraction.
func (c *Cardinality) UnmarshalJSON(text []byte) error {
	switch {
	case string(text) == "null":
		return nil
	case len(text) > 0 && text[0] == '"':
		return json.Unmarshal(text, (*string)(c))
	}
	var n uint32
	if err := json.Unmarshal(text, &n); err != nil {
		return fmt.Errorf("cardinality %s: give a number such as 5, or a text such as \"+2\" or \"-10%%\"", text)
	}
	*c = Cardinality(strconv.FormatUint(uint64(n), 10))
	return nil
}

// Recover sets everything that gave up going again.
type Recover struct {
	Delete bool `json:"delete,omitempty" doc:"Remove the service instead, whatever its state."`
}

// Undeploy removes all machines.
type Undeploy struct {
	Hard  bool `json:"hard,omitempty" doc:"Without the graceful part."`
	Keep  bool `json:"keep,omitempty" doc:"Keep the record of the service when all is gone."`
	Data  bool `json:"data,omitempty" doc:"The data of stable instances too."`
	Force bool `json:"force,omitempty" doc:"In any state, for strict services too, and though other services need it."`
}

// A Release starts what is held.
type Release struct {
	Role string `json:"role,omitempty" doc:"One role; all when empty."`
}

// An Attach has a service managed again.
type Attach struct {
	Once     bool     `json:"once,omitempty" doc:"For one pass: until all that is wished has settled or failed."`
	Deadline Duration `json:"deadline,omitzero" doc:"How long a pass may take; an hour when empty."`
	AtATime  int      `json:"at_a_time,omitempty" doc:"How many instances are made or removed at a time, in place of what the description says; until it is attached or detached again." minimum:"0"`
}

// A ChangeService changes whose a service is and what it is called; nil fields stay. Owner and Group
// are names or numbers.
type ChangeService struct {
	Name        *string `json:"name,omitempty" minLength:"1" maxLength:"128"`
	Owner       *string `json:"owner,omitempty" doc:"A user, by name or number."`
	Group       *string `json:"group,omitempty" doc:"A group, by name or number."`
	Permissions *string `json:"permissions,omitempty" pattern:"^[0-7]{1,3}$"`
}

// A Duration is a time span; in JSON it is text such as "1m30s".
type Duration time.Duration

// MarshalText writes the duration as text.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads text such as "1m30s".
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time span such as 1m30s", text)
	}
	*d = Duration(v)
	return nil
}
