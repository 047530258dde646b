package service

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/troupe-dev/troupe/driver"
)

// fullInstance has a value in every field that is stored.
func fullInstance() *Instance {
	return &Instance{Serial: 17, Number: 3, Incarnation: 2, Revision: 4, Phase: Replacing, Machine: driver.Suspended, Impl: 1,
		Doubt: true, Wish: RestStopped, Ready: true, Healthy: Ailing, Tried: 2, Failing: []Time{0, 11}, Hard: true, Overdue: true, Failures: 5, Tries: 6, ExitCode: -9,
		Created: 7, Since: 8, Until: 9, Native: "vm-1", Addresses: []string{"10.0.0.1", "fe80::1"}, Reason: "so",
		Attributes: map[string]string{"READY": "YES", "b": ""}, Actions: []PendingAction{{Serial: 2, Action: driver.Reboot, Args: "x", At: 10}},
		role: &Role{ID: 300}}
}

func encodeInstances(instances []*Instance, roles []uint16) []byte {
	b := []byte{blockVersion}
	for n, i := range instances {
		i.role = &Role{ID: roles[n]}
		b = appendInstance(b, i)
	}
	return b
}

func TestBlockKeepsEveryField(t *testing.T) {
	want := fullInstance()
	got, roles, err := DecodeBlock(encodeInstances([]*Instance{want}, []uint16{300}))
	if err != nil || len(got) != 1 || roles[0] != 300 {
		t.Fatalf("%v %v %v", got, roles, err)
	}
	if d := cmp.Diff(want, got[0], cmpopts.IgnoreUnexported(Instance{}, PendingAction{})); d != "" {
		t.Error(d)
	}
}

// Blocks that were written before instances had those fields are still read.
func TestBlockOfVersion1(t *testing.T) {
	want := fullInstance()
	want.Tried, want.Failing = 0, nil
	b := encodeInstances([]*Instance{want}, []uint16{300})
	b = b[:len(b)-2] // the two fields
	b[0] = 1
	got, roles, err := DecodeBlock(b)
	if err != nil || len(got) != 1 || roles[0] != 300 {
		t.Fatalf("%v %v %v", got, roles, err)
	}
	if d := cmp.Diff(want, got[0], cmpopts.IgnoreUnexported(Instance{}, PendingAction{})); d != "" {
		t.Error(d)
	}
}

func TestDamagedRecords(t *testing.T) {
	good := encodeInstances([]*Instance{fullInstance()}, []uint16{1})
	for n := 1; n < len(good); n++ { // the first byte alone is a block without instances
		if _, _, err := DecodeBlock(good[:n]); n > 1 && (err == nil || !strings.Contains(err.Error(), "ends early")) {
			t.Errorf("a block cut to %d bytes: %v", n, err)
		}
	}
	for text, b := range map[string][]byte{"empty": {}, "newer version": {blockVersion + 1}, "65535 is the most": append([]byte{blockVersion, 1}, 0xff, 0xff, 0xff, 0x7f)} {
		if _, _, err := DecodeBlock(b); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v, not %q", b, err, text)
		}
	}
	for _, text := range []string{"", "{", `{"roles":[null]}`, `{"id":-1}`, `[]`} {
		if _, err := Decode([]byte(text)); err == nil {
			t.Errorf("%q is accepted as a service", text)
		}
	}
}

func FuzzDecodeBlock(f *testing.F) {
	f.Add(encodeInstances([]*Instance{fullInstance()}, []uint16{1}))
	f.Add(encodeInstances([]*Instance{{Serial: 1}, {Serial: 2}}, []uint16{1, 2}))
	f.Add([]byte{blockVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		instances, roles, err := DecodeBlock(b)
		if err != nil {
			return
		}
		once := encodeInstances(instances, roles)
		instances, roles, err = DecodeBlock(once)
		if err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v", err)
		}
		if twice := encodeInstances(instances, roles); !bytes.Equal(once, twice) {
			t.Errorf("%x is encoded as %x, and that as %x", b, once, twice)
		}
	})
}

func FuzzDecode(f *testing.F) {
	spec := roleOf(2)
	f.Add(NewService(7, spec, Meta{Name: "x"}, epoch).encodeHead())
	s := running(f, 8, spec)
	_ = s.Observe(Fact{Kind: Ordered, Command: &Command{ID: "a", Scale: &Scale{Role: "none"}}}, epoch)
	s.Decide(epoch)
	f.Add(s.encodeHead())
	f.Add([]byte(`{"roles":[{"id":1},{"id":1}],"state":200,"leaving":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			return
		}
		once := s.encodeHead()
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v", err)
		}
		if twice := again.encodeHead(); !bytes.Equal(once, twice) {
			t.Errorf("%s becomes %s", once, twice)
		}
	})
}
