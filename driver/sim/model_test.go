package sim_test

import (
	"maps"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
)

// Whatever is done to it, a back end holds what a map would hold, and so does the file that it keeps.
func TestModel(t *testing.T) {
	values := account(t, map[string]any{"persist": true})
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		cfg := driver.Config{Dir: dir, Installation: "i", Values: values}
		d := open(t, sim.Kind(), cfg)
		model := map[driver.MachineID]driver.State{}
		machine := rapid.IntRange(0, 9)
		r.Repeat(map[string]func(*rapid.T){
			"create": func(r *rapid.T) {
				i := machine.Draw(r, "machine")
				m := create(t, d, i, nil)
				if _, known := model[id(i)]; !known {
					model[id(i)] = driver.Running
				}
				if m.State != model[id(i)] {
					r.Fatalf("create returned %s, want %s", m.State, model[id(i)])
				}
			},
			"destroy": func(r *rapid.T) {
				i := machine.Draw(r, "machine")
				if err := d.Destroy(r.Context(), driver.Ref{ID: id(i)}, driver.Hard); err != nil {
					r.Fatal(err)
				}
				delete(model, id(i))
			},
			"act": func(r *rapid.T) {
				i := machine.Draw(r, "machine")
				action := rapid.SampledFrom([]driver.Action{driver.Stop, driver.Undeploy, driver.Suspend, driver.Resume}).Draw(r, "action")
				err := as[driver.Actor](d).Act(r.Context(), driver.Ref{ID: id(i)}, action, "", "")
				now, known := model[id(i)]
				allowed := known && (action != driver.Suspend || now == driver.Running || now == driver.Suspended)
				if (err == nil) != allowed {
					r.Fatalf("%s of a machine that is %s: %v", action, now, err)
				}
				if allowed {
					model[id(i)] = map[driver.Action]driver.State{
						driver.Stop: driver.Stopped, driver.Undeploy: driver.Undeployed, driver.Suspend: driver.Suspended, driver.Resume: driver.Running,
					}[action]
				}
			},
			"restart": func(*rapid.T) { d = open(t, sim.Kind(), cfg) },
			"": func(r *rapid.T) {
				got := map[driver.MachineID]driver.State{}
				addresses := map[string]bool{}
				for id, m := range list(t, d) {
					got[id], addresses[m.Addresses[0]] = m.State, true
				}
				if diff := cmp.Diff(model, got); diff != "" || len(addresses) != len(model) {
					r.Fatalf("%d addresses of %d machines; states:\n%s", len(addresses), len(model), diff)
				}
			},
		})
	})
}

// FuzzJournal: whatever is in the file, opening it ends with the machines or an error.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"tenant":"i","id":"1-1-1","state":3,"address":"10.0.0.1","created":1,"changed":1,"serial":1}` + "\n"))
	f.Add([]byte(`{"tenant":"i","id":"1-1-1","state":1,"details":{"boot":-1,"exit_after":5}}` + "\n{\n"))
	f.Add([]byte(`{"tenant":"i","id":"1-1-1","state":200,"double":7}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/sim-default.jsonl", text, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := driver.Config{Dir: dir, Installation: "i", Values: maps.Clone(account(t, map[string]any{"persist": true}))}
		if d, err := sim.Kind().New(t.Context(), cfg); err == nil {
			list(t, d)
		}
	})
}

func as[T any](d driver.Driver) T { t, _ := driver.As[T](d); return t }
