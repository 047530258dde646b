package all_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/all"
)

func TestFind(t *testing.T) {
	kinds := all.Kinds()
	for _, name := range []string{"process", "docker", "openstack", "sim"} {
		if k, err := kinds.Find(name); err != nil || k.Name != name {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	for name, says := range map[string]string{"proces": `did you mean "process"?`, "vmware": "there are process, docker, openstack, sim"} {
		if _, err := kinds.Find(name); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
}

func TestNamesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range all.Kinds() {
		if seen[k.Name] {
			t.Errorf("two drivers are called %s", k.Name)
		}
		seen[k.Name] = true
	}
}
