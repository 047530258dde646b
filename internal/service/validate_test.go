package service

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/policy"
)

// valid returns a specification without problems: a chain of three roles.
func valid() *Spec {
	machine := Machine{Implementations: []Implementation{{Driver: "process"}}}
	role := func(name string, parents ...string) RoleSpec {
		return RoleSpec{Name: name, Cardinality: 1, Parents: parents, Machine: machine, Heal: HealAuto, Identity: New}
	}
	return &Spec{Name: "shop", Strategy: Straight, Roles: []RoleSpec{role("db"), role("app", "db"), role("web", "app")}}
}

// nets returns networks: "a b" is one with name a that needs b.
func nets(lines ...string) (out []ResourceSpec) {
	for _, l := range lines {
		words := strings.Fields(l)
		out = append(out, ResourceSpec{Name: words[0], Kind: "network", Driver: "sim", Needs: words[1:]})
	}
	return out
}

func TestValidate(t *testing.T) {
	n := func(i int) *int { return &i }
	check := func(c Check) func(*Spec) {
		return func(s *Spec) { s.Roles[1].Machine.Checks = []Check{c} }
	}
	file := func(f ...File) func(*Spec) { return func(s *Spec) { s.Roles[0].Machine.Files = f } }
	for _, c := range []struct {
		name   string
		change func(*Spec)
		want   string // "" when valid; otherwise each line is a problem
	}{
		{"valid", func(*Spec) {}, ""},
		{"method", check(Check{HTTP: ":80/", Method: "POST"}), `roles[1].machine.checks[0].method: "POST" is none of GET, HEAD`},
		{"method of a port", check(Check{TCP: ":80", Method: "HEAD"}), `roles[1].machine.checks[0].method: only http checks have a method`},
		{"MySQL", check(Check{MySQL: &MySQL{Port: "{{ PORT }}"}}), ""},
		{"MySQL's port", check(Check{MySQL: &MySQL{Port: "mysql"}}), `roles[1].machine.checks[0].mysql.port: "mysql" is no port`},
		{"down", check(Check{Ping: true, Down: -1}), `roles[1].machine.checks[0].down: -1ns is less than 0s`},
		{"many checks", func(s *Spec) { s.Roles[1].Machine.Checks = slices.Repeat([]Check{{Ping: true}}, 65) }, `roles[1].machine.checks: 65 checks; 64 is the most`},
		{"no roles yet", func(s *Spec) { s.Roles = nil }, ""},
		{"zero instances", func(s *Spec) { s.Roles[0].Cardinality = 0 }, ""},
		{"no name", func(s *Spec) { s.Name = " " }, "name: a service needs a name"},
		{"long name", func(s *Spec) { s.Name = strings.Repeat("ä", 129) }, "name: the name has 129 characters; 128 is the most"},
		{"control in name", func(s *Spec) { s.Name = "a\nb" }, "name: the name holds a character that cannot be printed"},
		{"broken name", func(s *Spec) { s.Name = "a\xff" }, "name: the name holds a character that cannot be printed"},
		{"strategy", func(s *Spec) { s.Strategy = "strait" }, `strategy: "strait" is none of straight, none; did you mean "straight"?`},
		{"no strategy", func(s *Spec) { s.Strategy = "" }, `strategy: "" is none of straight, none`},
		{"on_failure", func(s *Spec) { s.OnFailure = "leave" }, `on_failure: "leave" is none of keep, rollback, abort`},
		{"retain", func(s *Spec) { s.Retain = -1 }, "retain: -1ns is less than 0s"},
		{"secret", func(s *Spec) { s.Inputs, s.Secrets = map[string]string{"PASS": ""}, []string{"PAS"} }, `secrets[0]: no input "PAS"; did you mean "PASS"?`},
		{"secret of a role", func(s *Spec) { s.Roles[1].Inputs, s.Secrets = map[string]string{"PASS": ""}, []string{"PASS"} }, ""},
		{"secret like a role's", func(s *Spec) { s.Roles[1].Inputs, s.Secrets = map[string]string{"PASS": ""}, []string{"PAS"} }, `secrets[0]: no input "PAS"; did you mean "PASS"?`},
		{"secret in a command", func(s *Spec) {
			s.Inputs, s.Secrets = map[string]string{"PASS": "", "USER": ""}, []string{"PASS"}
			s.Roles[1].Machine.Checks = []Check{{Exec: []string{"ask", "PASS={{ USER }}", "-p{{ inputs.PASS | lower }}"}}}
		}, `roles[1].machine.checks[0].exec[2]: the secret input "PASS" would show in the list of processes; let the command read it from a file or the environment`},
		{"no secret in a command", func(s *Spec) {
			s.Inputs, s.Secrets = map[string]string{"PASS": ""}, []string{"PASS"}
			s.Roles[1].Machine.Checks = []Check{{Exec: []string{"ask", "{{ PASSAGE }} PASS {# PASS #}"}}}
		}, ""},
		{"role name", func(s *Spec) { s.Roles[2].Name = "a b" }, `roles[2].name: "a b" is no name for a role: use letters, digits, _ and -`},
		{"role name with newline", func(s *Spec) { s.Roles[2].Name = "a\nb" }, `roles[2].name: "a\nb" is no name for a role: use letters, digits, _ and -`},
		{"no role name", func(s *Spec) { s.Roles[2].Name = "" }, `roles[2].name: a role needs a name`},
		{"long role name", func(s *Spec) { s.Roles[2].Name = strings.Repeat("a", 64) }, `roles[2].name: the name has 64 characters; 63 is the most`},
		{"same name", func(s *Spec) { s.Roles[2].Name = "db" }, `roles[2].name: "db" is already the name of roles[0]`},
		{"parent", func(s *Spec) { s.Roles[2].Parents = []string{"db", "ap"} }, `roles[2].parents[1]: no role "ap"; did you mean "app"?`},
		{"parent twice", func(s *Spec) { s.Roles[2].Parents = []string{"db", "db"} }, `roles[2].parents[1]: "db" is named twice`},
		{"self", func(s *Spec) { s.Roles[1].Parents = []string{"app"} }, `roles[1].parents[0]: role "app" needs itself`},
		{"circle", func(s *Spec) { s.Roles[0].Parents = []string{"web"} }, `roles[1].parents[0]: roles need each other in a circle: db → web → app → db`},
		{"resources", func(s *Spec) { s.Resources = nets("a", "b a"); s.Roles[0].Needs = []string{"a", "b"} }, ""},
		{"unknown need", func(s *Spec) { s.Resources = nets("net"); s.Roles[1].Needs = []string{"nett"} }, `roles[1].needs[0]: no resource "nett"; did you mean "net"?`},
		{"need twice", func(s *Spec) { s.Resources = nets("net"); s.Roles[1].Needs = []string{"net", "net"} }, `roles[1].needs[1]: "net" is named twice`},
		{"resource needs unknown", func(s *Spec) { s.Resources = nets("a bb", "b") }, `resources[0].needs[0]: no resource "bb"; did you mean "b"?`},
		{"resource needs itself", func(s *Spec) { s.Resources = nets("a a") }, `resources[0].needs[0]: resource "a" needs itself`},
		{"resources in a circle", func(s *Spec) { s.Resources = nets("a b", "b a") }, `resources[1].needs[0]: resources need each other in a circle: a → b → a`},
		{"resource named as a role", func(s *Spec) { s.Resources = nets("db") }, `resources[0].name: "db" is already the name of roles[0]`},
		{"resource named twice", func(s *Spec) { s.Resources = nets("a", "a") }, `resources[1].name: "a" is already the name of resources[0]`},
		{"empty resource", func(s *Spec) { s.Resources = []ResourceSpec{{Name: "a"}} },
			"resources[0].kind: nothing says what kind of resource it is; name one, such as network\nresources[0].driver: the driver has no name"},
		{"negative", func(s *Spec) { s.Roles[0].Cardinality = -1 }, "roles[0].cardinality: -1 is less than 0"},
		{"negative bounds", func(s *Spec) { s.Roles[0].Min, s.Roles[0].Max = n(-3), n(-2) }, "roles[0].min: -3 is less than 0\nroles[0].max: -2 is less than 0"},
		{"below", func(s *Spec) { s.Roles[0].Min = n(2) }, "roles[0].cardinality: 1 is less than the least (2)"},
		{"above", func(s *Spec) { s.Roles[0].Max = n(0) }, "roles[0].cardinality: 1 is more than the most (0)"},
		{"crossed", func(s *Spec) { s.Roles[0].Min, s.Roles[0].Max = n(3), n(2) }, "roles[0].max: the most (2) is less than the least (3)"},
		{"too many instances", func(s *Spec) { s.Roles[0].Cardinality = 2e6 }, "roles[0].cardinality: 2000000 instances; 1000000 is the most"},
		{"enums", func(s *Spec) {
			s.Roles[0].Heal, s.Roles[0].OnGone, s.Roles[0].Identity, s.Roles[0].Restart = "a", "b", "c", "nevr"
		}, "roles[0].heal: \"a\" is none of auto, manual\nroles[0].on_gone: \"b\" is none of replace, forget\nroles[0].identity: \"c\" is none of new, stable\nroles[0].restart: \"nevr\" is none of always, on-failure, never; did you mean \"never\"?"},
		{"times", func(s *Spec) { s.Roles[0].Cooldown, s.Roles[0].StopTimeout = -time.Second, -1 }, "roles[0].cooldown: -1s is less than 0s\nroles[0].stop_timeout: -1ns is less than 0s"},
		{"update", func(s *Spec) { s.Roles[0].Update = UpdatePolicy{Batch: -1, Surge: n(-1)} }, "roles[0].update.batch: -1 is less than 0\nroles[0].update.surge: -1 is less than 0"},
		{"no driver", func(s *Spec) { s.Roles[0].Machine.Implementations = nil }, "roles[0].machine.implementations: nothing says how the machine is made; name a driver"},
		{"nameless driver", func(s *Spec) { s.Roles[0].Machine.Implementations = []Implementation{{}} }, "roles[0].machine.implementations[0].driver: the driver has no name"},
		{"env", func(s *Spec) { s.Roles[0].Machine.Env = map[string]string{"A=B": ""} }, `roles[0].machine.env: "A=B" is no name of an environment variable`},
		{"absolute file", file(File{Path: "/etc/x"}), `roles[0].machine.files[0].path: "/etc/x" begins with /; paths are relative to the machine's root or working folder: write "etc/x"`},
		{"outside", file(File{Path: "../x"}), `roles[0].machine.files[0].path: "../x" must name a file below the machine's folder, without . and ..`},
		{"hidden outside", file(File{Path: "a/../../x"}), `roles[0].machine.files[0].path: "a/../../x" must name a file below the machine's folder, without . and ..`},
		{"file twice", file(File{Path: "x"}, File{Path: "x"}), `roles[0].machine.files[1].path: "x" is written twice`},
		{"mode", file(File{Path: "x", Mode: 0o10000}), `roles[0].machine.files[0].mode: 10000 is no file mode: write one such as 0640`},
		{"big file", file(File{Path: "x", Content: strings.Repeat("x", MaxText+1)}), `roles[0].machine.files[0].content: the file has 8388609 bytes; 8388608 is the most`},
		{"tcp", check(Check{TCP: "db:5432"}), ""},
		{"template", check(Check{TCP: "{{ roles.db[0].address }}:5432"}), ""},
		{"http", check(Check{HTTP: ":80/healthz", Status: 204}), ""},
		{"https", check(Check{HTTP: "https://example.org/"}), ""},
		{"no kind", check(Check{}), "roles[1].machine.checks[0]: a check is one of tcp, http, exec, mysql and ping; this one is 0 of them"},
		{"two kinds", check(Check{TCP: ":1", Ping: true}), "roles[1].machine.checks[0]: a check is one of tcp, http, exec, mysql and ping; this one is 2 of them"},
		{"no port", check(Check{TCP: "db"}), `roles[1].machine.checks[0].tcp: "db" is no address: write host:port or :port`},
		{"port 0", check(Check{TCP: ":0"}), `roles[1].machine.checks[0].tcp: ":0" is no address: write host:port or :port`},
		{"port 65536", check(Check{HTTP: ":65536/"}), `roles[1].machine.checks[0].http: ":65536/" is no address: write a URL or :port/path`},
		{"ftp", check(Check{HTTP: "ftp://x"}), `roles[1].machine.checks[0].http: "ftp://x" is no address: write a URL or :port/path`},
		{"status", check(Check{HTTP: ":80", Status: 99}), `roles[1].machine.checks[0].status: 99 is no HTTP status`},
		{"status of tcp", check(Check{TCP: ":80", Status: 200}), `roles[1].machine.checks[0].status: only http checks have a status`},
		{"check times", check(Check{Ping: true, Interval: -1, Failures: -1}), "roles[1].machine.checks[0].interval: -1ns is less than 0s\nroles[1].machine.checks[0].failures: -1 is less than 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := valid()
			c.change(s)
			got := ""
			if err := Validate(s); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestValidateMany(t *testing.T) {
	s := valid()
	for i := range MaxRoles + 1 {
		s.Roles = append(s.Roles, RoleSpec{Name: fmt.Sprint("r", i)})
	}
	if err := Validate(s); err == nil || !strings.Contains(err.Error(), "the service has 1004 roles; 1000 is the most") {
		t.Errorf("too many roles: %v", err)
	}

	// Every role needs every other: a million edges, and each closes a circle.
	s = valid()
	role := s.Roles[0]
	s.Roles = nil
	for i := range MaxRoles {
		role.Name = fmt.Sprint("r", i)
		s.Roles = append(s.Roles, role)
		role.Parents = append(slices.Clone(role.Parents), role.Name)
	}
	if err := Validate(s); err != nil {
		t.Fatalf("a graph without circles: %v", err)
	}
	last := s.Roles[MaxRoles-1].Name
	s.Roles[0].Parents = []string{last}
	problems, ok := AsProblems(Validate(s))
	if !ok || len(problems) == 0 || len(problems) > MaxProblems {
		t.Fatalf("circles: %d problems", len(problems))
	}
	if text := problems[0].Text; !strings.HasPrefix(text, "roles need each other in a circle: r0 → ") || !strings.HasSuffix(text, " → r0") {
		t.Error(text)
	}
}

// What a policy sets lies within the role's count; a start that has passed is told in the plan.
func TestPoliciesWithinCount(t *testing.T) {
	five := 5
	role := func(p policy.Policy) *Spec {
		r := RoleSpec{Name: "app", Cardinality: 1, Max: &five, Policies: []policy.Policy{p}}
		completeRole(&r)
		return &Spec{Name: "web", Strategy: Straight, Roles: []RoleSpec{r}}
	}
	past := &policy.Timed{Start: "2020-01-01 00:00", Zone: "UTC", Adjustment: policy.Adjustment{Kind: policy.Cardinality, Adjust: 5}}
	for want, p := range map[string]policy.Policy{
		"":                               {Timed: past},
		"scale: 50 instances are":        {Timed: &policy.Timed{Recurrence: "@daily", Adjustment: policy.Adjustment{Kind: policy.Cardinality, Adjust: 50}}},
		"fallback: 400 instances are":    {Target: &policy.Target{Value: "avg(m)", Keep: 1}, Fallback: &policy.Fallback{After: time.Minute, Cardinality: 400}},
		"steps: step 2 is never reached": {Steps: &policy.Steps{Value: "avg(m)", Steps: []policy.Step{{}, {}}}},
	} {
		err := Validate(role(p))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	plan := PlanNew(role(policy.Policy{Timed: past}), time.Now())
	if len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "role app: scheduled policy never comes: its start, 2020-01-01 00:00, has passed") {
		t.Errorf("warnings %q", plan.Warnings)
	}
}
