package service

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/troupe-dev/troupe/driver"
)

// A Record is one stored piece of a service. Together with the commit of its service record, each is
// the whole truth about what it covers.
type Record struct {
	Kind   RecordKind
	Number uint32 // SpecRecord: the revision; BlockRecord: the block
	Value  []byte // nil: delete it
}

// RecordKind says what a record holds.
type RecordKind uint8

// The kinds of record.
const (
	HeadRecord   RecordKind = iota // JSON of Service
	SpecRecord                     // JSON of Spec, one for each revision
	BlockRecord                    // up to 16 instances with neighbouring serials, binary
	OutputRecord                   // JSON of the outputs; they may be secret
)

// blockVersion is the first byte of a block: its encoding. Blocks of version 1, which lack the last fields of an
// instance, are read too.
const blockVersion = 2

// BlockOf returns the block that holds the instance with that serial.
func BlockOf(serial uint32) uint32 { return serial / blockSize }

// Changes returns the records that changed since the last call, nil when there are none. The caller commits them or drops the service and loads it again.
func (s *Service) Changes() []Record {
	if !s.head && !s.specs && len(s.blocks) == 0 { // outputs change with the head
		return nil
	}
	out := make([]Record, 0, len(s.blocks)+2)
	if s.head || s.specs {
		out = append(out, Record{Kind: HeadRecord, Value: s.encodeHead()})
	}
	if s.specs {
		v, err := json.Marshal(s.Spec)
		if err != nil {
			panic(fmt.Sprintf("service %d: its spec cannot be encoded: %v", s.ID, err)) // specs come from JSON
		}
		out = append(out, Record{Kind: SpecRecord, Number: s.Revision, Value: v})
	}
	if s.gives {
		out = append(out, Record{Kind: OutputRecord, Value: s.encodeOutputs()})
	}
	for _, b := range slices.Sorted(slices.Values(s.blocks)) {
		out = append(out, Record{Kind: BlockRecord, Number: b, Value: s.encodeBlock(b)})
	}
	s.head, s.specs, s.gives = false, false, false
	s.blocks = nil
	return out
}

// Changed returns the serials of the instances that changed since the last call; those that are no
// longer there have left.
func (s *Service) Changed() []uint32 {
	c := s.touched
	for _, serial := range c {
		if i := s.instances.find(serial); i != nil {
			i.changed = false
		}
	}
	s.touched = nil
	return c
}

// Events returns what happened since the last call.
func (s *Service) Events() []Event {
	e := s.events
	s.events = nil
	return e
}

func (s *Service) encodeHead() []byte {
	v, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("service %d cannot be encoded: %v", s.ID, err)) // plain data
	}
	return v
}

func (s *Service) encodeBlock(block uint32) []byte {
	var b []byte
	for serial := block * blockSize; serial < (block+1)*blockSize; serial++ {
		if i := s.instances.find(serial); i != nil {
			if b == nil {
				b = make([]byte, 1, 1024)
				b[0] = blockVersion
			}
			b = appendInstance(b, i)
		}
	}
	return b
}

const (
	flagDoubt = 1 << iota
	flagWish  // a person asked the machine to rest: in what stands in the bits above the flags
	flagReady
	flagHard
	flagOverdue
	wishShift = iota
)

func flags(i *Instance) (f uint64) {
	for n, on := range [...]bool{i.Doubt, i.Wish != Awake, i.Ready, i.Hard, i.Overdue} {
		if on {
			f |= 1 << n
		}
	}
	return f | uint64(i.Wish)<<wishShift
}

// wishOf reads what flags wrote. Blocks of earlier versions say that a machine rests and not in what.
func wishOf(f uint64, m driver.State) Rest {
	switch w := f >> wishShift; {
	case w > 0 && w < uint64(rests):
		return Rest(w)
	case f&flagWish == 0:
		return Awake
	case m == driver.Suspended:
		return RestSuspended
	case m == driver.Undeployed:
		return RestUndeployed
	}
	return RestPoweredOff
}

func appendInstance(b []byte, i *Instance) []byte {
	for _, v := range [...]uint64{uint64(i.Serial), uint64(i.role.ID), uint64(i.Number), uint64(i.Incarnation), uint64(i.Revision),
		uint64(i.Phase), uint64(i.Machine), uint64(i.Impl), flags(i), uint64(i.Healthy), uint64(i.Failures), uint64(i.Tries)} {
		b = binary.AppendUvarint(b, v)
	}
	for _, v := range [...]int64{int64(i.ExitCode), int64(i.Created), int64(i.Since), int64(i.Until)} {
		b = binary.AppendVarint(b, v)
	}
	b = appendText(appendText(b, i.Native), i.Reason)
	b = binary.AppendUvarint(b, uint64(len(i.Addresses)))
	for _, a := range i.Addresses {
		b = appendText(b, a)
	}
	b = binary.AppendUvarint(b, uint64(len(i.Attributes)))
	if len(i.Attributes) > 0 { // most have none, and sorting none allocates
		for _, k := range slices.Sorted(maps.Keys(i.Attributes)) {
			b = appendText(appendText(b, k), i.Attributes[k])
		}
	}
	b = binary.AppendUvarint(b, uint64(len(i.Actions)))
	for _, a := range i.Actions {
		b = binary.AppendUvarint(b, uint64(a.Serial))
		b = appendText(appendText(b, string(a.Action)), a.Args)
		b = binary.AppendVarint(b, int64(a.At))
	}
	b = binary.AppendUvarint(b, uint64(i.Tried))
	b = binary.AppendUvarint(b, uint64(len(i.Failing)))
	for _, t := range i.Failing {
		b = binary.AppendVarint(b, int64(t))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// DecodeBlock reads what a BlockRecord holds: instances and, beside each, the id of its role.
func DecodeBlock(b []byte) ([]*Instance, []uint16, error) {
	if len(b) == 0 {
		return nil, nil, errors.New("instance block: empty")
	}
	if b[0] == 0 || b[0] > blockVersion {
		return nil, nil, fmt.Errorf("instance block: encoding %d is not known; it was written by a newer version", b[0])
	}
	r := reader{b: b[1:], version: b[0]}
	var instances []*Instance
	var roles []uint16
	for len(r.b) > 0 && r.err == nil {
		i, role := r.instance()
		instances, roles = append(instances, i), append(roles, role)
	}
	if r.err != nil {
		return nil, nil, fmt.Errorf("instance block: %w", r.err)
	}
	return instances, roles, nil
}

type reader struct {
	b       []byte
	version byte
	err     error
}

var errShort = errors.New("damaged: it ends early")

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errShort
	}
	r.b = nil
}

func (r *reader) text() string {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	t := string(r.b[:n])
	r.b = r.b[n:]
	return t
}

// count reads the length of a list whose elements take a byte at least.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

// small reads a number that is no greater than most.
func (r *reader) small(most uint64) uint64 {
	v := r.uint()
	if v > most {
		r.err, r.b = fmt.Errorf("damaged: %d where %d is the most", v, most), nil
		return 0
	}
	return v
}

func (r *reader) uint32() uint32 { return uint32(r.small(math.MaxUint32)) }

func (r *reader) instance() (*Instance, uint16) {
	i := &Instance{Serial: r.uint32()}
	role := uint16(r.small(math.MaxUint16))
	i.Number, i.Incarnation, i.Revision = r.uint32(), r.uint32(), r.uint32()
	i.Phase, i.Machine, i.Impl = Phase(r.small(uint64(phases-1))), driver.State(r.small(uint64(driver.Gone))), uint8(r.small(math.MaxUint8))
	f := r.uint()
	i.Doubt, i.Wish, i.Ready = f&flagDoubt != 0, wishOf(f, i.Machine), f&flagReady != 0
	i.Hard, i.Overdue = f&flagHard != 0, f&flagOverdue != 0
	i.Healthy, i.Failures, i.Tries = Health(r.small(uint64(healths-1))), uint16(r.small(math.MaxUint16)), uint16(r.small(math.MaxUint16))
	i.ExitCode = int32(r.int())
	i.Created, i.Since, i.Until = Time(r.int()), Time(r.int()), Time(r.int())
	i.Native, i.Reason = r.text(), r.text()
	for n := r.count(); n > 0 && r.err == nil; n-- {
		i.Addresses = append(i.Addresses, r.text())
	}
	if n := r.count(); n > 0 {
		i.Attributes = make(map[string]string, min(n, 64))
		for ; n > 0 && r.err == nil; n-- {
			k := r.text()
			i.Attributes[k] = r.text()
		}
	}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		a := PendingAction{Serial: r.uint32(), Action: driver.Action(r.text()), Args: r.text(), At: Time(r.int())}
		i.Actions = append(i.Actions, a)
	}
	if r.version > 1 {
		i.Tried = uint8(r.small(math.MaxUint8))
		for n := r.count(); n > 0 && r.err == nil; n-- {
			i.Failing = append(i.Failing, Time(r.int()))
		}
	}
	return i, role
}

// Decode reads a service record; Load completes it.
func Decode(head []byte) (*Service, error) {
	s := new(Service)
	if err := json.Unmarshal(head, s); err != nil {
		return nil, fmt.Errorf("service record: %w", err)
	}
	if slices.Contains(s.Roles, nil) {
		return nil, errors.New("service record: damaged: it has a role without content")
	}
	if slices.Contains(s.Suppliers, nil) {
		return nil, errors.New("service record: damaged: it has a needed service without content")
	}
	if slices.Contains(s.Resources, nil) {
		return nil, errors.New("service record: damaged: it has a resource without content")
	}
	return s, nil
}

// Verdict returns the stored answer to the command with that id, and whether it was heard.
func (s *Service) Verdict(command string) (error, bool) {
	for _, v := range s.Verdicts {
		if v.ID == command && command != "" {
			if v.Refusal != nil {
				return v.Refusal, true
			}
			return nil, true
		}
	}
	return nil, false
}
