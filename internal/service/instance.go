package service

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/troupe-dev/troupe/driver"
)

// An Instance is one member of a role, and the machine that embodies it now.
type Instance struct {
	Serial      uint32 // within the service, from 1, never used again
	Number      uint32 // within the role, from 0; part of the name
	Incarnation uint32 // counts the machines asked for under this serial
	Revision    uint32 // of the role's content that its machine was made from
	Phase       Phase
	Machine     driver.State // what the back end said last; Gone when there is none
	Impl        uint8        // which implementation of the definition its machine uses
	Tried       uint8        // implementations that could not make its next machine
	Doubt       bool         // the creation was not answered: a machine may or may not exist
	Wish        Rest         // what a person asked its machine to rest in; Awake for none
	Ready       bool         // reported READY=YES
	Healthy     Health       // what its checks say
	Failing     []Time       // since when each of its checks fails, 0 for one that does not; nil when none does
	Hard        bool         // the removal skips the graceful part
	Overdue     bool         // the removal outlasted its deadline
	issued      bool         // the effect that this phase needs was handed out
	queued      bool         // in Service.todo
	changed     bool         // in Service.touched
	confirmed   bool         // its checks have spoken since it was loaded
	worn        bool         // a check failed for longer than it may
	Failures    uint16       // in a row
	Tries       uint16       // unanswered or refused calls of this phase
	ExitCode    int32
	Created     Time // the serial was given
	Since       Time // the phase began
	Until       Time // the phase's next timer; 0 for none
	Native      string
	Addresses   []string
	Reason      string
	Attributes  map[string]string
	Actions     []PendingAction

	role       *Role
	prev, next *Instance // in the role's list of this phase
	position   int32     // in role.order

	// Round is the keeper's mark: the round of listing in which the machine was last found.
	Round uint32
}

// A PendingAction is an action that waits for its time or for its answer.
type PendingAction struct {
	Serial uint32        `json:"serial"`
	Action driver.Action `json:"action"`
	Args   string        `json:"args,omitempty"`
	At     Time          `json:"at"`
	issued bool
}

// Health is what the checks of an instance say.
type Health uint8

// What checks say.
const (
	Unchecked Health = iota // no result yet
	Healthy
	Unhealthy
	Ailing // a check fails, and may for a while
	healths
)

// Role returns the role that the instance belongs to.
func (i *Instance) Role() *Role { return i.role }

// dead reports whether no machine of the instance can be running.
func (i *Instance) dead() bool {
	return i.Machine == driver.Gone || i.Machine == driver.Exited || i.Machine == driver.Failed
}

// live reports whether a machine of the instance runs or may run.
func (i *Instance) live() bool {
	switch i.Phase {
	case Queued, Backoff:
		return false
	case Creating:
		return true
	}
	return !i.dead()
}

// outdated reports whether an update still has to replace the instance's machine.
func (i *Instance) outdated() bool {
	switch i.Phase {
	case Queued, Backoff, Stopping, Replacing:
		return false
	}
	return i.Revision != i.role.Revision && !slices.Contains(i.role.Keeps, i.Revision)
}

// Outdated reports whether an update still has to replace the instance's machine.
func (i *Instance) Outdated() bool { return i.outdated() }

// MachineID returns the id of the instance's present machine.
func (s *Service) MachineID(i *Instance) driver.MachineID {
	return MachineID(s.ID, i.Serial, i.Incarnation)
}

// MachineID builds the id of a machine: "7-3-1" is the first machine of instance 3 of service 7.
func MachineID(service uint64, serial, incarnation uint32) driver.MachineID {
	var buf [48]byte
	b := strconv.AppendUint(buf[:0], service, 10)
	b = strconv.AppendUint(append(b, '-'), uint64(serial), 10)
	b = strconv.AppendUint(append(b, '-'), uint64(incarnation), 10)
	return driver.MachineID(b)
}

// ParseMachineID splits what MachineID built.
func ParseMachineID(id driver.MachineID) (service uint64, serial, incarnation uint32, ok bool) {
	a, rest, ok1 := strings.Cut(string(id), "-")
	b, c, ok2 := strings.Cut(rest, "-")
	if !ok1 || !ok2 {
		return 0, 0, 0, false
	}
	service, err1 := strconv.ParseUint(a, 10, 64)
	sn, err2 := strconv.ParseUint(b, 10, 32)
	in, err3 := strconv.ParseUint(c, 10, 32)
	return service, uint32(sn), uint32(in), err1 == nil && err2 == nil && err3 == nil
}

// UUID is the id of an instance in the form of a version 4 UUID. It follows from the ids of the installation and the
// service and from the serial, so that an instance keeps it and its successor has another.
func UUID(installation string, service uint64, serial uint32) string {
	space := uuid.NewHash(sha256.New(), uuid.Nil, []byte(installation), 4)
	return uuid.NewHash(sha256.New(), space, []byte(MachineID(service, serial, 0)), 4).String()
}

// serialsPerService spaces the numeric ids of instances: 7 000 000 003 is instance 3 of service 7.
const serialsPerService = 1_000_000_000

// NumericID is the instance's id as one number, for clients that need one (OneFlow's deploy_id).
func NumericID(service uint64, serial uint32) int64 {
	return int64(service)*serialsPerService + int64(serial)
}

// ParseNumericID splits what NumericID built.
func ParseNumericID(id int64) (service uint64, serial uint32) {
	return uint64(id / serialsPerService), uint32(id % serialsPerService)
}

// DefaultNamePattern names the instances of services that bring no pattern of their own.
const DefaultNamePattern = "$ROLE_NAME-$VM_NUMBER"

// InstanceName returns the instance's name by the service's pattern.
func (s *Service) InstanceName(i *Instance) string {
	pattern := s.Spec.NamePattern
	number := strconv.FormatUint(uint64(i.Number), 10)
	if pattern == "" || pattern == DefaultNamePattern {
		return i.role.Name + "-" + number
	}
	return strings.NewReplacer("$SERVICE_ID", strconv.FormatUint(s.ID, 10), "$SERVICE_NAME", s.Meta.Name,
		"$ROLE_NAME", i.role.Name, "$VM_NUMBER", number).Replace(pattern)
}

// DataName names the storage that a stable instance's machines share; "" for others.
func (s *Service) DataName(i *Instance) string {
	if i.role.Spec.Identity != Stable {
		return ""
	}
	return DataName(s.ID, i.role.Name, i.Number)
}

// DataName names the storage of one number of a stable role.
func DataName(service uint64, role string, number uint32) string {
	return strconv.FormatUint(service, 10) + "-" + role + "-" + strconv.FormatUint(uint64(number), 10)
}
