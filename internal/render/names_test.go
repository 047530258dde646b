package render

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/service"
)

func TestCheckNames(t *testing.T) {
	for _, c := range []struct{ text, refused, warned string }{
		{text: "{{ inputs.VERSION }} {{ VERSION }} {{ inputs['SIZE'] }} {{ service.inputs.VERSION }}"},
		{text: "{{ inputs.VERSON }}", refused: `no input "VERSON"; did you mean "VERSION"?`},
		{text: "\n{{ inputs['VERSON'] }}", refused: `line 2: no input "VERSON"`},
		{text: "{{ service.inputs.OTHER }}", refused: `no input "OTHER"`},
		{text: "{% if x %}{{ inputs.VERSON | upper }}{% endif %}", refused: `no input "VERSON"`, warned: ``},
		{text: "{% for i in range(3) %}{{ inputs.VERSON ~ i }}{% endfor %}", refused: `no input "VERSON"`},
		{text: "{{ inputs.VERSON | default('1') }} {{ inputs.OTHER or 2 }} {{ inputs.get('X') }} {{ inputs.items() }} {{ inputs[VERSION] }}"},
		{text: "{% if inputs.VERSON %}{{ inputs.VERSON }}{% endif %}{% if inputs.OTHER is defined %}{{ inputs.OTHER }}{% endif %}"},
		{text: "{{ inputs.A if inputs.A else 'none' }}"},
		{text: "{% set inputs = {'X': 1} %}{{ inputs.X }}"},
		{text: "{{ VERSON }}", warned: `no value "VERSON", so that it is empty; did you mean "VERSION"?`},
		{text: "{% set a = 1 %}{% for b, c in x_given %}{{ a ~ b ~ c ~ loop.index }}{% endfor %}{% macro m(d, e=2) %}{{ d ~ e }}{% endmacro %}{{ m(1) }}", warned: `"x_given"`},
		{text: "{{ roles.db[0].address }} {{ roles.db | length }} {% for p in roles.db %}{{ p.anything }}{% endfor %} {{ roles['db'][0].attributes.anything }}"},
		{text: "{{ roles.bd[0].address }}", refused: `no role "bd"; did you mean "db"?`},
		{text: "{{ roles.lb[0].address }}", refused: `role "lb" is not among those that role app needs`},
		{text: "{{ roles.db[0].adress }}", refused: `"adress"; did you mean "address"?`},
		{text: "{{ instance.adress }} ", refused: `no value "instance.adress"; did you mean "instance.address"?`},
		{text: "{{ service.name }} {{ role.number }} {{ instance.number }} {{ range(2) | list }}"},
		{text: "{{ resources.net.cidr }}"},
		{text: "{{ resources.nett.cidr }}", refused: `"nett"; did you mean "net"?`},
		{text: "no template"},
		{text: "{{ getip('db') }} {{ getprivip(\"db\") }} {{ getipall('db') | join(',') }} {{ find_node_id('db', allnodes=true)[0].node_id }} {{ cut('abc', 0, -1) }}"},
		{text: "{{ getip('bd') }}", refused: `no role "bd"; did you mean "db"?`},
		{text: "{{ getipall('lb') }}", refused: `role "lb" is not among those that role app needs; add it there`},
		{text: "{{ getip(variables.target) }} {{ getip(target_role) }} {{ getip(instance.name) }} {{ getip(variables.list[0]) }}"},
		{text: "{{ getip(variables.nowhere) }}", refused: `no role "web"`},
		{text: "{{ getpi('db') }}", refused: `no function "getpi"; did you mean "getip"?`},
		{text: "{% macro own(x) %}{{ x }}{% endmacro %}{{ own(1) }}{{ dict(a=1) }}"},
		{text: "{{ cmd('hostname') }}", refused: `commands on the server's host are not allowed in templates`},
		{text: "{{ ibget('infrastructure.name') }} {{ ibget('node.find', 1, 'db') }}"},
		{text: "{{ ibget('infrastructure.nam') }}", refused: `no answer to "infrastructure.nam"; did you mean "infrastructure.name"?`},
		{text: "{{ variables.deep.in.it }} {{ variables['target'] }} {{ variables.list[3] }} {{ variables.deep.items() }} {{ variables.target.upper() }}"},
		{text: "{{ variables.targe }}", warned: `no value "variables.targe", so that it is empty; did you mean "target"?`},
		{text: "{{ variables.deap.in.it }}", refused: `no value "variables.deap"; did you mean "deep"?`},
		{text: "{{ variables.nope | default('x') }}{% if variables.nope.deep is defined %}{% endif %}"},
		{text: "{{ infra_name }} {{ resource.endpoint }} {{ resource.anything }}", warned: `no value "resource.anything"`},
		{text: "{{ infra_nam }}", warned: `did you mean "infra_name"?`},
	} {
		machine := service.Machine{Files: []service.File{{Path: "f", Content: c.text}}, Implementations: []service.Implementation{{
			Names:    service.Values{"infra_name": "shop", "target_role": "db"},
			Rendered: service.Values{"resource": map[string]any{"endpoint": "ep-{{ infra_name }}"}},
		}}}
		spec := &service.Spec{Variables: service.Values{"target": "db", "nowhere": "web", "list": []any{"db"}, "deep": map[string]any{"in": map[string]any{"it": 1}}}, Inputs: map[string]string{"VERSION": "1"}, Roles: []service.RoleSpec{{Name: "db"}, {Name: "lb"},
			{Name: "app", Parents: []string{"db"}, Needs: []string{"net"}, Inputs: map[string]string{"SIZE": "2"}, Machine: machine}}}
		warnings, err := CheckNames(spec, Rules{})
		if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused) || !strings.HasPrefix(err.Error(), "roles[2].machine.files[0].content: line ")) {
			t.Errorf("%s: %v, want %q", c.text, err, c.refused)
		}
		if all := strings.Join(warnings, "\n"); c.warned == "" && c.refused == "" && all != "" || !strings.Contains(all, c.warned) {
			t.Errorf("%s: warnings %q, want %q", c.text, all, c.warned)
		}
	}
}
