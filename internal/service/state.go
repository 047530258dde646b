package service

import "time"

// Time is an instant in nanoseconds since 1970 UTC; 0 means never.
type Time int64

// TimeOf converts t.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixNano())
}

// Time converts back, in UTC.
func (t Time) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(t)).UTC()
}

// Add returns t+d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// State is the state of a service or of a role. The first sixteen values and their meaning are
// OneFlow's (its service and role codes differ for Hold alone); the rest are Troupe's.
type State uint8

// The states of services and roles.
const (
	Pending State = iota
	Deploying
	Running
	Undeploying
	Warning
	Done
	FailedUndeploying
	FailedDeploying
	Scaling
	FailedScaling
	Cooldown
	DeployingNets
	UndeployingNets
	FailedDeployingNets
	FailedUndeployingNets
	Hold
	Updating
	FailedUpdating // an update that paused
)

var stateNames = [...]string{
	"PENDING", "DEPLOYING", "RUNNING", "UNDEPLOYING", "WARNING", "DONE", "FAILED_UNDEPLOYING", "FAILED_DEPLOYING",
	"SCALING", "FAILED_SCALING", "COOLDOWN", "DEPLOYING_NETS", "UNDEPLOYING_NETS", "FAILED_DEPLOYING_NETS",
	"FAILED_UNDEPLOYING_NETS", "HOLD", "UPDATING", "FAILED_UPDATING",
}

// String returns the state's name in capitals.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "UNKNOWN"
}

// Transient reports whether the state ends by itself.
func (s State) Transient() bool {
	switch s {
	case Pending, Deploying, Undeploying, Scaling, Cooldown, DeployingNets, UndeployingNets, Updating:
		return true
	}
	return false
}

// Failed reports whether the state is one of the failed ones.
func (s State) Failed() bool {
	switch s {
	case FailedDeploying, FailedUndeploying, FailedScaling, FailedDeployingNets, FailedUndeployingNets, FailedUpdating:
		return true
	}
	return false
}

// Phase is where an instance is in its life.
type Phase uint8

// The phases of an instance.
const (
	Queued    Phase = iota // wanted; made as soon as its role may
	Backoff                // wanted; made after a pause, because it failed before
	Creating               // a machine was asked for; it may exist
	Starting               // the machine exists and is not up yet
	Held                   // the machine exists and waits for release
	Up                     // running, healthy and, where asked for, READY
	Parked                 // stopped or suspended on request
	Finished               // its program ended as it should
	Down                   // its machine is bad; a person or a timer decides
	Resting                // failed too often, or for good; waits for recover
	Replacing              // its machine is being destroyed, a successor takes its place
	Stopping               // its machine is being destroyed and the instance with it
	phases
)

var phaseNames = [...]string{"queued", "backoff", "creating", "starting", "held", "up", "parked", "finished", "down", "resting", "replacing", "stopping"}

// String returns the phase in lower case.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return "unknown"
}

// Settled reports whether an instance in this phase counts as deployed.
func (p Phase) Settled() bool { return p == Up || p == Parked || p == Finished }
