package client

import (
	"context"
	"net/url"
	"time"
)

// A PutManager adds a service manager of Hurtle's, or changes the one of its manifest's term.
type PutManager struct {
	Manifest   string `json:"manifest" doc:"The text of the service manifest." maxLength:"262144"`
	File       string `json:"file,omitempty" doc:"Name of its file, for error messages." maxLength:"255"`
	Parameters string `json:"parameters,omitempty" doc:"The text of the provider parameters." maxLength:"262144"`
	// ParametersFile is the name of their file.
	ParametersFile string `json:"parameters_file,omitempty" doc:"Name of their file, for error messages." maxLength:"255"`
	ManagerOptions
	CloudPassword string `json:"cloud_password,omitempty" doc:"Password at that Cloud Controller."`
}

// ManagerOptions are what a service manager is told beside its manifest. Durations are texts such as "30s".
type ManagerOptions struct {
	Bundle      string   `json:"bundle,omitempty" doc:"Folder on the server's host with the orchestrator's program, in place of program."`
	Program     string   `json:"program,omitempty" doc:"What orchestrators are started from: the name of a machine definition, or an image of containers."`
	Environment []string `json:"environment,omitempty" doc:"More of the program's environment, as NAME=VALUE." maxItems:"100"`
	CloudURL    string   `json:"cloud_url,omitempty" doc:"Cloud Controller to hold the programs; this server's own when empty."`
	CloudUser   string   `json:"cloud_user,omitempty" doc:"User at that Cloud Controller."`
	Lazy        bool     `json:"lazy_dependencies,omitempty" doc:"Let the manager be there while services that it needs have none."`
	Strict      bool     `json:"strict_attributes,omitempty" doc:"Refuse clients that set immutable attributes."`
	StaleReads  bool     `json:"stale_reads,omitempty" doc:"Show what was known where an orchestrator does not answer."`
	Wait        string   `json:"wait,omitempty" doc:"How long to wait before a call is repeated; each time twice as long."`
	MaxWait     string   `json:"max_wait,omitempty" doc:"The longest such wait."`
	Attempts    int      `json:"attempts,omitempty" doc:"How often a call is made that does not arrive." minimum:"0" maximum:"10000"`
	Poll        string   `json:"poll,omitempty" doc:"How soon to look again at what is not ready; each time half as long again."`
	MaxPoll     string   `json:"max_poll,omitempty" doc:"The longest time between two looks."`
	Call        string   `json:"call,omitempty" doc:"How long a call may take that only asks."`
	Act         string   `json:"act,omitempty" doc:"How long a call may take that has something done."`
	Host        string   `json:"host,omitempty" doc:"How long the Cloud Controller may take to accept a program."`
	Start       string   `json:"start,omitempty" doc:"How long an orchestrator's program may take to answer."`
	Build       string   `json:"build,omitempty" doc:"How long its stack may take to be complete."`
	Dispose     string   `json:"dispose,omitempty" doc:"How long an orchestrator is asked to dispose of what it has made."`
}

// A Manager is a service manager.
type Manager struct {
	Term        string    `json:"term" doc:"The name by which it is found: /hurtle/sm/TERM."`
	Type        string    `json:"type" doc:"The service type: a scheme and the term."`
	Description string    `json:"description"`
	Needs       []string  `json:"needs,omitempty" doc:"Service types that instances are composed of."`
	Instances   int       `json:"instances" doc:"Those that the caller may see."`
	Created     time.Time `json:"created"`
	Manifest    string    `json:"manifest" doc:"The text of its manifest."`
	ManagerOptions
}

// A ManagerInstance is an instance of a service manager.
type ManagerInstance struct {
	ID         string            `json:"id"`
	Project    Party             `json:"project"`
	State      string            `json:"state" doc:"initialise, activate, deploy, provision, update, destroy or fail."`
	Step       string            `json:"step" doc:"What is done for it now."`
	Pending    string            `json:"pending,omitempty" doc:"What it waits for, in words."`
	Message    string            `json:"message,omitempty" doc:"Why it failed, or what its removal waits for."`
	App        string            `json:"app,omitempty" doc:"The orchestrator's program at the Cloud Controller."`
	Address    string            `json:"address,omitempty" doc:"Where the orchestrator is."`
	Services   []string          `json:"services,omitempty" doc:"Instances that it is composed of."`
	Attributes map[string]string `json:"attributes"`
	Created    time.Time         `json:"created"`
	Since      time.Time         `json:"since" doc:"When its step began."`
}

// Managers returns the calls about service managers.
func (c *Client) Managers() *Managers { return &Managers{c} }

// Managers are the calls about service managers. They are named by the term of their type.
type Managers struct{ c *Client }

// Put adds a manager, or changes the one of its term.
func (m *Managers) Put(ctx context.Context, p PutManager) (Manager, error) {
	return ask[Manager](ctx, m.c, put(p, "managers"))
}

// Get returns a manager.
func (m *Managers) Get(ctx context.Context, term string) (Manager, error) {
	return ask[Manager](ctx, m.c, get("managers", term))
}

// List returns the managers in the order in which they were added.
func (m *Managers) List(ctx context.Context) ([]Manager, error) {
	return all(pages(func(cursor string) (Page[Manager], error) { return listed[Manager](ctx, m.c, "managers", cursor) }))
}

// Instances returns the instances of a manager that the caller may see, oldest first.
func (m *Managers) Instances(ctx context.Context, term string) ([]ManagerInstance, error) {
	return all(pages(func(cursor string) (Page[ManagerInstance], error) {
		q := url.Values{}
		setPage(q, 0, cursor)
		return ask[Page[ManagerInstance]](ctx, m.c, get("managers", term, "instances").with(q))
	}))
}

// Remove removes a manager that has no instances.
func (m *Managers) Remove(ctx context.Context, term string) error {
	return m.c.do(ctx, remove("managers", term), nil)
}
