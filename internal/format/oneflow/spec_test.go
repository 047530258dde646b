package oneflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/internal/service"
)

func testOptions() Options {
	return Options{Settings: DefaultSettings(), Machine: func(id int) (service.Machine, error) {
		if id == 999 {
			return service.Machine{}, errors.New("no machine definition 999")
		}
		return service.Machine{ID: id, Name: "m", CPUs: 1, Implementations: []service.Implementation{{Driver: "sim"}},
			Env: map[string]string{"BASE": "b"}, Attributes: map[string]string{"NIC.0.NETWORK_ID": "7", "CONTEXT.BASE": "b", "FLAVOUR": "small"}}, nil
	}}
}

func toSpec(t testing.TB, b *Body) *service.Spec {
	t.Helper()
	spec, _, err := b.ToSpec(testOptions())
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestToSpec(t *testing.T) {
	b := parse(t, `{"name":"web","deployment":"straight","description":"d","shutdown_action":"shutdown-hard","ready_status_gate":true,
		"automatic_deletion":true,"on_hold":true,
		"user_inputs":{"PORT":"M|number|p||","PASS":"M|password|p||"},"user_inputs_values":{"PORT":80,"PASS":"s3 {{x}}"},
		"networks":{"Public":"M|network|x||id:"},"networks_values":[{"Public":{"id":5}}],
		"roles":[
		{"name":"db","type":"vm","template_id":3,"cardinality":2,"min_vms":1,"max_vms":4,"cooldown":10,"shutdown_action":"terminate","on_hold":true},
		{"name":"app","type":"vm","template_id":4,"cardinality":1,"parents":["db","db"],"user_inputs_values":{"PORT":"81"},
		 "template_contents":{"CPU":"0.5","MEMORY":"512","URL":"http://h:$PORT/$PORTS","NIC":[{"NETWORK_ID":"$Public"}],
		  "CONTEXT":{"DB":"${db.TEMPLATE.CONTEXT.ETH0_IP}","LB":"x${lb.NAME}y","SIZE":"$FLAVOUR","SELF":"$URL"}}}]}`)
	spec, warnings, err := b.ToSpec(testOptions())
	if err != nil {
		t.Fatal(err)
	}
	one, four := 1, 4
	machine, _ := testOptions().Machine(3)
	db, app := machine, machine
	db.Env = map[string]string{"BASE": "b", "PORT": "80", "PASS": `s3 {{ "{{" }}x}}`}
	db.Attributes = map[string]string{"NIC.0.NETWORK_ID": "7", "CONTEXT.BASE": "b", "FLAVOUR": "small", "PORT": "80", "PASS": "s3 {{x}}", "CONTEXT.PORT": "80", "CONTEXT.PASS": "s3 {{x}}"}
	app.ID, app.CPUs, app.Memory = 4, 0.5, 512<<20
	app.Env = map[string]string{"BASE": "b", "PORT": "81", "PASS": `s3 {{ "{{" }}x}}`, "DB": `{% for vm in roles["db"] if vm.addresses | length > 0 %}{% if loop.first %}{{ vm.addresses[0] }}{% endif %}{% endfor %}`, "LB": "xy", "SIZE": "small", "SELF": "http://h:81/$PORTS"}
	app.Attributes = map[string]string{"NIC.0.NETWORK_ID": "5", "CONTEXT.BASE": "b", "FLAVOUR": "small", "CPU": "0.5", "MEMORY": "512", "URL": "http://h:81/$PORTS",
		"PORT": "81", "PASS": "s3 {{x}}", "CONTEXT.PORT": "81", "CONTEXT.PASS": "s3 {{x}}", "CONTEXT.DB": "${db.TEMPLATE.CONTEXT.ETH0_IP}", "CONTEXT.LB": "xy", "CONTEXT.SIZE": "small", "CONTEXT.SELF": "http://h:81/$PORTS"}
	role := service.RoleSpec{Heal: service.HealManual, OnGone: service.Forget, Identity: service.New, Restart: service.Always,
		ReadyGate: true, ActionPeriod: time.Minute, ActionNumber: 1}
	r0, r1 := role, role
	r0.Name, r0.Cardinality, r0.Min, r0.Max, r0.Cooldown, r0.Hold, r0.Machine = "db", 2, &one, &four, 10*time.Second, true, db
	r1.Name, r1.Cardinality, r1.Parents, r1.Cooldown, r1.HardShutdown, r1.Machine = "app", 1, []string{"db"}, 300*time.Second, true, app
	r1.Inputs = map[string]string{"PORT": "81"}
	document, _ := b.MarshalJSON()
	want := &service.Spec{Name: "web", Description: "d", Strategy: service.Straight, Hold: true, AutoDelete: true, Format: "oneflow",
		NamePattern: DefaultSettings().NamePattern, Inputs: map[string]string{"PORT": "80", "PASS": "s3 {{x}}"}, Secrets: []string{"PASS"},
		Roles: []service.RoleSpec{r0, r1}, Document: json.RawMessage(document)}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Error(diff)
	}
	if got, want := fmt.Sprint(warnings), "[roles[1]: the reference ${lb.NAME} is empty: 'lb' is no parent of the role]"; got != want {
		t.Error(got)
	}
}

func TestToSpecErrors(t *testing.T) {
	for contents, want := range map[string]string{
		`{"CPU":"fast"}`:               "line 1, column 98: roles[0].template_contents.CPU: Role 'r' CPU: 'fast' is not a number of cores",
		`{"CPU":"NaN"}`:                "line 1, column 98: roles[0].template_contents.CPU: Role 'r' CPU: 'NaN' is not a number of cores",
		`{"CPU":0}`:                    "line 1, column 98: roles[0].template_contents.CPU: Role 'r' CPU: '0' is not a number of cores",
		`{"MEMORY":"much"}`:            "line 1, column 101: roles[0].template_contents.MEMORY: Role 'r' MEMORY: 'much' is not a number of MiB",
		`{"MEMORY":99999999999999999}`: "line 1, column 101: roles[0].template_contents.MEMORY: Role 'r' MEMORY: '99999999999999999' is not a number of MiB",
	} {
		b := parse(t, `{"name":"s","roles":[{"name":"r","type":"vm","template_id":1,         "template_contents":`+contents+`}]}`)
		if _, _, err := b.ToSpec(testOptions()); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", contents, err, want)
		}
	}
	b := parse(t, `{"name":"s","roles":[{"name":"r","vm_template":999}]}`)
	if _, _, err := b.ToSpec(testOptions()); err == nil || err.Error() != "line 1, column 48: roles[0].vm_template: Role 'r': no machine definition 999" {
		t.Error(err)
	}
	bomb := parse(t, `{"name":"s","user_inputs_values":{"A":"`+strings.Repeat("$B", 9000)+`","B":"`+strings.Repeat("$A", 9000)+`"},"roles":[{"name":"r","vm_template":1}]}`)
	if _, _, err := bomb.ToSpec(testOptions()); err == nil || !strings.Contains(err.Error(), "grows too long") {
		t.Error(err)
	}
}

func TestMemory(t *testing.T) {
	for text, want := range map[string]int64{"512": 512 << 20, "0.5": 512 << 10, "2G": 2 << 30, "2 gb": 2 << 30, "1T": 1 << 40, "64M": 64 << 20} {
		b := parse(t, `{"name":"s","roles":[{"name":"r","type":"vm","template_id":1,"template_contents":{"MEMORY":"`+text+`"}}]}`)
		if got := toSpec(t, b).Roles[0].Machine.Memory; got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

func TestBothGenerationsGiveTheSameSpec(t *testing.T) {
	for _, file := range []string{"05-lithops.yaml", "08-example-straight.json", "09-example-scal-with-comments.json", "10-oneke-127-vmgroup-update.json", "web-application.json"} {
		old := parse(t, string(template(t, "testdata/templates/"+file)))
		values := new(Object)
		for i, k := range old.root.Object("custom_attrs").Keys() {
			values.Set(k, fmt.Sprintf("value %d", i))
		}
		if len(values.Keys()) > 0 {
			old.root.Set("custom_attrs_values", values)
		}
		converted, err := old.In(New)
		if err != nil {
			t.Fatal(err)
		}
		if converted.Generation() != New {
			t.Fatal("not converted")
		}
		a, b := toSpec(t, old), toSpec(t, converted)
		a.Document, b.Document = nil, nil
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
	// Written by hand in both.
	old := parse(t, `{"name":"s","custom_attrs":{"P":"M|password|x||"},"custom_attrs_values":{"P":"v"},"roles":[{"name":"r","cardinality":1,"vm_template":"2",
		"custom_attrs_values":{"Q":"w"},"vm_template_contents":"MEMORY=64\nNIC=[NETWORK_ID=\"3\"]\nCONTEXT=[A=\"$P\",B=\"$Q x\"]"}]}`)
	young := parse(t, `{"name":"s","user_inputs":{"P":"M|password|x||"},"user_inputs_values":{"P":"v"},"roles":[{"name":"r","type":"vm","cardinality":1,"template_id":2,
		"user_inputs_values":{"Q":"w"},"template_contents":{"MEMORY":64,"NIC":[{"NETWORK_ID":3}],"CONTEXT":{"A":"$P","B":"$Q x"}}}]}`)
	a, b := toSpec(t, old), toSpec(t, young)
	a.Document, b.Document = nil, nil
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
}

func TestAppendKeepsTheDefinitionsVectors(t *testing.T) {
	b := parse(t, `{"name":"s","roles":[{"name":"r","vm_template":1,"vm_template_contents":"APPEND=\"NIC, FLAVOUR\"\nNIC=[NETWORK_ID=8]\nNIC=[NETWORK_ID=9]"}]}`)
	got := toSpec(t, b).Roles[0].Machine.Attributes
	want := map[string]string{"NIC.0.NETWORK_ID": "7", "NIC.1.NETWORK_ID": "8", "NIC.2.NETWORK_ID": "9", "CONTEXT.BASE": "b", "FLAVOUR": "small"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestToSpecWarnings(t *testing.T) {
	b := parse(t, `{"name":"s","networks_values":[{"N":{"template_id":1}}],"roles":[{"name":"v","type":"vr","template_id":1,"min_vms":3,"cooldown":1,"template_contents":{"A":"$N"}}]}`)
	spec, warnings, err := b.ToSpec(testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(warnings); got != "[networks_values[0].N: which driver makes it is not known here: the network is not made, and $N stays as it is; give the id of one that exists roles[0]: a virtual router runs as a plain machine]" {
		t.Error(got)
	}
	if r := spec.Roles[0]; r.Min != nil || r.Cooldown != 300*time.Second || r.Machine.Attributes["A"] != "$N" {
		t.Errorf("%+v", r)
	}
}

func TestReferences(t *testing.T) {
	text := "a ${vnf.TEMPLATE.CONTEXT.ETH1_IP} ${x.y}$Z ${bad}"
	if got := fmt.Sprint(References(text)); got != "[{vnf TEMPLATE.CONTEXT.ETH1_IP} {x Y}]" {
		t.Error(got)
	}
}

func TestOctet(t *testing.T) {
	for _, c := range []struct {
		in   any
		want uint16
		ok   bool
	}{
		{"640", 0o640, true}, {"40", 0o040, true}, {json.Number("40"), 0o040, true}, {json.Number("777"), 0o777, true}, {"0", 0, true},
		{"648", 0, false}, {"0640", 0, false}, {"", 0, false}, {nil, 0, false}, {true, 0, false}, {json.Number("6.4"), 0, false}, {"-64", 0, false},
	} {
		if got, err := ParseOctet(c.in); got != c.want || (err == nil) != c.ok {
			t.Errorf("%v: %o %v", c.in, got, err)
		}
	}
}
