package oneflow

import (
	"errors"
	"regexp"
	"strings"

	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/service"
)

// A placedError says where in a request the cause of an error is that does not know it itself.
type placedError struct {
	place string
	error
}

func (p placedError) Unwrap() error { return p.error }

func placed(place string, err error) error {
	if err == nil {
		return nil
	}
	return placedError{place, err}
}

// placeIn finds the place that an error tells, "" for none: what the face says of it before what it says
// itself.
func placeIn(err error) string {
	var wrong *format.Error
	var misplaced *control.Misplaced
	var problems service.Problems
	var p placedError
	switch {
	case errors.As(err, &p):
		return p.place
	case errors.As(err, &wrong):
		return placeOf(wrong)
	case errors.As(err, &misplaced):
		return misplaced.Path
	case errors.As(err, &problems) && len(problems) > 0:
		return problems[0].Path
	}
	return ""
}

// machineKey matches a place in the machine of a role.
var machineKey = regexp.MustCompile(`^(roles\[\d+\])\.machine\b(.*)$`)

// ofDocument gives an error about a spec its place in the body that the spec was made of.
func ofDocument(body *format.Body, err error) error {
	place := placeIn(err)
	if place == "" {
		return err
	}
	old := body.Generation() == format.Old
	name := func(young, ancient string) string {
		if old {
			return ancient
		}
		return young
	}
	if m := machineKey.FindStringSubmatch(place); m != nil {
		key := name("template_id", "vm_template") // what the definition says
		for _, part := range [...]string{".env", ".cpus", ".memory", ".attributes"} {
			if strings.HasPrefix(m[2], part) {
				key = name("template_contents", "vm_template_contents")
			}
		}
		return placed(m[1]+"."+key, err)
	}
	for _, x := range [...][2]string{{"resources", "networks_values"}, {"inputs", name("user_inputs_values", "custom_attrs_values")}, {"secrets", name("user_inputs", "custom_attrs")}} {
		if strings.HasPrefix(place, x[0]) {
			return placed(x[1], err)
		}
	}
	for core, key := range map[string]string{"].min": "].min_vms", "].max": "].max_vms", "].needs": "].networks"} {
		if rest, ok := strings.CutSuffix(place, core); ok {
			return placed(rest+key, err)
		}
	}
	return placed(place, err)
}

// movedPlace gives an error whose place is below one path a place below another.
func movedPlace(err error, from, to string) error {
	if rest, ok := strings.CutPrefix(placeIn(err), from); ok {
		return placed(to+rest, err)
	}
	return err
}

// machinePlace is where a body first names a machine definition.
func machinePlace(body *format.Body, id int) string {
	place := ""
	eachMachine(body, func(at string, _ *format.Object, key string, n int) {
		if n == id && place == "" {
			place = at + "." + key
		}
	})
	return place
}
