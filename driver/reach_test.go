package driver_test

import (
	"testing"

	"github.com/troupe-dev/troupe/driver"
)

func TestReachesHost(t *testing.T) {
	options := []driver.Option{
		{Name: "image", Type: driver.String}, {Name: "privileged", Type: driver.Bool, Default: false, HostAccess: true},
		{Name: "binds", Type: driver.List, HostAccess: true}, {Name: "driver", Type: driver.String, Default: "bridge", HostAccess: true},
	}
	k := &driver.Kind{Name: "x", Options: options}
	for _, c := range []struct {
		options map[string]any
		want    string
	}{
		{nil, ""},
		{map[string]any{"image": "x", "privileged": nil}, ""},
		{map[string]any{"privileged": "no", "binds": []any{}, "driver": "bridge"}, ""},
		{map[string]any{"privileged": true}, `option "privileged"`},
		{map[string]any{"privileged": "yes"}, `option "privileged"`},
		{map[string]any{"privileged": 7}, `option "privileged"`}, // wrong, but not without meaning for certain
		{map[string]any{"binds": []any{"/:/x"}}, `option "binds"`},
		{map[string]any{"driver": "macvlan"}, `option "driver"`},
	} {
		if got := k.ReachesHost(c.options); got != c.want {
			t.Errorf("%v: %q, want %q", c.options, got, c.want)
		}
		if got := (&driver.ResourceKind{Options: options}).ReachesHost(c.options); got != c.want {
			t.Errorf("resource, %v: %q, want %q", c.options, got, c.want)
		}
	}
	k.HostAccess = true
	if got := k.ReachesHost(nil); got != "driver x" {
		t.Errorf("%q", got)
	}
}
