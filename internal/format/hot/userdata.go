package hot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/driver/cloudinit"
	"github.com/troupe-dev/troupe/internal/format/tree"
)

// A part is one text of a server's user data, as a template of its role.
type part struct{ kind, name, text string }

// deploy notes that a software configuration is carried out on a server.
func (c *compiler) deploy(r *resource, server any) {
	t, ok := c.only(server)
	b := c.byRole[t.node]
	if !ok || t.of != ofRole || b == nil {
		r.warn("server", "the server is none of the stack's, so that nothing is carried out")
		return
	}
	b.deployments = append(b.deployments, r)
	if r.text("signal_transport") != "NO_SIGNAL" {
		b.gate = max(b.gate, time.Hour)
	}
}

// userData is what the machines of a role carry out when they start: "" for nothing.
func (c *compiler) userData(b *roleBuild) string {
	var parts []part
	if v, ok := b.r.props["user_data"]; ok {
		parts = append(parts, c.partsOf(b, v, "user_data")...)
	}
	if script := c.deploymentScript(b); script != "" {
		parts = append(parts, part{"text/x-shellscript", "deployments", script})
	}
	parts = slices.DeleteFunc(parts, func(p part) bool { return strings.TrimSpace(p.text) == "" })
	switch len(parts) {
	case 0:
		return ""
	case 1:
		return parts[0].text
	}
	return archive(parts)
}

// partsOf returns a text, or what a configuration that it refers to consists of.
func (c *compiler) partsOf(b *roleBuild, v any, name string) []part {
	if config := c.configOf(v, b.r); config != nil {
		return c.configParts(b, config, name)
	}
	if m, ok := v.(map[string]any); ok {
		return []part{c.cloudConfig(b, m, name)}
	}
	text := scalarText(v)
	if target, ok := c.only(v); ok && target.of == ofResource {
		text = ""
	}
	return []part{{"", name, c.emit(b, text)}}
}

// configOf returns the configuration that a value refers to; nil for none.
func (c *compiler) configOf(v any, from *resource) *resource {
	name, ok := v.(string)
	if !ok {
		return nil
	}
	if x := c.byNode[name]; x != nil && isConfig(x) && from.uses[x] {
		return x
	}
	return nil
}

func isConfig(r *resource) bool {
	return slices.Contains([]string{"OS::Heat::SoftwareConfig", "OS::Heat::StructuredConfig", "OS::Heat::CloudConfig", "OS::Heat::MultipartMime"}, r.kind.name)
}

func (c *compiler) configParts(b *roleBuild, config *resource, name string) []part {
	switch config.kind.name {
	case "OS::Heat::CloudConfig":
		return []part{c.cloudConfig(b, config.mapping("cloud_config"), name)}
	case "OS::Heat::MultipartMime":
		var parts []part
		for i, v := range config.list("parts") {
			m, ok := v.(map[string]any)
			if !ok {
				config.wrong("parts", "expected parts with their config, found %.60q", scalarOrKind(v))
				return nil
			}
			own := c.partsOf(&roleBuild{r: config, spec: b.spec, parents: b.parents, needs: b.needs}, m["config"], "part-"+strconv.Itoa(i))
			for k := range own {
				if file := scalarText(m["filename"]); file != "" {
					own[k].name = file
				}
				if sub := scalarText(m["subtype"]); sub != "" && scalarText(m["type"]) != "multipart" {
					own[k].kind = "text/" + sub
				}
			}
			parts = append(parts, own...)
		}
		return parts
	}
	if m, ok := config.props["config"].(map[string]any); ok {
		return []part{c.cloudConfig(b, m, name)}
	}
	return []part{{"", name, c.emit(b, scalarText(config.props["config"]))}}
}

// cloudConfig writes a mapping as cloud-init's YAML.
func (c *compiler) cloudConfig(b *roleBuild, m map[string]any, name string) part {
	made, _ := c.emitValue(b, m).(map[string]any)
	text, err := tree.Emit(ordered(made))
	if err != nil {
		b.r.wrong("user_data", "%v", err)
	}
	return part{"text/cloud-config", name, "#cloud-config\n" + string(text)}
}

func ordered(m map[string]any) yaml.MapSlice { return tree.Ordered(m) }

const boundary = "===============troupe-part=="

// archive joins parts. They stand in it as they are, since they are templates.
func archive(parts []part) string {
	var b strings.Builder
	b.WriteString("Content-Type: multipart/mixed; boundary=\"" + boundary + "\"\nMIME-Version: 1.0\n")
	for _, p := range parts {
		kind := p.kind
		if kind == "" {
			kind = "text/plain"
		}
		fmt.Fprintf(&b, "\n--%s\nContent-Type: %s; charset=\"utf-8\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\nContent-Disposition: attachment; filename=%q\n\n%s\n", boundary, kind, p.name, p.text)
	}
	b.WriteString("\n--" + boundary + "--\n")
	return b.String()
}

// tell is a shell function that tells the server an attribute of the instance: tell KEY VALUE.
const tell = `tell() { printf '%s="%s"' "$1" "$(printf %s "$2" | tr '\n' ' ' | sed 's/[\\"]/\\&/g')" | curl -fsS -o /dev/null -X PUT -H "X-ONEGATE-TOKEN: $ONEGATE_TOKEN" -H "X-ONEGATE-VMID: $VMID" --data-binary @- "$ONEGATE_ENDPOINT/vm"; }
`

// attributeOf is the instance's attribute that holds an output of a deployment.
func attributeOf(r *resource, output string) string {
	return strings.ToUpper(notWord.Replace(r.node + "_" + output))
}

var notWord = strings.NewReplacer("-", "_", ".", "_", " ", "_")

// deploymentAttribute is an output of a deployment, which the machine tells once it is there.
func deploymentAttribute(r *resource, name string) (any, error) {
	t, ok := r.s.e.only(r.props["server"])
	if !ok || t.of != ofRole {
		return "", nil
	}
	return r.s.e.mark(target{ofRole, t.node, t.index, "attribute." + attributeOf(r, strings.TrimPrefix(name, "deploy_"))})
}

// handleAttribute is how a machine signals to a wait condition: it tells the server that it is ready.
func handleAttribute(r *resource, name string) (any, error) {
	switch name {
	case "curl_cli":
		return `sh -c 'case "$*" in *FAILURE*) r=NO;; *) r=YES;; esac; curl -fsS -X PUT -H "X-ONEGATE-TOKEN: $ONEGATE_TOKEN" -H "X-ONEGATE-VMID: $VMID" -d "READY=$r" "$ONEGATE_ENDPOINT/vm"' signal`, nil
	case "endpoint":
		return "$ONEGATE_ENDPOINT/vm", nil
	case "token":
		return "$ONEGATE_TOKEN", nil
	}
	return map[string]any{}, nil
}

// deploymentScript carries the software deployments of a role out, in the order of the template, and then tells that
// the instance is ready.
func (c *compiler) deploymentScript(b *roleBuild) string {
	var s strings.Builder
	for _, r := range b.deployments {
		c.deployment(b, r, &s)
	}
	if s.Len() == 0 {
		return ""
	}
	end := ""
	if b.gate > 0 {
		end = "[ \"$failed\" = 0 ] && tell READY YES\n"
	}
	return "#!/bin/sh\n" + tell + "failed=0\nwork=$(mktemp -d)\n" + s.String() + end + "exit \"$failed\"\n"
}

func (c *compiler) deployment(b *roleBuild, r *resource, s *strings.Builder) {
	config := c.configOf(r.props["config"], r)
	if config == nil {
		r.wrong("config", "expected a software configuration of the template: {get_resource: …}")
		return
	}
	if group := config.text("group"); group != "" && group != "script" && group != "Heat::Ungrouped" {
		r.warn("config", "a configuration of the group %s is not carried out: only scripts are", group)
		return
	}
	if actions := append(r.list("deploy_actions"), r.list("actions")...); len(actions) > 0 && !slices.Contains(actions, any("CREATE")) {
		r.warn("actions", "nothing is carried out at %s: only at CREATE", scalarText(actions[0]))
		return
	}
	quoted := func(v any) string {
		text, err := written(v)
		if err != nil {
			r.wrong("input_values", "%v", err)
		}
		return c.emit(b, cloudinit.Quote(text))
	}
	fmt.Fprintf(s, "(\n")
	inputs := r.mapping("input_values")
	for _, v := range config.list("inputs") {
		m, _ := v.(map[string]any)
		name := scalarText(m["name"])
		value, ok := inputs[name]
		if !ok {
			value = m["default"]
		}
		if shellName(name) {
			fmt.Fprintf(s, "export %s=%s\n", name, quoted(value))
		} else {
			config.wrong("inputs", "%q is no name of a variable", name)
		}
	}
	id, _ := b.r.mark(ofRole, 0, "uuid")
	stack, _ := c.mark(target{of: ofService, field: "id"})
	for _, x := range [][2]any{{"deploy_server_id", id}, {"deploy_action", "CREATE"}, {"deploy_stack_id", stack}, {"deploy_resource_name", r.def.Name}, {"deploy_signal_transport", "CFN_SIGNAL"}} {
		fmt.Fprintf(s, "export %s=%s\n", x[0], quoted(x[1]))
	}
	text := scalarText(config.props["config"])
	end := "END_OF_" + attributeOf(r, "config")
	for strings.Contains(text, end) {
		end += "_"
	}
	fmt.Fprintf(s, "at=\"$work\"/%s\nexport heat_outputs_path=\"$at\".out\ncat > \"$at\" <<'%s'\n%s\n%s\n", cloudinit.Quote(r.node), end, strings.TrimSuffix(c.emit(b, text), "\n"), end)
	fmt.Fprintf(s, "chmod 700 \"$at\"\n\"$at\" > \"$at\".stdout 2> \"$at\".stderr\nstatus=$?\ncat \"$at\".stdout\ncat \"$at\".stderr >&2\n")
	for _, v := range config.list("outputs") {
		m, _ := v.(map[string]any)
		if name := scalarText(m["name"]); shellName(name) {
			fmt.Fprintf(s, "[ -f \"$heat_outputs_path\".%s ] && tell %s \"$(cat \"$heat_outputs_path\".%s)\"\n", name, attributeOf(r, name), name)
		}
	}
	fmt.Fprintf(s, "tell %s \"$(cat \"$at\".stdout)\"\ntell %s \"$status\"\nexit $status\n) || failed=1\n", attributeOf(r, "stdout"), attributeOf(r, "status_code"))
}

// shellName reports whether a text can name a variable of the shell.
func shellName(s string) bool {
	return s != "" && (s[0] < '0' || s[0] > '9') && !strings.ContainsFunc(s, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}
