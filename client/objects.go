package client

import (
	"encoding/json"
	"time"
)

// A Template is a stored description of services.
type Template struct {
	ID          uint64    `json:"id"`
	Name        string    `json:"name"`
	Format      string    `json:"format"`
	Source      string    `json:"source" doc:"The text of the document."`
	Owner       Party     `json:"owner"`
	Group       Party     `json:"group"`
	Permissions string    `json:"permissions"`
	Registered  time.Time `json:"registered"`
	Revision    int64     `json:"revision" doc:"Changes with every change; If-Match takes it."`
}

// A PutTemplate stores a template, or changes one; empty fields stay as they are.
type PutTemplate struct {
	Document
	Name        string  `json:"name,omitempty" doc:"The document's own when empty." maxLength:"128"`
	Owner       *string `json:"owner,omitempty" doc:"A user, by name or number."`
	Group       *string `json:"group,omitempty" doc:"A group, by name or number."`
	Permissions string  `json:"permissions,omitempty" pattern:"^[0-7]{1,3}$"`
	// Revision refuses a change unless the template is at this revision; 0 for any.
	Revision int64 `json:"-"`
}

// A Machine is a named and numbered machine definition.
type Machine struct {
	ID          int             `json:"id"`
	Name        string          `json:"name"`
	Drivers     []string        `json:"drivers" doc:"Of its implementations, in the order in which they are tried."`
	Owner       Party           `json:"owner"`
	Group       Party           `json:"group"`
	Permissions string          `json:"permissions"`
	Revision    int64           `json:"revision" doc:"Changes with every change; If-Match takes it."`
	Format      string          `json:"format,omitempty" doc:"occopus for a node definition; none for the native format."`
	Source      string          `json:"source" doc:"The definition as YAML; secrets read (secret)."`
	Spec        json.RawMessage `json:"spec" doc:"The same as JSON."`
}

// A PutMachine adds a machine definition or changes the one of that name.
type PutMachine struct {
	Document
	Permissions string `json:"permissions,omitempty" doc:"640 for a new one when empty." pattern:"^[0-7]{1,3}$"`
	// Revision refuses a change unless the definition is at this revision; 0 for any.
	Revision int64 `json:"-"`
}

// A User is somebody who may log in.
type User struct {
	ID       int       `json:"id"`
	Name     string    `json:"name"`
	Group    Party     `json:"group" doc:"New objects belong to it."`
	Groups   []Party   `json:"groups" doc:"All of them, the primary one among them."`
	Disabled bool      `json:"disabled,omitempty"`
	Grants   []string  `json:"grants,omitempty" doc:"host: may run commands on the server's own host."`
	Created  time.Time `json:"created"`
	Revision int64     `json:"revision" doc:"Changes with every change; If-Match takes it."`
}

// An AddUser makes a user.
type AddUser struct {
	Name     string   `json:"name"`
	Password string   `json:"password,omitempty" doc:"None for a user that has tokens only." maxLength:"1024"`
	Group    string   `json:"group,omitempty" doc:"Primary group, by name or number; users when empty."`
	Groups   []string `json:"groups,omitempty" doc:"Besides the primary one." maxItems:"1000"`
	Grants   []string `json:"grants,omitempty" maxItems:"100"`
}

// A ChangeUser changes a user; nil fields stay.
type ChangeUser struct {
	Name     *string   `json:"name,omitempty"`
	Group    *string   `json:"group,omitempty" doc:"Primary group, by name or number."`
	Groups   *[]string `json:"groups,omitempty" doc:"All groups." maxItems:"1000"`
	Disabled *bool     `json:"disabled,omitempty"`
	Grants   *[]string `json:"grants,omitempty" maxItems:"100"`
	// Revision refuses the change unless the user is at this revision; 0 for any.
	Revision int64 `json:"-"`
}

// A Group is a set of users and a project: what belongs to it is counted against its quota.
type Group struct {
	ID       int       `json:"id"`
	Name     string    `json:"name"`
	Quota    Quota     `json:"quota,omitzero"`
	Used     Usage     `json:"used"`
	Grants   []string  `json:"grants,omitempty"`
	Members  []Party   `json:"members"`
	Created  time.Time `json:"created"`
	Revision int64     `json:"revision" doc:"Changes with every change; If-Match takes it."`
}

// A Quota bounds what a project may hold; a nil limit means unlimited, and of metrics, as the server has it for all.
type Quota struct {
	Services  *int     `json:"services,omitempty" minimum:"0"`
	Instances *int     `json:"instances,omitempty" minimum:"0"`
	CPUs      *float64 `json:"cpus,omitempty" minimum:"0" doc:"Cores, where machines declare them."`
	Memory    *int64   `json:"memory,omitempty" minimum:"0" doc:"Bytes, where machines declare them."`
	Series    *int     `json:"series,omitempty" minimum:"0" doc:"Of metrics, at once."`
	Values    *int     `json:"values,omitempty" minimum:"0" doc:"Of one dimension, over all series of metrics."`
	Samples   *float64 `json:"samples,omitempty" minimum:"0" doc:"Of metrics, a second; five times as many at once beyond that."`
}

// A Usage is what the services of a project claim.
type Usage struct {
	Services  int     `json:"services"`
	Instances int     `json:"instances"`
	CPUs      float64 `json:"cpus"`
	Memory    int64   `json:"memory"`
}

// An AddGroup makes a group.
type AddGroup struct {
	Name  string `json:"name"`
	Quota Quota  `json:"quota,omitzero"`
}

// A ChangeGroup changes a group; nil fields stay. A Quota replaces the whole quota.
type ChangeGroup struct {
	Name   *string   `json:"name,omitempty"`
	Quota  *Quota    `json:"quota,omitempty" doc:"Replaces the whole quota: limits that are left out are lifted."`
	Grants *[]string `json:"grants,omitempty" maxItems:"100"`
	// Revision refuses the change unless the group is at this revision; 0 for any.
	Revision int64 `json:"-"`
}

// A Token lets a program act as its user.
type Token struct {
	ID      string     `json:"id"`
	User    Party      `json:"user"`
	Name    string     `json:"name,omitempty"`
	Scopes  []string   `json:"scopes" doc:"read, operate, admin, metrics, push."`
	Group   *Party     `json:"group,omitempty" doc:"It acts in this group only."`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty" doc:"None: never."`
	Used    *time.Time `json:"used,omitempty" doc:"When it was last seen."`
	// Text is the token itself. Only the answer to its making has it.
	Text string `json:"text,omitempty" doc:"The token itself; only the answer to its making has it."`
}

// An AddToken makes a token.
type AddToken struct {
	User    string   `json:"user,omitempty" doc:"By name or number; whoever asks when empty. Others' only for administrators."`
	Name    string   `json:"name,omitempty" maxLength:"128"`
	Scopes  []string `json:"scopes,omitempty" doc:"read, operate, admin, metrics, push; read when empty." maxItems:"10"`
	Group   string   `json:"group,omitempty" doc:"To act in this group only."`
	Expires Duration `json:"expires,omitzero" doc:"From now; never when empty."`
}

// Me is who the server takes the caller for.
type Me struct {
	User   Party    `json:"user"`
	Group  Party    `json:"group" doc:"New objects belong to it."`
	Groups []Party  `json:"groups"`
	Admin  bool     `json:"admin,omitempty"`
	Host   bool     `json:"host,omitempty" doc:"May run commands on the server's own host."`
	Scopes []string `json:"scopes"`
	Token  string   `json:"token,omitempty" doc:"Id of the token that was used."`
}

// A Driver is a kind of back end that the server has.
type Driver struct {
	Name       string         `json:"name"`
	Help       string         `json:"help"`
	Guarantee  string         `json:"guarantee" doc:"What a repeated creation does: token, unique name or none."`
	HostAccess bool           `json:"host_access,omitempty" doc:"Its machines run with the server's own reach; using it needs the grant host."`
	Actions    []string       `json:"actions,omitempty"`
	Options    []DriverOption `json:"options" doc:"Of a machine."`
	Account    []DriverOption `json:"account" doc:"Of an account."`
	Backends   []Backend      `json:"backends" doc:"Its accounts on this server."`
}

// A DriverOption describes one option as data.
type DriverOption struct {
	Name     string `json:"name"`
	Help     string `json:"help"`
	Type     string `json:"type" doc:"string, integer, number, boolean, duration, size, list or map."`
	Default  any    `json:"default,omitempty"`
	Required bool   `json:"required,omitempty"`
	Secret   bool   `json:"secret,omitempty"`
	Advanced bool   `json:"advanced,omitempty"`
	// HostAccess: giving it needs the grant host.
	HostAccess bool     `json:"host_access,omitempty" doc:"Giving it needs the grant host."`
	Choices    []string `json:"choices,omitempty"`
	Examples   []string `json:"examples,omitempty"`
}

// A Backend is how one account of a driver is.
type Backend struct {
	Key      string     `json:"key" doc:"The driver's name, with the account's after a colon."`
	Driver   string     `json:"driver"`
	Account  string     `json:"account,omitempty"`
	Listed   *time.Time `json:"listed,omitempty" doc:"End of the last complete list."`
	Machines int        `json:"machines"`
	Error    string     `json:"error,omitempty"`
	Halted   string     `json:"halted,omitempty" doc:"Why healing is halted there."`
	Creates  int        `json:"creates" doc:"Creations that wait."`
	Others   int        `json:"others" doc:"Other calls that wait."`
	Strange  int        `json:"unknown" doc:"Machines that no record knows."`
}

// An AuditRecord is a line of the audit trail: what somebody did or tried to do.
type AuditRecord struct {
	Time    time.Time `json:"time"`
	Request string    `json:"request,omitempty"`
	User    string    `json:"user,omitempty"`
	Project string    `json:"project,omitempty"`
	Face    string    `json:"face,omitempty"`
	Action  string    `json:"action"`
	Object  string    `json:"object,omitempty"`
	Outcome string    `json:"outcome" doc:"done, denied, refused or failed."`
	Reason  string    `json:"reason,omitempty"`
}

// A Status is how the server is.
type Status struct {
	Version      string    `json:"version"`
	Started      time.Time `json:"started"`
	Installation string    `json:"installation" doc:"What its machines are tagged with."`
	Generation   uint64    `json:"generation"`
	Origin       string    `json:"origin,omitempty" doc:"Where the generation came from: an empty folder, or a backup."`
	Paused       bool      `json:"paused,omitempty" doc:"Nothing is done until an administrator resumes it, as after a restore."`
	Services     int       `json:"services"`
	Revision     int64     `json:"revision" doc:"Of the last change of a service."`
	Store        Store     `json:"store"`
	Backends     []Backend `json:"backends"`
	// Metrics is nil where the server takes no samples.
	Metrics *MetricsHealth `json:"metrics,omitempty"`
}

// A Store is how the durable state is.
type Store struct {
	Size    int64  `json:"size" doc:"Bytes of the database."`
	InUse   int64  `json:"in_use"`
	Full    bool   `json:"full,omitempty"`
	Commits uint64 `json:"commits"`
	Writes  uint64 `json:"writes"`
}
