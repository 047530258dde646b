//go:build linux

package openstack

import (
	"errors"
	"testing"

	"github.com/troupe-dev/troupe/driver"
)

const wholeTemplate = `
heat_template_version: 2018-08-31
parameters:
  net: {type: string}
  count: {type: number, default: 1}
resources:
  port: {type: OS::Neutron::Port, properties: {network: {get_param: net}}}
  server:
    type: OS::Nova::Server
    properties: {image: tiny, flavor: m1.tiny, networks: [{port: {get_resource: port}}], user_data_format: RAW, user_data: {get_file: start.sh}}
outputs:
  address: {value: {get_attr: [server, first_address]}}
  count: {value: {get_param: count}}
`

// TestStack makes a stack on a real Heat, changes it, finds it again and removes it.
func TestStack(t *testing.T) {
	s := newStage(t, nil)
	stacks, ok := driver.As[driver.StackDriver](s.d)
	if !ok {
		t.Fatal("the driver is no StackDriver")
	}
	req := driver.StackRequest{ID: "4-r1", Service: "4", Key: "shop", Template: wholeTemplate, Parameters: map[string]string{"net": "private"}, Files: map[string]string{"start.sh": "#!/bin/sh\n"}, Generation: 5}
	await := func(outputs ...string) (v driver.Stack) {
		t.Helper()
		s.until(func() (err error) {
			if v, err = stacks.ShowStack(s.ctx(), req.ID); err == nil && v.State == driver.Failed {
				t.Fatalf("the stack has failed: %s", v.Reason)
			}
			if err == nil && v.State != driver.Running {
				err = errors.New("the stack is not there yet: " + v.Reason)
			}
			return err
		})
		for n := 0; n+1 < len(outputs); n += 2 {
			if v.Outputs[outputs[n]] != outputs[n+1] {
				t.Errorf("output %s is %q, want %q", outputs[n], v.Outputs[outputs[n]], outputs[n+1])
			}
		}
		return v
	}
	made, err := stacks.CreateStack(s.ctx(), req)
	s.must(err)
	if again, err := stacks.CreateStack(s.ctx(), req); err != nil || again.Native != made.Native || again.Native == "" {
		t.Errorf("made again it is %q beside %q, %v", again.Native, made.Native, err)
	}
	whole := await("count", "1")
	if whole.Outputs["address"] == "" || whole.Generation != 5 || whole.ID != req.ID {
		t.Errorf("the stack is %+v", whole)
	}
	req.Parameters["count"] = "3"
	_, err = stacks.UpdateStack(s.ctx(), req)
	s.must(err)
	s.until(func() error {
		if v, err := stacks.ShowStack(s.ctx(), req.ID); err != nil || v.Outputs["count"] != "3" {
			return errors.Join(err, errors.New("the stack has not changed"))
		}
		return nil
	})
	if changed := await(); changed.Outputs["address"] != whole.Outputs["address"] {
		t.Errorf("the update has replaced the server: %v, before %v", changed.Outputs, whole.Outputs)
	}
	n := 0
	for v, err := range stacks.ListStacks(s.ctx()) {
		if n++; err != nil || v.ID != req.ID || v.Native != made.Native {
			t.Errorf("the list shows %+v, %v", v, err)
		}
	}
	if n != 1 {
		t.Errorf("the list shows %d stacks", n)
	}
	for range 2 { // removing what is gone is no error
		s.must(stacks.DeleteStack(s.ctx(), req.ID))
	}
	if _, err := stacks.ShowStack(s.ctx(), req.ID); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("removed, the stack shows %v", err)
	}
	for name, bad := range map[string]driver.StackRequest{
		"no template": {ID: "4-r2", Template: " "}, "nonsense": {ID: "4-r3", Template: "heat_template_version: 2018-08-31\nresources: {a: {type: OS::No::Such}}\n"},
		"a parameter that lacks": {ID: "4-r4", Template: wholeTemplate},
	} {
		if _, err := stacks.CreateStack(s.ctx(), bad); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
