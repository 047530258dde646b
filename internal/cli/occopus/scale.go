package occopus

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
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
