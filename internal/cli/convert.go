package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/internal/format/hot"
	"github.com/troupe-dev/troupe/internal/format/native"
	"github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

type convertOptions struct {
	sourceOptions
	nodes []string
	to    string
	out   string
}

func newConvertCommand(t *terminal) *cobra.Command {
	var o convertOptions
	cmd := &cobra.Command{
		Use:   "convert FILE",
		Short: "write a service of another format as native YAML, or for Occopus",
		Long: "Write a service template of OneFlow, an infrastructure description of Occopus with its node definitions, or a Heat\n" +
			"template, as a native document, to standard output; or any of them as infra.yaml and nodes.yaml for Occopus. What cannot be said\n" +
			"there is told on standard error. Machine definitions are named by their numbers or names: no server is asked.",
		Example: "  troupe convert template.json > service.yaml\n" +
			"  troupe convert infra.yaml --nodes nodes/node_definitions.yaml > service.yaml\n" +
			"  troupe convert stack.yaml -e site.yaml --driver docker > service.yaml\n" +
			"  troupe convert service.yaml --to occopus --out cluster",
		Args: exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return runConvert(t, &o, args[0]) },
	}
	o.sourceOptions.addTemplateFlags(cmd.Flags())
	cmd.Flags().StringArrayVar(&o.nodes, "nodes", nil, "`file` of node definitions of Occopus; may be repeated")
	cmd.Flags().StringVar(&o.to, "to", "native", "`format` to write: native or occopus")
	cmd.Flags().StringVar(&o.out, "out", ".", "`folder` for the files of --to occopus; files that are there stay")
	return cmd
}

func runConvert(t *terminal, o *convertOptions, name string) error {
	if o.to != "native" && o.to != "occopus" {
		return usageError("--to %q is none of native, occopus%s", o.to, nearest.Hint(o.to, []string{"native", "occopus"}))
	}
	text, err := t.readFile(name)
	if err != nil {
		return err
	}
	spec, err := t.specOf(name, text, o)
	switch {
	case err != nil:
		return err
	case o.to == "occopus":
		return t.convertToOccopus(name, spec, o.out)
	case t.output == "json":
		return t.convertJSON(spec)
	}
	out, err := native.Encode(spec)
	if err == nil {
		out, err = nameMachines(out, spec)
	}
	if err != nil {
		return fmt.Errorf("convert %s: %w", name, err)
	}
	_, err = t.out.Write(out)
	return err
}

// specOf reads a service in whatever format it has.
func (t *terminal) specOf(name string, text []byte, o *convertOptions) (*service.Spec, error) {
	switch {
	case hot.Describes(text):
		return t.specOfHeat(name, text, &o.sourceOptions)
	case occopus.Describes(text):
		return t.specOfOccopus(name, text, o.nodes)
	case occopus.Defines(text):
		return nil, withCode(exitInvalid, fmt.Errorf("%s: these are node definitions: name them with --nodes, beside the infrastructure description", name))
	case formatOf(text) == "oneflow":
		return t.specOfOneFlow(name, text)
	}
	options := (&document{}).offline(name)
	options.Template = nil // what it says would be missing
	spec, err := native.Parse(name, text, options)
	return spec, withCode(exitInvalid, err)
}

func (t *terminal) specOfOneFlow(name string, text []byte) (*service.Spec, error) {
	body, err := parseOneFlow(name, text)
	if err != nil {
		return nil, err
	}
	made, warnings, err := body.Instantiate(nil)
	if err != nil {
		return nil, withCode(exitInvalid, fmt.Errorf("%s: %w", name, err))
	}
	for _, w := range warnings {
		fmt.Fprintf(t.err, "%s: %s\n", name, w)
	}
	spec, warnings, err := made.ToSpec(oneflow.Options{Settings: oneflow.DefaultSettings(), Machine: func(id int) (service.Machine, error) {
		return unknownMachine(strconv.Itoa(id))
	}})
	if err != nil {
		return nil, withCode(exitInvalid, fmt.Errorf("%s: %w", name, err))
	}
	for _, w := range warnings {
		fmt.Fprintf(t.err, "%s: %s\n", name, w)
	}
	for _, w := range lost(spec.Document) {
		fmt.Fprintf(t.err, "%s: %s\n", name, w)
	}
	spec.Format, spec.Document = "", nil
	return spec, nil
}

// lost names what a OneFlow document says and the native format cannot.
func lost(document []byte) (out []string) {
	var d struct {
		Networks map[string]any `json:"networks"`
	}
	if json.Unmarshal(document, &d) != nil {
		return nil
	}
	if len(d.Networks) > 0 {
		out = append(out, "networks: left out: those that exist are written where they are used; describe those to be made under resources")
	}
	return out
}

// convertJSON prints the specification as the server keeps it.
func (t *terminal) convertJSON(spec *service.Spec) error {
	text, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return fmt.Errorf("print as JSON: %w", err)
	}
	fmt.Fprintln(t.out, string(text))
	return nil
}

// nameMachines puts the name of a machine definition in the place of the definition, which only a server
// knows; what the role says besides becomes the role's own.
func nameMachines(text []byte, spec *service.Spec) ([]byte, error) {
	if !slices.ContainsFunc(spec.Roles, func(r service.RoleSpec) bool { return r.Machine.Name != "" }) {
		return text, nil
	}
	var doc yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(text, &doc, yaml.UseOrderedMap()); err != nil {
		return nil, err
	}
	for i := range doc {
		if doc[i].Key != "roles" {
			continue
		}
		roles, _ := doc[i].Value.(yaml.MapSlice) // as Encode writes them
		for k := range roles {
			if n := spec.Role(fmt.Sprint(roles[k].Key)); n >= 0 && spec.Roles[n].Machine.Name != "" {
				role, _ := roles[k].Value.(yaml.MapSlice)
				roles[k].Value = nameMachine(role, spec.Roles[n].Machine.Name)
			}
		}
	}
	return yaml.MarshalWithOptions(doc, yaml.Indent(2))
}

func nameMachine(role yaml.MapSlice, name string) yaml.MapSlice {
	var out yaml.MapSlice
	for _, item := range role {
		machine, ok := item.Value.(yaml.MapSlice)
		if item.Key != "machine" || !ok {
			out = append(out, item)
			continue
		}
		out = append(out, yaml.MapItem{Key: "machine", Value: name})
		for _, own := range machine {
			if own.Key != "name" && own.Key != "driver" {
				out = append(out, own)
			}
		}
	}
	return out
}
