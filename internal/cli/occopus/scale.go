package occopus

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/nearest"
)

func scaleProgram() program {
	return program{name: "scale", use: "[--cfg F] [--auth_data_path F] -i ID -n NODE (-c N | -s N | -f TEXT)",
		help: "Records a wish to scale a node; the next pass of occopus-maintain acts on it.",
		add: func(f *pflag.FlagSet, o *options) {
			o.addInfra(f, "infra_id", "`id` of the infrastructure")
			f.StringVarP(&o.node, "node", "n", "", "`name` of the node")
			f.StringVarP(&o.count, "count", "c", "", "so `many` instances more, or less when negative")
			f.StringVarP(&o.scaleTo, "scaleto", "s", "", "so `many` instances")
			f.StringVarP(&o.filter, "filter", "f", "", "one instance less: that of this node id or `address`")
			o.addLenient(f)
			o.need("infra_id", "node")
		},
		run: scale,
	}
}

// A wish is what occopus-scale asks for; one field is set.
type wish struct {
	change int
	to     int
	drop   string
}

// wishOf reads the options, and says how it is told.
func wishOf(o *options) (w wish, text string, err error) {
	given := map[string]string{"c": o.count, "s": o.scaleTo, "f": o.filter}
	for _, pair := range [...][2]string{{"c", "s"}, {"c", "f"}, {"s", "f"}} {
		if given[pair[0]] != "" && given[pair[1]] != "" {
			return w, "", failed("Too many arguments: -%s and -%s must not be used at the same time!", pair[0], pair[1])
		}
	}
	switch {
	case o.count != "":
		if w.change, err = strconv.Atoi(strings.TrimSpace(o.count)); err != nil {
			return w, "", failed("Positive/negative number must be specified for argument -c!")
		}
		if w.change == 0 {
			return w, "", o.forgiven("Incorrect argument: value for -c must be different from zero!")
		}
		way, n := "up", w.change
		if n < 0 {
			way, n = "down", -n
		}
		return w, fmt.Sprintf("Scaling %s node '%s' with %d instances...", way, o.node, n), nil
	case o.scaleTo != "":
		if w.to, err = strconv.Atoi(strings.TrimSpace(o.scaleTo)); err != nil {
			return w, "", failed("Positive number must be specified for argument -s!")
		}
		if w.to <= 0 {
			return w, "", o.forgiven("Incorrect argument: value for -s must be greater than zero!")
		}
		return w, fmt.Sprintf("Scaling node '%s' to %d instances...", o.node, w.to), nil
	case o.filter != "":
		w.drop = o.filter
		return w, fmt.Sprintf("Scaling down instance(s) of node '%s' filtered by '%s'...", o.node, o.filter), nil
	}
	return w, "", failed("Too few arguments: at least -c, -s or -f must be specified!")
}

func scale(ctx context.Context, r *run, _ []string) error {
	w, text, err := wishOf(&r.options)
	if err != nil {
		return err
	}
	r.say("%s", text)
	return r.wish(ctx, w)
}

// wish records what is asked for; an infrastructure that is managed is scaled at once.
func (r *run) wish(ctx context.Context, w wish) error {
	c, err := r.connect()
	if err != nil {
		return err
	}
	id, node := r.options.infra, r.options.node
	s, err := infrastructure(ctx, c, id)
	if client.IsNotFound(err) {
		return r.options.forgiven(fmt.Sprintf("Unknown infrastructure: \"%s\"", id))
	}
	if err != nil {
		return err
	}
	role := s.Role(node)
	if role == nil {
		names := make([]string, len(s.Roles))
		for n := range s.Roles {
			names[n] = s.Roles[n].Name
		}
		return r.options.forgiven(fmt.Sprintf("Unknown node: '%s'%s; there are %s", node, nearest.Hint(node, names), strings.Join(names, ", ")))
	}
	order := client.Scale{Role: node}
	switch {
	case w.drop != "":
		order.Remove = []string{w.drop}
	case w.change != 0:
		order.Cardinality = client.Cardinality(fmt.Sprintf("%+d", r.bounded(role, role.Cardinality+w.change)-role.Cardinality))
	default:
		order.Cardinality = client.Cardinality(strconv.Itoa(r.bounded(role, w.to)))
	}
	if order.Cardinality == "+0" {
		return nil
	}
	_, err = c.Services().Scale(ctx, s.Ref(), order)
	switch {
	case err == nil:
		return nil
	case w.drop != "" && role.Cardinality <= role.Min:
		r.bounded(role, role.Min-1)
		return nil
	case client.IsNotFound(err), client.IsInvalid(err):
		return r.options.forgiven(err.Error())
	}
	return err
}

// bounded holds a count within the limits of a node, and tells when it does.
func (r *run) bounded(role *client.Role, n int) int {
	switch {
	case n < role.Min:
		r.logAt(levelWarning, "Scaling: request(s) ignored, minimum count (%d) reached for node '%s'", role.Min, role.Name)
		return role.Min
	case role.Max != nil && n > *role.Max:
		r.logAt(levelWarning, "Scaling: request(s) ignored, maximum count (%d) reached for node '%s'", *role.Max, role.Name)
		return *role.Max
	}
	return n
}
