package render

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/service"
)

func TestCheck(t *testing.T) {
	for _, good := range []string{"", "plain", "{{ anything.at.all }}", "{% for x in roles.db %}{{ x.address }}{% endfor %}"} {
		if err := Check("x", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"{{ ", "{% if x %}", "{% include 'x' %}", "{{" + strings.Repeat(" ", MaxTemplate)} {
		if err, ok := Check("x", bad).(*Error); !ok || err.Name != "x" || err.Text == "" {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

func TestCheckSpec(t *testing.T) {
	bad := "fine\n{{ a b }}"
	s := &service.Spec{Roles: []service.RoleSpec{{}, {Machine: service.Machine{
		Env: map[string]string{"Y": bad, "X": "{{ x }}"}, Files: []service.File{{}, {Content: bad}}, UserData: bad,
		Checks: []service.Check{{TCP: bad}, {HTTP: bad}, {Exec: []string{"x", bad}}},
	}}}}
	problems, _ := service.AsProblems(CheckSpec(s))
	var places []string
	for _, p := range problems {
		places = append(places, strings.TrimPrefix(p.Path, "roles[1].machine."))
		if !strings.HasPrefix(p.Text, "line 2: ") {
			t.Errorf("%v", p)
		}
	}
	if got := strings.Join(places, " "); got != "env.Y files[1].content user_data checks[0].tcp checks[1].http checks[2].exec[1]" {
		t.Errorf("found at %s", got)
	}
	if err := CheckSpec(&service.Spec{Roles: make([]service.RoleSpec, 2)}); err != nil {
		t.Error(err)
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"{{ x }}", "{% if %}", "{{ x | f(1) }}", "{% for a in b %}{% endfor %}", "{#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := Check("x", text); err != nil && !strings.HasPrefix(err.Error(), "x: ") {
			t.Errorf("%q: %v", text, err)
		}
	})
}
