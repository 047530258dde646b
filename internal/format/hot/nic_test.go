package hot

import (
	"testing"

	"github.com/troupe-dev/troupe/internal/render"
)

// The second address of a server is that of its second network, or the first where its back end gives it one alone.
func TestSecondNetwork(t *testing.T) {
	tp := parse(t, `
heat_template_version: 2018-08-31
resources:
  a: {type: OS::Nova::Server, properties: {flavor: m1.tiny, networks: [{network: one}, {network: two}]}}
  b: {type: OS::Nova::Server, properties: {flavor: m1.tiny, user_data: {list_join: [" ", [{get_attr: [a, networks, one, 0]}, {get_attr: [a, networks, two, 0]}]]}}}
outputs: {o: {value: {get_attr: [a, networks]}}}
`, nil)
	spec, _ := compiled(t, tp, options("sim"))
	for want, addresses := range map[string][]string{"1.1.1.1 2.2.2.2": {"1.1.1.1", "2.2.2.2"}, "1.1.1.1 1.1.1.1": {"1.1.1.1"}} {
		scope := &render.Scope{Roles: map[string]render.Peers{"a": render.PeersOf([]render.Peer{{Address: addresses[0], Addresses: addresses}})}, Strict: true}
		if got, err := render.Text(t.Context(), "user_data", spec.Roles[1].Machine.UserData, scope); err != nil || got != want {
			t.Errorf("%q (%v), not %q", got, err, want)
		}
	}
}
