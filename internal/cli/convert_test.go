package cli

import (
	"slices"
	"testing"
)

func TestLost(t *testing.T) {
	got := lost([]byte(`{"networks":{"a":"M|network|| |id:"},"roles":[{"name":"x"},{"name":"y","elasticity_policies":[{}],"scheduled_policies":[]}]}`))
	want := []string{"networks: left out: those that exist are written where they are used; describe those to be made under resources"}
	if !slices.Equal(got, want) {
		t.Errorf("lost %q", got)
	}
	if got := lost([]byte(`{"roles":[{"name":"x"}]}`)); got != nil {
		t.Errorf("lost %q of a plain template", got)
	}
}
