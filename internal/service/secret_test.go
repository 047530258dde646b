package service

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver"
)

func TestMask(t *testing.T) {
	spec := &Spec{Secrets: []string{"PASS", "LONG", "PIN", "KEY"}, Inputs: map[string]string{"PASS": "s3cret", "LONG": "s3cret/and more", "PIN": "123", "HOST": "example.org"}}
	role := &RoleSpec{Inputs: map[string]string{"KEY": "of-the-role", "PASS": "another"}}
	for _, c := range []struct {
		name, text, want string
		role             *RoleSpec
	}{
		{"none", "http example.org: status 500", "http example.org: status 500", role},
		{"service's", "http :80/?p=s3cret: status 500", "http :80/?p=(secret): status 500", nil},
		{"overlaid", "s3cret another", "(secret) (secret)", role},
		{"role's", "key of-the-role", "key (secret)", role},
		{"not this role's", "key of-the-role", "key of-the-role", nil},
		{"longest first", "<s3cret/and more>", "<(secret)>", nil},
		{"in a query", "?p=s3cret%2Fand+more", "?p=(secret)", nil},
		{"in a path", "/s3cret/and%20more", "/(secret)", nil},
		{"short", "123 tries", "123 tries", nil},
		{"empty", "", "", role},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Mask(spec, c.role, c.text); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// What probes and drivers say reaches neither the state nor the story with a secret in it.
func TestFactsAreMasked(t *testing.T) {
	spec := &Spec{Secrets: []string{"PASS"}, Inputs: map[string]string{"PASS": "topSECRETxx"}}
	s := &Service{Spec: spec}
	told := &driver.Resource{Reason: "bad topSECRETxx"}
	f := s.masked(Fact{Kind: Made, Err: "no topSECRETxx", Reason: "got topSECRETxx", Machine: driver.Machine{Reason: "topSECRETxx"}, Resource: told})
	for _, text := range []string{f.Err, f.Reason, f.Machine.Reason, f.Resource.Reason} {
		if strings.Contains(text, "SECRET") || !strings.Contains(text, Hidden) {
			t.Errorf("told %q", text)
		}
	}
	if told.Reason != "bad topSECRETxx" {
		t.Error("masking changed what it was given")
	}
}

func TestObserveMasks(t *testing.T) {
	spec := valid()
	spec.Roles = spec.Roles[:1]
	spec.Secrets, spec.Roles[0].Inputs = []string{"PASS"}, map[string]string{"PASS": "topSECRETxx"}
	w := newWorld(spec)
	serial := w.sortedSerials()[0]
	i := w.svc.Instance(serial)
	_ = w.tell(Fact{Kind: Created, Serial: serial, Incarnation: i.Incarnation, Machine: driver.Machine{State: driver.Running}})
	_ = w.tell(Fact{Kind: Checked, Serial: serial, Incarnation: i.Incarnation, Health: Unhealthy, Reason: "http :80/?p=topSECRETxx: status 500"})
	if i := w.svc.Instance(serial); i == nil || !strings.HasSuffix(i.Reason, "http :80/?p=(secret): status 500") {
		t.Errorf("the instance is %+v", i)
	}
	if story := storyOf(w); strings.Contains(story, "SECRET") {
		t.Error(story)
	}
}
