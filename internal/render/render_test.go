package render

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
)

func scope() *Scope {
	return &Scope{
		Service: Service{Name: "shop", ID: "7"}, Role: Role{Name: "app", Number: 2},
		Instance: Instance{Name: "app-1", ID: "7-3", Number: 1, Address: "127.0.0.9"},
		Roles: map[string]Peers{"db": PeersOf([]Peer{
			{Name: "db-0", Number: 0, Address: "127.0.0.2", Addresses: []string{"127.0.0.2", "::2"}, Attributes: map[string]string{"PORT": "5432"}},
			{Name: "db-1", Number: 1, Address: "127.0.0.3", Addresses: []string{"127.0.0.3"}},
		})},
		Inputs: map[string]string{"VERSION": "1.10", "service": "hidden", "N": "3"},
		Keys:   map[string]any{"node_id": "x"},
	}
}

func TestText(t *testing.T) {
	for template, want := range map[string]string{
		"":                                  "",
		"plain { text } \n":                 "plain { text } \n",
		"{":                                 "{",
		"{{ service.name }}\n":              "shop\n",
		"{{ service.inputs.VERSION }}":      "1.10",
		"{{ VERSION }}-{{ node_id }}":       "1.10-x",
		"{{ inputs.service }}":              "hidden",
		"{{ roles.db[0].address }}":         "127.0.0.2",
		"{{ roles.db[1].number }}":          "1",
		"{{ roles.db[0].addresses[1] }}":    "::2",
		"{{ roles.db[0].attributes.PORT }}": "5432",
		"{% for d in roles.db %}{{ d.address }}{% if not loop.last %},{% endif %}{% endfor %}": "127.0.0.2,127.0.0.3",
		"{{ roles.db | map(attribute='address') | join(',') }}":                                "127.0.0.2,127.0.0.3",
		"{{ role.name }} {{ role.number }} {{ instance.number + 1 }}":                          "app 2 2",
		"{# comment #}x":                                                "x",
		"[{{ missing }}]":                                               "[]",
		"{{ missing | default('d') }}":                                  "d",
		"{{ None }}":                                                    "None",
		"{{ 'abab'.replace('a', 'c') }}":                                "cbcb",
		"{{ 'abab'.replace('a', 'c', 1) }}":                             "cbab",
		"{{ 'abab' | replace('a', 'c') }}":                              "cbcb",
		`{{ {'a': [1, 'b,c:"d']} | tojson }}`:                           `{"a": [1, "b,c:\"d"]}`,
		"{{ [1, 2] | tojson(indent=1) }}":                               "[\n 1,\n 2\n]",
		"{{ '%s-%d' | format('a', 3) }}":                                "a-3",
		"{{ 2 * 3 + 4 }} {{ 'ab' * 2 }} {{ 7 % 4 }}":                    "10 abab 3",
		"{{ 0 * 3 }} {{ '' ~ '' }} {{ 1.5 + 1 }}":                       "0  2.5",
		"{{ [1] + [2] }}":                                               "[1, 2]",
		"{{ 'a' ~ 1 }} {{ 'a' + 'b' }}":                                 "a1 ab",
		"{% set x = 'a' %}{{ x if x else 'b' }}":                        "a",
		"{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f(1) }}{{ f('b') }}": "<1><b>",
		"{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}x{% endcall %}":                           "<x>",
		"{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}": "3",
		"{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}":                                                   "531",
		"{% for i in range(0) %}{% else %}none{% endfor %}":                                                   "none",
		"{% filter upper %}abc{{ 'd' }}{% endfilter %}":                                                       "ABCD",
		"{% raw %}{{ x }}{% endraw %}":                                                                        "{{ x }}",
		"{{ roles.db | length }}":                                                                             "2",
		"{% set a %}b{% endset %}{{ a }}":                                                                     "b",
		"{{ 'a,b'.split(',') | join('-') | upper }}":                                                          "A-B",
		"{{ roles.db[0] }} {{ roles.db[0]['name'] }} {{ roles.db | map(attribute='name') | list }}":           "db-0 db-0 ['db-0', 'db-1']",
		"{{ roles.db[1] | tojson }}":                                                                          `{"address": "127.0.0.3", "addresses": ["127.0.0.3"], "attributes": null, "name": "db-1", "number": 1}`,
		"{% for d in roles.db | selectattr('number', 'eq', 1) %}{{ d.name }}{% endfor %}":                     "db-1",
		"{% for k, v in roles.db[0].attributes.items() %}{{ k }}={{ v }}{% endfor %}":                         "PORT=5432",
		"{{ roles.db[0].attributes.get('X', 'none') }} {{ roles.none | default('-') }}":                       "none -",
		"{% if VERSION is defined and 'x' not in VERSION %}y{% endif %}":                                      "y",
	} {
		got, err := Text(t.Context(), "t", template, scope())
		if err != nil || got != want {
			t.Errorf("%s\n got %q, %v\nwant %q", template, got, err, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	strict := scope()
	strict.Strict = true
	for _, c := range []struct {
		template, want string
		scope          *Scope
	}{
		{"a\n{{ x", "t: line 2: ", scope()},
		{"a\n\n{% if %}", "t: line 3: expected a value", scope()},
		{"{% nope %}", "nope", scope()},
		{"{{ 1 | nope }}", "nope", scope()},
		{"a\n{{ '%s %s' % 'x' }}", "t: line 2: the format has more places than there are values", scope()},
		{"{{ 1 % 0 }}", "division by zero", scope()},
		{"{{ missing.x }}", "t: ", scope()},
		{"{{ VERSON }}", `t: line 1: no value "VERSON"; did you mean "VERSION"?`, strict},
		{"x\n{{ instance.adress }}", `t: line 2: no value "adress"; did you mean "address"?`, strict},
		{"{{ roles.bd }}", `no value "bd"; did you mean "db"?`, strict},
		{"{{ [1, 2] | random }}", "random is not there", scope()},
		{"{{ range('x') }}", "range takes", scope()},
		{"{{ range(1, 2, 0) }}", "the step of a range is 0", scope()},
	} {
		_, err := Text(t.Context(), "t", c.template, c.scope)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.template, err, c.want)
		}
	}
	if got, err := Text(t.Context(), "t", "{{ missing | default('d') }}{% if missing is defined %}x{% endif %}", strict); got != "d" || err != nil {
		t.Errorf("strict default: %q, %v", got, err)
	}
}

// No template reaches a file, by whatever statement or function.
func TestNoFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("top secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, template := range []string{
		"{% include '" + secret + "' %}", "{% include ['none', '" + secret + "'] %}", "{% include '" + secret + "' ignore missing %}",
		"{% set p = '" + secret + "' %}{% include p %}", "{% extends '" + secret + "' %}", "{% import '" + secret + "' as x %}{{ x }}",
		"{% from '" + secret + "' import a %}", "{% block a %}{% endblock %}", "{% if true %}{% include '" + secret + "' %}{% endif %}",
		"{% macro f() %}{% include '" + secret + "' %}{% endmacro %}{{ f() }}", "{% include 'template' %}", "{% raw %}{% endraw %}{% include '" + secret + "' %}",
		"{{ open('" + secret + "') }}", "{{ self.__init__ }}", "{{ ''.__class__.__mro__ }}", "{{ include('" + secret + "') }}",
	} {
		got, err := Text(t.Context(), "t", template, scope())
		if strings.Contains(got, "secret") || err == nil && got != "" {
			t.Errorf("%s: %q", template, got)
		}
		if err != nil && strings.Contains(err.Error(), "top secret") {
			t.Errorf("%s: %v", template, err)
		}
	}
}

// doubled doubles a value sixty times.
var doubled = "{% set a = 'xxxxxxxx' %}" + strings.Repeat("{% set a = a OP a %}", 60) + "{{ a }}"

// What would take all memory or time ends soon, with an error.
func TestLimits(t *testing.T) {
	for name, template := range map[string]string{
		"repeat":             "{{ 'x' * 1000000000000 }}",
		"repeat variable":    "{% set n = 100000 %}{% set s = 'x' %}{{ s * (n * n) }}",
		"repeat in set":      "{% set a = 'x' * 1000000000 %}",
		"repeat in if":       "{% if 'x' * 1000000000 %}{% endif %}",
		"repeat in for":      "{% for a in 'x' * 1000000000 %}{% endfor %}",
		"repeat in for if":   "{% for a in [1] if 'x' * 1000000000 %}{% endfor %}",
		"repeat in with":     "{% with a = 'x' * 1000000000 %}{% endwith %}",
		"repeat in do":       "{% do ['x' * 1000000000] %}",
		"repeat in macro":    "{% macro f(a='x' * 1000000000) %}{{ a }}{% endmacro %}{{ f() }}",
		"repeat in call":     "{% macro f(a) %}{{ caller() }}{% endmacro %}{% call f('x' * 1000000000) %}{% endcall %}",
		"repeat in list":     "{{ [['x' * 1000000000]] }}",
		"repeat in dict":     "{{ {'a': 'x' * 1000000000} }}",
		"repeat in index":    "{{ roles['x' * 1000000000] }}",
		"repeat in slice":    "{{ 'abc'[:('x' * 1000000000) | length] }}",
		"repeat in test":     "{{ 1 is eq('x' * 1000000000) }}",
		"repeat in filter":   "{{ 1 | default('x' * 1000000000) }}",
		"repeat in cond":     "{{ 1 if 'x' * 1000000000 else 2 }}",
		"repeat in else":     "{{ 1 if false else 'x' * 1000000000 }}",
		"repeat in not":      "{{ not 'x' * 1000000000 }}",
		"repeat in and":      "{{ 1 and 'x' * 1000000000 }}",
		"repeat in elif":     "{% if false %}{% elif 'x' * 1000000000 %}{% endif %}",
		"doubled ~":          strings.ReplaceAll(doubled, "OP", "~"),
		"doubled +":          strings.ReplaceAll(doubled, "OP", "+"),
		"doubled list":       strings.ReplaceAll(strings.ReplaceAll(doubled, "'xxxxxxxx'", "[1]"), "OP", "+"),
		"nested list":        "{% set a = [1,1,1] %}" + strings.Repeat("{% set a = [a, a, a, a] %}", 40) + "{{ a }}",
		"nested list json":   "{% set a = [1,1,1] %}" + strings.Repeat("{% set a = [a, a, a, a] %}", 40) + "{{ a | tojson }}",
		"nested list text":   "{% set a = [1,1,1] %}" + strings.Repeat("{% set a = [a, a, a, a] %}", 40) + "{{ a ~ '' }}",
		"nested dict":        "{% set a = {'x': 1} %}" + strings.Repeat("{% set a = {'x': a, 'y': a} %}", 60) + "{{ a }}",
		"range":              "{% for i in range(300000000) %}x{% endfor %}",
		"loops":              "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
		"loops of output":    "{% for i in range(90000) %}{% for j in range(90000) %}xxxxxxxxxxxxxx{% endfor %}{% endfor %}",
		"captured output":    "{% set a %}{% for i in range(99999) %}" + strings.Repeat("x", 10000) + "{% endfor %}{% endset %}",
		"center":             "{{ 'x' | center(1000000000) }}",
		"indent":             "{{ 'x\ny' | indent(1000000000) }}",
		"json indent":        "{{ [1] | tojson(indent=1000000000) }}",
		"ljust":              "{{ 'x'.ljust(1000000000) }}",
		"zfill":              "{{ 'x'.zfill(1000000000) }}",
		"expandtabs":         "{{ '\t'.expandtabs(1000000000) }}",
		"batch":              "{{ [1] | batch(1000000000, 1) | list }}",
		"replace grows":      "{% set a = 'x' * 1000000 %}{{ a | replace('x', a) }}",
		"replace method":     "{% set a = 'x' * 1000000 %}{{ a.replace('x', a) }}",
		"join grows":         "{% set a = 'x' * 1000000 %}{{ a | join(a) }}",
		"join method":        "{% set a = 'x' * 1000000 %}{{ a.join(a) }}",
		"format grows":       "{% set a = 'x' * 1000000 %}{{ ('%s' * 100000) | format(a) }}",
		"filter block":       "{% set a = 'x' * 1000000 %}{% filter replace('x', a) %}{{ a }}{% endfilter %}",
		"list of texts":      "{% set l = [] %}{% for i in range(99999) %}{% do l.append('x' * 1000000 ~ i) %}{% endfor %}",
		"macro recursion":    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
		"mutual recursion":   "{% macro f(g) %}{{ g(f) }}{% endmacro %}{{ f(f) }}",
		"loop recursion":     "{% set l = [1] %}{% do l.append(l) %}{% for i in l recursive %}{{ loop(l) }}{% endfor %}",
		"silent recursion":   "{% macro f() %}{% set x = f() %}{% endmacro %}{{ f() }}",
		"huge template":      strings.Repeat("{{ 1 }}", 100_000),
		"deep parentheses":   "{{ " + strings.Repeat("(", 250_000),
		"closed parentheses": "{{ " + strings.Repeat("(", 120_000) + "1" + strings.Repeat(")", 120_000) + " * 'x'",
		"deep lists":         "{{ " + strings.Repeat("[", 250_000),
		"deep minus":         "{{ " + strings.Repeat("-", 250_000) + "'x' }}",
		"deep if":            strings.Repeat("{% if 1 %}", 20_000),
		"lipsum":             "{{ lipsum(n=1000000000) }}",
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			got, err := Text(t.Context(), "t", template, scope())
			if err == nil {
				t.Errorf("rendered %d bytes", len(got))
			} else if len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes: %.300v", len(err.Error()), err)
			}
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("took %v", took)
			}
			runtime.ReadMemStats(&after)
			if made := after.TotalAlloc - before.TotalAlloc; made > 2<<30 {
				t.Errorf("allocated %d MiB", made>>20)
			}
		})
	}
}

func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Text(ctx, "t", "{{ 1 }}", scope()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestMachine(t *testing.T) {
	m := &service.Machine{
		Env:      map[string]string{"DB": "{{ roles.db[0].address }}", "PLAIN": "$HOME"},
		Files:    []service.File{{Path: "a", Mode: 0o600, Content: "{{ instance.name }}\n"}, {Path: "b", Content: "raw"}},
		UserData: "#cloud-config\nhostname: {{ instance.name }}\n",
		Checks:   []service.Check{{TCP: ":{{ roles.db[0].attributes.PORT }}"}, {Exec: []string{"check", "{{ VERSION }}"}}, {Ping: true}},
	}
	got, err := Machine(t.Context(), m, nil, scope())
	if err != nil {
		t.Fatal(err)
	}
	want := Parts{
		Env:      map[string]string{"DB": "127.0.0.2", "PLAIN": "$HOME"},
		Files:    []driver.File{{Path: "a", Mode: 0o600, Content: []byte("app-1\n")}, {Path: "b", Content: []byte("raw")}},
		UserData: []byte("#cloud-config\nhostname: app-1\n"),
		Checks:   []service.Check{{TCP: ":5432"}, {Exec: []string{"check", "1.10"}}, {Ping: true}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if m.Checks[1].Exec[1] != "{{ VERSION }}" {
		t.Error("the definition was changed")
	}
	m.Files[0].Content = "x\n{{ 1 % 0 }}"
	if _, err := Machine(t.Context(), m, nil, scope()); err == nil || !strings.HasPrefix(err.Error(), "files.a: line 2: ") {
		t.Error(err)
	}
	if got, err := Machine(t.Context(), &service.Machine{}, nil, scope()); err != nil || got.Env != nil || got.UserData != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// What a template does to a shared peer does not last.
func TestPeersAreShared(t *testing.T) {
	s := scope()
	for _, template := range []string{
		"{% set roles.db[0].name = 'x' %}", "{% set roles.db[0].peer = 'x' %}", "{% set roles.db[0].Name = 'x' %}", "{% set roles.db[0].attributes.PORT = '1' %}", "{% do roles.db[0].attributes.update({'PORT': 1}) %}",
		"{% do roles.db[0].attributes.clear() %}", "{% do roles.db.reverse() %}", "{% set roles.db[0] = 1 %}", "{% do roles.db.append(1) %}",
		"{% set x = roles.db %}{% set x[0] = 1 %}", "{% set a = roles.db[0].addresses %}{% set a[0] = 'x' %}", "{% do roles.db.sort() %}",
	} {
		_, _ = Text(t.Context(), "t", template, s)
		got, err := Text(t.Context(), "t", "{{ roles.db | map(attribute='name') | join }}{{ roles.db[0].attributes.PORT }}{{ roles.db[0].addresses | join }}{{ roles.db | length }}", s)
		if want := "db-0db-15432127.0.0.2::22"; err != nil || got != want {
			t.Errorf("after %s: %q, %v", template, got, err)
		}
	}
}

// Many instances render the same templates at the same time.
func TestConcurrent(t *testing.T) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 50 {
				s := scope()
				s.Instance.Number = i*100 + j
				got, err := Text(t.Context(), "t", "{% macro f(a) %}{{ a }}{% endmacro %}{% for d in roles.db %}{{ f(instance.number) }}{% endfor %}", s)
				if want := fmt.Sprint(i*100+j, i*100+j); err != nil || got != strings.ReplaceAll(want, " ", "") {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	all.Wait()
}

func TestCacheIsBounded(t *testing.T) {
	c := &cache{byText: templates.byText, used: templates.used}
	for i := range maxCached + 100 {
		if _, err := Text(t.Context(), "t", fmt.Sprintf("{{ %d }}", i), scope()); err != nil {
			t.Fatal(err)
		}
	}
	pad := strings.Repeat("x", MaxTemplate/2)
	for i := range 100 {
		if _, err := Text(t.Context(), "t", fmt.Sprintf("{{ %d }}", i)+pad, scope()); err != nil {
			t.Fatal(err)
		}
	}
	bytes := 0
	for e := c.used.Front(); e != nil; e = e.Next() {
		bytes += len(e.Value.(*cacheEntry).text)
	}
	if len(c.byText) != c.used.Len() || c.used.Len() > maxCached || bytes > maxCachedBytes || bytes != templates.bytes {
		t.Errorf("%d entries, %d in the list, %d bytes", len(c.byText), c.used.Len(), bytes)
	}
}

// Text without marks is returned as it is.
func TestPlain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := rapid.StringMatching(`[a{}%# ]{0,20}`).Draw(rt, "text")
		marks := strings.Contains(s, "{{") || strings.Contains(s, "{%") || strings.Contains(s, "{#")
		if plain(s) == marks {
			rt.Fatal(s)
		}
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{
		"{{ service.name }}", "{% for d in roles.db %}{{ d.address | upper }}{% endfor %}", "{{ 'a' * 3 ~ [1] + [2] }}", "{% set a = {'b': 1} %}{{ a.b }}",
		"{% macro f(a, b=2) %}{{ a }}{% endmacro %}{{ f(1) }}", "{{ '%s' % 1 }}", "{{ a.b.c }}", "{% include 'x' %}", "{{ 1 if 2 else 3 }}", "{% filter indent(2) %}x{% endfilter %}",
		"{% call f() %}{% endcall %}", "{{ 'x'.replace('a', 'b').join([]) }}", "{{ roles.db | map(attribute='address') | join(',') | tojson }}", "{#", "{{ -1 // 0 }}", "{{ [1,2][::-1] }}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, template string) {
		out, err := Text(t.Context(), "t", template, scope())
		if err != nil && out != "" {
			t.Errorf("text %q beside the error %v", out, err)
		}
		if len(out) > max(MaxOutput, len(template)) {
			t.Errorf("%d bytes", len(out))
		}
	})
}

func BenchmarkPlain(b *testing.B) {
	m := &service.Machine{Env: map[string]string{"A": "b", "C": "d"}, Files: []service.File{{Path: "f", Content: strings.Repeat("text ", 200)}}}
	s := scope()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Machine(b.Context(), m, nil, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTemplate(b *testing.B) {
	s := scope()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Text(b.Context(), "t", "db={{ roles.db[0].address }} name={{ instance.name }}", s); err != nil {
			b.Fatal(err)
		}
	}
}
